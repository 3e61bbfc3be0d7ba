"""Held actions: asked of people, waited for, and sent on at most once.

An action that needs approval becomes a request bound by its digest. The client waits on its own connection; a poll of the
database, at most a quarter of a second old, wakes whoever was decided, on whichever process the vote came in. A yes is used up
by one atomic act before anything moves; a requester who is gone, or who cancels, voids the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from gatebook.access.approvals import Approvals
from gatebook.access.digests import digest
from gatebook.access.previews import Preview
from gatebook.access.requests import ACTION, ENDED, SCRIPT, Asked, Request, State
from gatebook.config import Config
from gatebook.errors import AccessError, GatebookError
from gatebook.gateway import lookout
from gatebook.gateway.book import new_id
from gatebook.gateway.desk import USED, Needs
from gatebook.gateway.proposing import reasons, script
from gatebook.masking.detectors import cover_text
from gatebook.model import Action, Hold, Session, Verdict
from gatebook.protocols.postgres.covered import cover_sql
from gatebook.protocols.relay import Ask, Held

MICROSECONDS = 1_000_000

log = structlog.get_logger("gatebook.holding")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an action would run: what gives its text its meaning besides the text."""

    role: str
    database: str
    server: str


def holds(wanted: Hold, verdict: Verdict) -> Hold:
    """What becomes of what is held: as its rule says, else as its client wants. Raises AccessError where both cannot be.

    A proposal outlives its session, which a rule that has its requester wait does not allow.
    """
    if wanted not in (Hold.PROPOSE, Hold.RESUME):
        return verdict.hold or wanted
    if verdict.hold is Hold.WAIT:
        raise AccessError("its rule has whoever asks wait for the answer, so it cannot be proposed: send it as it is", "wrong")
    return wanted


class Holding:
    """Requests of this process's sessions. Used from one event loop; the database from its threads."""

    def __init__(self, approvals: Approvals, config: Config, clock: Callable[[], int]) -> None:
        self._approvals, self._config, self._clock = approvals, config, clock
        self._waiting: dict[str, list[asyncio.Future[State]]] = {}  # by request: several clients may wait for one answer

    async def find(self, session: Session, ask: Ask, verdict: Verdict, place: Place) -> str | None:
        """An approval that somebody gave to exactly this, not used yet."""
        bound = _digest(session, ask, verdict, place)
        return await asyncio.to_thread(self._approvals.approved, bound, session.identity, self._clock())

    async def check_room(self, session: Session) -> None:
        """Raises AccessError where too much of this requester's waits already."""
        await asyncio.to_thread(self._approvals.check_room, session.identity, self._clock())

    async def open(
        self, session: Session, ask: Ask, needs: Needs, place: Place, hold: Hold, preview: Preview | None
    ) -> Request:
        """Ask people, or give back what they are asked already. Raises AccessError when this may not be asked."""
        if hold is Hold.RESUME:
            raise AccessError("no approval fits: it was used or is over, or what it is bound to has changed", "closed")
        request = await asyncio.to_thread(self._request, session, ask, needs, place, hold)
        return await asyncio.to_thread(self._approvals.open, replace(request, preview=preview))

    def _request(self, session: Session, ask: Ask, needs: Needs, place: Place, hold: Hold) -> Request:
        now, action, verdict = self._clock(), ask.action, needs.verdict
        whole = hold is Hold.PROPOSE and bool(ask.parts)
        return Request(
            id=new_id(now),
            digest=_digest(session, ask, verdict, place),
            session=session.id,
            requester=session.identity,
            target=session.target.name,
            role=place.role,
            verb=action.verb,
            reach=action.reach,
            resources=tuple(resource.name for resource in action.resources if resource.name),
            text=ask.seen or _whole(action, frozenset(self._config.masking.detectors)),
            rule=verdict.rule,
            reason=reasons(verdict, needs.by_deed) if whole else verdict.reason,
            approvers=verdict.approvers,
            purpose=session.purpose,
            policy_digest=verdict.policy_digest,
            opened_at=now,
            expires_at=now + self._seconds(hold, whole=whole) * MICROSECONDS,
            kind=SCRIPT if whole else ACTION,
            masks=verdict.masks,
            script=script(ask, needs.by_deed) if whole else None,
            resent=hold is Hold.ANSWER,
        )

    def _seconds(self, hold: Hold, *, whole: bool) -> int:
        terms = self._config.approvals
        if hold is Hold.WAIT:
            return terms.wait_seconds
        return terms.proposal_seconds if whole else terms.valid_seconds

    def held(self, request: Request) -> Held:
        """What the client is told while it waits."""
        link = self.link(request)
        seconds = self._config.approvals.wait_seconds
        return Held(request.id, request.rule, request.reason, request.approvers, link, seconds)

    def link(self, request: Request) -> str:
        """The page of this request."""
        return f"{self._config.listeners.public_url}/approvals/{request.id}"

    async def decided(self, request: str, answer: asyncio.Future[State]) -> State:
        """Wait until people decided, the time is over or the request was voided; or until ``answer`` is there otherwise."""
        waiting = self._waiting.setdefault(request, [])
        waiting.append(answer)
        try:
            async with asyncio.timeout(self._config.approvals.wait_seconds + 2):
                return await answer
        except TimeoutError:
            return State.EXPIRED
        finally:
            waiting.remove(answer)
            if not waiting:
                self._waiting.pop(request, None)

    async def outcome(self, request: Request) -> str:
        """Why the answer was not yes, in words: who denied it and why, or that nobody answered."""
        return self._said(await asyncio.to_thread(self._approvals.find, request.id))

    async def refused(self, session: Session, ask: Ask, verdict: Verdict, place: Place) -> str:
        """The same of what was asked just now by somebody who waited, and "" where nobody said no to it."""
        bound = _digest(session, ask, verdict, place)
        found = await asyncio.to_thread(self._approvals.refused, bound, session.identity, self._clock())
        return self._said(found) if found is not None else ""

    def _said(self, found: Asked) -> str:
        denied = [vote for vote in found.votes if not vote.approved]
        if found.state is State.DENIED and denied:
            return f"denied by {denied[-1].by}" + (f": {denied[-1].reason}" if denied[-1].reason else "")
        if found.state is State.VOID:
            return found.why or "withdrawn"
        if found.state is State.USED:
            return USED
        return f"nobody approved it within {self._config.approvals.wait_seconds} s"

    async def use(self, request: str, session: Session, ask: Ask, verdict: Verdict, place: Place) -> bool:
        """Use up a yes: true once at most, and only for exactly this action."""
        bound = _digest(session, ask, verdict, place)
        return await asyncio.to_thread(self._approvals.use, request, bound, self._clock())

    async def held_to(self, request: str) -> Mapping[str, str]:
        """What the execution of a request is held to, by the rows that people saw. Raises AccessError."""
        found = await asyncio.to_thread(self._approvals.find, request)
        return found.request.preview.held_to if found.request.preview is not None else {}

    async def leave(self, request: str, why: str, answer: asyncio.Future[State]) -> None:
        """One client waits no more; nobody need decide any more if it was the last."""
        try:
            await asyncio.to_thread(self._approvals.leave, request, self._clock(), why)
        except GatebookError as error:
            log.error("a request could not be voided; it expires by itself", approval=request, why=str(error))
        _settle(answer, State.VOID)

    async def poll(self) -> None:
        """Wake whoever was decided since."""
        if not self._waiting:
            return
        try:
            states = await lookout.ask(self._approvals.states, list(self._waiting))
        except GatebookError as error:
            log.error("approvals cannot be read; what is held stays held", why=str(error))
            return
        for request, state in states.items():
            if state is State.APPROVED or state in ENDED:
                for answer in self._waiting.get(request, ()):
                    _settle(answer, state)


def _settle(answer: asyncio.Future[State], state: State) -> None:
    if not answer.done():
        answer.set_result(state)


def _whole(action: Action, detectors: frozenset[str]) -> str:
    """All that would run, as people must see it to decide: the whole text and what is bound to it, with values covered."""
    forms = (*action.forms, *("text 0",) * (len(action.parameters) - len(action.forms)))
    bound = (
        f"-- ${number} = {cover_text(_shown(value, form), detectors)}"
        for number, (value, form) in enumerate(zip(action.parameters, forms, strict=True), 1)
    )
    return "\n".join([cover_sql(action.text, detectors), *bound])


def _shown(value: bytes | None, form: str) -> str:
    """A bound value: as text only where it is text, whatever the bytes of a binary one happen to spell."""
    if value is None:
        return "NULL"
    if form.startswith("binary"):
        return f"{len(value)} bytes, {form}: 0x{value.hex()}"
    return repr(value.decode("utf-8", "backslashreplace"))


def _digest(session: Session, ask: Ask, verdict: Verdict, place: Place) -> str:
    """A yes to a script is none to the same text sent by itself, nor the reverse: people were shown something else."""
    action = ask.action
    return digest(
        text=f"{SCRIPT if ask.parts else action.step}\0{action.text}",
        parameters=action.parameters if ask.bound is None else ask.bound,
        forms=action.forms,
        settings=action.settings,
        role=place.role,
        database=place.database,
        search_path=[action.search_path],
        target=session.target.name,
        server=place.server,
        policy_digest=verdict.policy_digest,
        requester=session.identity,
        resources=[f"{deed.verb} {deed.resource.kind} {deed.resource.name}" for deed in action.deeds],
        purpose=session.purpose,
    )
