"""Sessions over HTTP. ``Sessions`` is what the pages use, too: it asks the policy, writes down, and only then reads rows.

GET  /api/v1/sessions            those that the asker may see, live ones first; ?live=true
GET  /api/v1/sessions/{id}       one of them, with its last statements
POST /api/v1/sessions/{id}/end   reason: ends a live one
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.db import writing
from gatebook.db.store import request_kill
from gatebook.errors import AccessError
from gatebook.model import Identity, Verdict
from gatebook.policy.acts import KILL, VIEW_SESSIONS, permits
from gatebook.web import store
from gatebook.web.acts import NOT_THERE, Acts, Asker, Concern, is_of
from gatebook.web.answers import only, read_json, take
from gatebook.web.approvals import Who
from gatebook.web.store import ActionRow, SessionRow

LIVE, PAST, ACTIONS = 100, 50, 200  # at most so many are shown
SEARCHED = 500  # of everybody's sessions, the newest, are looked through for those somebody may see
REASON_CHARACTERS = 300


def concern(session: SessionRow, viewer: Identity) -> Concern:
    """What rules may ask about a session."""
    names = {session.subject, session.on_behalf_of} - {""}
    return Concern(own=is_of(viewer, session.issuer, names), target=session.target)


@dataclass(frozen=True, slots=True)
class Lists:
    """Sessions that somebody may see; ``others`` says whether anybody else's are among what the rules show them."""

    live: list[SessionRow]
    past: list[SessionRow]
    others: bool


class Sessions:
    """Sessions as rows have them. Calls block: make them in threads. ``now`` gives µs since 1970."""

    def __init__(self, engine: Engine, acts: Acts) -> None:
        self._engine, self._acts = engine, acts

    def lists(self, asker: Asker) -> Lists:
        """The newest sessions that this asker may see. Raises LedgerError."""
        seen = _Seen(self._acts, asker)
        with self._engine.connect() as connection:
            found = [
                self._list(connection, asker, seen, live=live, limit=limit) for live, limit in ((True, LIVE), (False, PAST))
            ]
        self._acts.note(asker, VIEW_SESSIONS, seen.summary())
        return Lists(found[0], found[1], seen.others)

    def find(self, asker: Asker, session: str) -> SessionRow:
        """One session that this asker may see. Raises AccessError, and LedgerError."""
        with self._engine.connect() as connection:
            found = store.find_session(connection, session)
        if found is None:
            raise AccessError(NOT_THERE, "unknown")
        self._acts.demand(asker, VIEW_SESSIONS, concern(found, asker.identity), found.id)
        return found

    def actions(self, session: str) -> list[ActionRow]:
        """The last statements of a session that was found, the newest first."""
        with self._engine.connect() as connection:
            return store.last_actions(connection, session, ACTIONS)

    def may(self, asker: Asker, verb: str, session: SessionRow) -> bool:
        """Whether the rules permit this act on it."""
        return self._acts.may(asker, verb, concern(session, asker.identity))

    def end(self, asker: Asker, session: str, reason: str, now: int) -> None:
        """Ask the gateway for a live session's end; it looks several times a second. Raises AccessError, and LedgerError."""
        reason = reason.strip() or "no reason given"
        if len(reason) > REASON_CHARACTERS or not reason.isprintable():
            text = f"a reason is one line of at most {REASON_CHARACTERS} characters that can be seen"
            raise AccessError(text, "wrong")
        found = self.find(asker, session)
        if not found.live:
            raise AccessError("the session is closed already", "closed")
        self._acts.demand(asker, KILL, concern(found, asker.identity), found.id, reason, seen=True)
        by = f"{asker.identity.kind}:{asker.identity.subject}"
        with writing(self._engine) as connection:
            if not request_kill(connection, session=found.id, at=now, by=by, reason=reason):
                raise AccessError("the session is closed already", "closed")

    def _list(self, connection: Any, asker: Asker, seen: _Seen, *, live: bool, limit: int) -> list[SessionRow]:
        """Their own however old, and of the others the newest; a session that is both stands once."""
        owner = (asker.identity.issuer, asker.identity.subject)
        own = store.list_sessions(connection, live=live, owner=owner, limit=limit)
        everybody = store.list_sessions(connection, live=live, owner=None, limit=SEARCHED)
        found = {one.id: one for one in (*own, *everybody) if seen.shows(one)}
        return sorted(found.values(), key=lambda one: (one.opened_at, one.id), reverse=True)[:limit]


class _Seen:
    """What the rules say of each sort of session, asked once for each."""

    def __init__(self, acts: Acts, asker: Asker) -> None:
        self._acts, self._asker = acts, asker
        self._known: dict[Concern, Verdict] = {}
        self._own = self._verdict(Concern(own=True, target=""))
        self.others = False

    def shows(self, session: SessionRow) -> bool:
        about = concern(session, self._asker.identity)
        shown = permits(self._verdict(about))
        self.others = self.others or (shown and not about.own)
        return shown

    def summary(self) -> Verdict:
        """The verdict that stands for the list: one that showed something, or that on one's own."""
        return next((one for about, one in self._known.items() if not about.own and permits(one)), self._own)

    def _verdict(self, about: Concern) -> Verdict:
        if about not in self._known:
            self._known[about] = self._acts.verdict(self._asker, VIEW_SESSIONS, about)
        return self._known[about]


def session_routes(sessions: Sessions, who: Who, acts: Acts) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(sessions, who, acts)
    return [
        Route("/api/v1/sessions", api.list),
        Route("/api/v1/sessions/{id}", api.show),
        Route("/api/v1/sessions/{id}/end", api.end, methods=["POST"]),
    ]


class _Api:
    def __init__(self, sessions: Sessions, who: Who, acts: Acts) -> None:
        self._sessions, self._who, self._acts = sessions, who, acts

    async def list(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        found = await asyncio.to_thread(self._sessions.lists, asker)
        rows = found.live if request.query_params.get("live") == "true" else [*found.live, *found.past]
        return JSONResponse({"sessions": [shown(one) for one in rows]})

    async def show(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        found = await asyncio.to_thread(self._sessions.find, asker, request.path_params["id"])
        actions = await asyncio.to_thread(self._sessions.actions, found.id)
        return JSONResponse(shown(found) | {"list": [asdict(one) for one in actions]})

    async def end(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        sent = await read_json(request)
        only(sent, "reason")
        session = request.path_params["id"]
        await asyncio.to_thread(self._sessions.end, asker, session, take(sent, "reason", str, ""), self._acts.now())
        return JSONResponse({"session": session, "asked": True}, HTTPStatus.ACCEPTED)


def shown(session: SessionRow) -> dict[str, Any]:
    """A session as JSON."""
    return asdict(session) | {"live": session.live}
