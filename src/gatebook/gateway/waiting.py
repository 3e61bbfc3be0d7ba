"""One client whose action needs people: their yes found and used, waited for, or said to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gatebook.access.requests import Request, State
from gatebook.errors import AccessError
from gatebook.gateway.desk import USED, Needs, refused_by_people, refused_for_now
from gatebook.gateway.holding import Place, holds
from gatebook.gateway.preview import Patience, Trial
from gatebook.model import Hold, Session
from gatebook.protocols.relay import Allowed, Ask, Held, Refused

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway


class Waiting:
    """Of one connection. One action at a time."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.hold = Hold.WAIT  # what the client asked for
        self._pending: tuple[str, asyncio.Future[State]] | None = None  # the request that is waited for, and its answer
        self._gone = False
        self._patience = Patience()  # of the action that is asked about now

    async def asked(
        self, session: Session, ask: Ask, needs: Needs, place: Place, trial: Trial | None, signal: Callable[[Held], None]
    ) -> Allowed | Refused:
        """Find people's yes to exactly this, or wait for it, or say that it is waited for; then use it up.

        ``trial`` is what of it may be tried, so that people see what it does; None where nothing can be. ``signal`` hears that
        it is held.
        """
        holding, verdict = self._gateway.holding, needs.verdict
        self._patience = Patience("the requester is gone" if self._gone else "")
        try:
            hold = holds(self.hold, verdict)
            found = await holding.find(session, ask, verdict, place)
            if found is None:
                if hold is Hold.WAIT and (why := await holding.refused(session, ask, verdict, place)):
                    return refused_by_people(ask, verdict, needs.decision, why)
                request = await self._open(session, ask, needs, place, hold, trial)
                if hold is not Hold.WAIT:
                    return refused_for_now(ask, needs, request.id, holding.link(request))
                answer = asyncio.get_running_loop().create_future()
                self._pending = request.id, answer
                if self._patience.over:
                    self.withdraw(self._patience.over)
                else:
                    signal(holding.held(request))
                found = await self._decided(request.id, answer)
                if found is None:
                    why = self._patience.over or await holding.outcome(request)
                    return refused_by_people(ask, verdict, needs.decision, why)
            if self._patience.over or not await holding.use(found, session, ask, verdict, place):
                return refused_by_people(ask, verdict, needs.decision, USED)
            held_to = await holding.held_to(found)
        except AccessError as error:
            return refused_by_people(ask, verdict, needs.decision, str(error))
        decided = await self._gateway.desk.decide_approved(session, ask, found, held_to)
        if isinstance(decided, Needs):
            raise AssertionError("an approved action needs an approval")
        return decided

    async def _open(self, session: Session, ask: Ask, needs: Needs, place: Place, hold: Hold, trial: Trial | None) -> Request:
        """Ask people, with what a preview shows. Raises AccessError when this may not be asked."""
        holding = self._gateway.holding
        if trial is None or hold is Hold.RESUME or (hold is Hold.PROPOSE and ask.parts):
            return await holding.open(session, ask, needs, place, hold, None)
        await holding.check_room(session)
        preview = await self._gateway.previews.of(session, ask, trial, self._patience)
        if self._patience.over:
            raise AccessError(self._patience.over, "closed")
        return await holding.open(session, ask, needs, place, hold, preview)

    def withdraw(self, why: str) -> None:
        """Nobody need decide any more what is held, or be shown what it does."""
        self._patience.end(why)
        if self._pending is not None:
            (request, answer), self._pending = self._pending, None
            self._gateway.spawn(self._gateway.holding.leave(request, why, answer))

    def gone(self) -> None:
        """The client is not there any more: nothing is used up for it."""
        self._gone = True
        self.withdraw("the requester is gone")

    async def _decided(self, request: str, answer: asyncio.Future[State]) -> str | None:
        """The request's id once it is approved; None when the answer is anything else."""
        state = await self._gateway.holding.decided(request, answer)
        self._pending = None
        return request if state is State.APPROVED else None
