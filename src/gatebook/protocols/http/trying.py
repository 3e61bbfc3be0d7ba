"""What a request that is about to be held would do, asked of its target without doing it: question by question.

A dialect makes the ``Draft``, which says what to ask and what the answers show; here the questions are dressed as the request
itself would be: the same credential, in the same requester's place. Who asks them is none of this package's business.
"""

from __future__ import annotations

from gatebook.errors import WireError
from gatebook.protocols.http.asking import outgoing
from gatebook.protocols.http.covering.choosing import Covered, Unreadable
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.http.dialect import Draft, Shown
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import Request, Response
from gatebook.protocols.http.terms import Terms


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
