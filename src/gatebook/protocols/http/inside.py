"""What is decided inside of an upgrade: each is an action of its own, asked for like any request, one at a time."""

from __future__ import annotations

from dataclasses import replace

from gatebook.model import Action, Permit
from gatebook.protocols.http import refusal
from gatebook.protocols.http.asking import asked
from gatebook.protocols.http.graphql_socket import Conversation
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.terms import Terms
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.relay import Allowed, Answered, Ask, Refused, Withdraw


class Inside:
    """Of one conversation."""

    def __init__(self, talk: Conversation, terms: Terms) -> None:
        self._talk, self._terms = talk, terms
        self._needles = terms.injected().needles  # of the credential by which it was opened
        self._asked: tuple[Request, Action, Meant] | None = None

    @property
    def asks(self) -> bool:
        """Whether something is being decided."""
        return self._asked is not None

    @property
    def full(self) -> bool:
        """Whether the client is not read for now."""
        return self._talk.full

    def ask(self, request: Request, content: bytes) -> Ask:
        """Have it decided."""
        ask, meant = asked(request, content, self._terms, self._terms.number())
        self._asked = request, ask.action, meant
        return ask

    def settled(self, said: Allowed | Refused) -> tuple[Moved, Permit | None]:
        """What follows from the decision, and the permit under which it goes to the target."""
        if self._asked is None:
            raise AssertionError("a decision that nobody asked for")
        (request, action, meant), self._asked = self._asked, None
        if isinstance(said, Refused):
            problem = refusal.refused(action, said)
            return self._talk.refused(problem.detail, dict(problem.more)), None
        resolved, terms = meant.resolved, self._terms
        if resolved is None or said.permit.conditions:
            raise AssertionError("held to what people saw, or not read")
        needles = {*terms.injected().needles, *self._needles}
        plan = terms.dialect.plan(request, terms.covering, said.permit.masks, needles, meant.reading.aliases)
        plan = plan.hiding(resolved.values)
        action = replace(action, text="", parameters=())  # as long as it is open, it need not be kept
        why = resolved.refusal
        if plan.rules_fields and meant.reading.renames:
            why = why or f"a rule covers fields, and {meant.reading.renames}"
        if why:
            moved = self._talk.refused(why, {"class": "fix", "decision": said.decision})
            return moved.then(Moved(answered=(Answered(action, "403", 0, 0, {}),))), None
        return self._talk.allowed(action, resolved.content, plan), said.permit

    def failed(self, status: int, why: str) -> Moved:
        """What was let go cannot be sent, as without a credential: its client hears so, and the rest goes on."""
        if self._asked is None:
            raise AssertionError("what failed was not asked for")
        (_, action, _), self._asked = self._asked, None
        ended = Answered(replace(action, text="", parameters=()), str(status), 0, 0, {})
        return self._talk.refused(why, {"class": "fix"}).then(Moved(answered=(ended,)))

    def over(self, status: str) -> list[Withdraw | Answered]:
        """The exchange is over, and with it all that is under way."""
        withdrawn = [Withdraw(self._asked[1])] if self._asked is not None else []
        self._asked = None
        return [*withdrawn, *self._talk.left(status)]
