"""Pages of sessions: who is connected and was, what they asked, what was decided; and the end of a live one."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.policy.acts import KILL, REPLAY
from gatebook.web.acts import Asker
from gatebook.web.pages.browser import form_of
from gatebook.web.pages.frame import Frame
from gatebook.web.sessions import Sessions
from gatebook.web.store import ActionRow, SessionRow

_ID = "/sessions/{id}"


class Looking:
    """Sessions, as far as the rules show them."""

    def __init__(self, frame: Frame, sessions: Sessions) -> None:
        self._frame, self._sessions = frame, sessions

    def routes(self) -> list[Route]:
        """Where these pages are."""
        frame = self._frame
        return [
            Route("/sessions", frame.guarded(self.all)),
            Route(_ID, frame.guarded(self.one)),
            Route(f"{_ID}/end", frame.changing(self.end), methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """Live ones, then the last of the past."""
        visitor = await self._frame.visitor(request)
        lists = await asyncio.to_thread(self._sessions.lists, visitor)
        return self._frame.page(request, "sessions.html", visitor, lists=lists)

    async def one(self, request: Request) -> Response:
        """A session and its statements, the newest first."""
        visitor = await self._frame.visitor(request)
        session, actions, may = await asyncio.to_thread(self._session, request.path_params["id"], visitor)
        return self._frame.page(request, "session.html", visitor, session=session, actions=actions, may=may)

    async def end(self, request: Request) -> Response:
        """Ask the gateway for a live session's end; it looks several times a second."""
        visitor = await self._frame.visitor(request)
        reason = (await form_of(request)).get("reason", "")
        session = request.path_params["id"]
        await asyncio.to_thread(self._sessions.end, visitor, session, reason, self._frame.now())
        return self._frame.go(f"/sessions/{session}")

    def _session(self, session: str, visitor: Asker) -> tuple[SessionRow, list[ActionRow], dict[str, bool]]:
        found = self._sessions.find(visitor, session)
        may = {name: self._sessions.may(visitor, verb, found) for name, verb in (("end", KILL), ("replay", REPLAY))}
        return found, self._sessions.actions(found.id), may
