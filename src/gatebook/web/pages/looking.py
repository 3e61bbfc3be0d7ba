"""Pages of sessions: who is connected and was, what they asked, what was decided; and the end of a live one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.db import writing
from gatebook.web.pages import store
from gatebook.web.pages.browser import Refused, form_of
from gatebook.web.pages.frame import Frame, Visitor

LIVE, PAST, ACTIONS = 100, 50, 200  # at most so many on a page
REASON_CHARACTERS = 300
_ID = "/sessions/{id}"


@dataclass(frozen=True, slots=True)
class Lists:
    """Sessions that a visitor may see."""

    live: list[store.SessionRow]
    past: list[store.SessionRow]


class Looking:
    """Sessions. Operators see and end all, everybody else their own."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

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
        lists = await asyncio.to_thread(self._lists, visitor)
        return self._frame.page(request, "sessions.html", visitor, lists=lists)

    async def one(self, request: Request) -> Response:
        """A session and its statements, the newest first."""
        visitor = await self._frame.visitor(request)
        session, actions = await asyncio.to_thread(self._session, request.path_params["id"], visitor)
        return self._frame.page(request, "session.html", visitor, session=session, actions=actions)

    async def end(self, request: Request) -> Response:
        """Ask the gateway for a live session's end; it looks several times a second."""
        visitor = await self._frame.visitor(request)
        reason = (await form_of(request)).get("reason", "").strip() or "no reason given"
        if len(reason) > REASON_CHARACTERS or not reason.isprintable():
            text = f"A reason is one line of at most {REASON_CHARACTERS} characters that can be seen. Nothing was changed."
            raise Refused(HTTPStatus.BAD_REQUEST, "Another reason", text)
        session = request.path_params["id"]
        await asyncio.to_thread(self._end, session, visitor, reason)
        return self._frame.go(f"/sessions/{session}")

    def _lists(self, visitor: Visitor) -> Lists:
        identity = visitor.identity
        owner = None if visitor.operator else (identity.issuer, identity.subject)
        with self._frame.engine.connect() as connection:
            live = store.list_sessions(connection, live=True, owner=owner, limit=LIVE)
            return Lists(live, store.list_sessions(connection, live=False, owner=owner, limit=PAST))

    def _session(self, session: str, visitor: Visitor) -> tuple[store.SessionRow, list[store.ActionRow]]:
        with self._frame.engine.connect() as connection:
            found = store.find_session(connection, session)
            if found is None or not (visitor.operator or visitor.owns(found.issuer, found.subject)):
                raise Refused(HTTPStatus.NOT_FOUND, "Not here", "There is no such session, or it is not yours to see.")
            return found, store.last_actions(connection, session, ACTIONS)

    def _end(self, session: str, visitor: Visitor, reason: str) -> None:
        self._session(session, visitor)
        by = f"person:{visitor.identity.subject}"
        with writing(self._frame.engine) as connection:
            asked = store.request_kill(connection, session=session, at=self._frame.now(), by=by, reason=reason)
        if not asked:
            raise Refused(HTTPStatus.CONFLICT, "Too late", "The session is closed already.")
