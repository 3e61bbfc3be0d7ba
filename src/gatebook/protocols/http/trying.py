"""What a request that is about to be held would do, asked of its target without doing it: question by question.

A dialect makes the ``Draft``, which says what to ask and what the answers show; here the questions are dressed as the request
itself would be: the same credential, in the same requester's place. Who asks them is none of this package's business.
"""

from __future__ import annotations

from gatebook.errors import WireError
from gatebook.protocols.http.asking import asked, outgoing
from gatebook.protocols.http.covering.choosing import Covered, Unreadable
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.http.dialect import Draft, Inquiry, Shown
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import Request, Response
from gatebook.protocols.http.terms import Terms
from gatebook.protocols.relay import Ask


class Tryable:
    """A draft in its requester's place. Owned by whoever asks."""

    def __init__(self, draft: Draft, request: Request, meant: Meant, terms: Terms) -> None:
        self._draft, self._request, self._meant, self._terms = draft, request, meant, terms
        self.masked: Counts = {}

    @property
    def why(self) -> str:
        """Why nothing of it may be tried."""
        return self._draft.why

    def question(self) -> tuple[Request, bytes] | None:
        """The next request as the target gets it, with its content; None once all is known."""
        asked = self._draft.question()
        return (outgoing(asked[0], self._terms, self._plan(), plain=True), asked[1]) if asked is not None else None

    def answered(self, response: Response, content: bytes) -> None:
        """Its answer. Raises WireError for one that cannot be looked through."""
        choice = self._terms.dialect.cover(self._request, response, self._plan(), ())
        if isinstance(choice, Unreadable):
            raise WireError(f"the target's answer cannot be read: {choice.why}")
        covered = content
        if isinstance(choice, Covered):
            covered = choice.coverer.feed(content) + choice.coverer.finish()
            for name, times in choice.coverer.masked.items():
                count(self.masked, name, times)
        self._draft.answered(response.status, content, covered)

    def shown(self) -> Shown:
        """What people may see; takes time."""
        return self._draft.shown()

    def _plan(self) -> Plan:
        """By all mask sets that may hold for it: whoever looks sees no more than anybody would."""
        terms, resolved = self._terms, self._meant.resolved
        plan = terms.dialect.plan(self._request, terms.covering, terms.covering.possible, terms.injected().needles)
        return plan.hiding(resolved.values) if resolved is not None else plan


class Inquirable:
    """Questions that come before a request is read, in its requester's place. Owned by whoever asks; each call takes time."""

    def __init__(self, inquiry: Inquiry, request: Request, content: bytes | None, terms: Terms, seq: int) -> None:
        self._inquiry, self._request, self._content, self._terms, self._seq = inquiry, request, content, terms, seq

    def question(self) -> tuple[Request, bytes] | None:
        """The next request as the target gets it, with its content; None once all is known."""
        question = self._inquiry.question()
        if question is None:
            return None
        terms = self._terms
        plan = terms.dialect.plan(self._request, terms.covering, terms.covering.possible, terms.injected().needles)
        return outgoing(question[0], terms, plan, plain=True), question[1]

    def answered(self, response: Response, content: bytes) -> None:
        """Its answer, which nobody sees."""
        self._inquiry.answered(response, content)

    def asked(self) -> tuple[Ask, Meant]:
        """The action of the request, and what it was read as."""
        return asked(self._request, self._content, self._terms, self._seq, self._inquiry)
