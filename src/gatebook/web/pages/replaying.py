"""Pages of recordings: why do you look? Then what passed through a session, step by step, as its client saw it."""

from __future__ import annotations

import asyncio
import hashlib
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.errors import RecordingError
from gatebook.policy.acts import KILL
from gatebook.recording.playing import RULINGS, START, Mark, Wanted, Window
from gatebook.recording.render import status_of
from gatebook.web.acts import Asker
from gatebook.web.pages import browser
from gatebook.web.pages.browser import Refused, form_of
from gatebook.web.pages.frame import Frame
from gatebook.web.replays import Reading, Replays
from gatebook.web.sessions import Sessions

SOUGHT_CHARACTERS = 200
AT_ONCE = 2  # windows that are made at the same time; each may take as much as one window has
_ID = "/sessions/{id}/replay"


class Replaying:
    """Recordings, as far as the rules show them and this gateway can read them."""

    def __init__(self, frame: Frame, replays: Replays, sessions: Sessions) -> None:
        self._frame, self._replays, self._sessions = frame, replays, sessions
        self._room = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """Where these pages are."""
        frame = self._frame
        return [
            Route(_ID, frame.guarded(self.show)),
            Route(_ID, frame.changing(self.begin), methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """The visitor says why they look."""
        visitor = await self._frame.visitor(request)
        why = (await form_of(request)).get("why", "")
        session = request.path_params["id"]
        await asyncio.to_thread(self._replays.begin, visitor, session, why)
        return self._frame.go(f"/sessions/{session}/replay")

    async def show(self, request: Request) -> Response:
        """A window of the recording, or what it takes to see one."""
        visitor = await self._frame.visitor(request)
        reading = await asyncio.to_thread(self._replays.find, visitor, request.path_params["id"])
        if reading.why is None or not self._replays.readable:
            readable, recorded = self._replays.readable, self._replays.recorded
            return self._frame.page(request, "replay_why.html", visitor, reading=reading, readable=readable, recorded=recorded)
        asked, mark, wanted = _asked(request)
        tag = await asyncio.to_thread(self._tag, visitor, reading, asked)
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=browser.HEADERS | {"ETag": tag})
        async with self._room:
            response = await asyncio.to_thread(self._shown, request, visitor, reading, mark, wanted)
        response.headers["ETag"] = tag
        return response

    def _tag(self, visitor: Asker, reading: Reading, asked: str) -> str:
        """Of what a page depends on; to make it is far more work than to see that nothing has changed."""
        ending = self._sessions.may(visitor, KILL, reading.session)
        told = f"{visitor.key}\n{asked}\n{reading.why}\n{ending}\n{self._replays.state(reading.session)}"
        return f'"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'

    def _shown(self, request: Request, visitor: Asker, reading: Reading, mark: Mark | None, wanted: Wanted) -> Response:
        try:
            found = self._replays.window(reading, mark, wanted)
        except RecordingError as error:
            raise Refused(HTTPStatus.CONFLICT, "Not readable", f"{error}".capitalize() + ".") from error
        base = f"/sessions/{reading.session.id}/replay"
        return self._frame.page(
            request,
            "replay.html",
            visitor,
            reading=reading,
            session=reading.session,
            window=found,
            wanted=wanted,
            at_start=mark == START or (mark is None and not reading.session.live) or _begins(found),
            follows=mark is None and wanted.everything and reading.session.live,
            counts=self._replays.counts(reading.session.id),
            rulings=RULINGS,
            status_of=status_of,
            may_end=reading.session.live and self._sessions.may(visitor, KILL, reading.session),
            links=_Links(base, wanted),
        )


class _Links:
    """Addresses of this page with other questions."""

    def __init__(self, base: str, wanted: Wanted) -> None:
        self._base, self._wanted = base, wanted

    def start(self) -> str:
        """From the beginning."""
        return self.at(START)

    def at(self, mark: Mark) -> str:
        """From a place on, the same sought."""
        return self._address(str(mark), self._wanted.ruling, self._wanted.text)

    def ruled(self, ruling: str) -> str:
        """Only what was ruled so; empty: everything."""
        return self._address(str(START), ruling, self._wanted.text)

    def here(self, mark: Mark) -> str:
        """A step among those around it."""
        return f"{self._address(str(mark), '', '')}#step-{mark}"

    def _address(self, mark: str, ruling: str, sought: str) -> str:
        asked = {name: value for name, value in (("from", mark), ("ruling", ruling), ("find", sought)) if value}
        return f"{self._base}?{urlencode(asked)}"


def _begins(found: Window) -> bool:
    return bool(found.about)  # what is about the session is the recording's first event


def _asked(request: Request) -> tuple[str, Mark | None, Wanted]:
    query = request.query_params
    ruling = query.get("ruling", "")
    wanted = Wanted(ruling=ruling if ruling in RULINGS else "", text=query.get("find", "").strip()[:SOUGHT_CHARACTERS])
    mark = Mark.read(query["from"]) if "from" in query else None
    return f"{mark} {wanted!r}", mark, wanted
