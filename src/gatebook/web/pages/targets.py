"""From the pages back to a target: whoever is signed in here gets a code for the target's own host, good once and for a minute.

A target of any name gets one: whether there is such a target, and whether it is open to this person, is decided where the code
is redeemed, as for every client, so that nobody learns here which targets exist. Where the browser goes is made of the
configuration and the target's name alone. What the target's host checks, and why, stands in ``protocols/http/browsers.py``.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.config import Config
from gatebook.identity.browsers import BrowserSignIns
from gatebook.protocols.http.browsers import PAGE, SIGN_IN, STATE
from gatebook.web.pages import browser
from gatebook.web.pages.begun import FOR
from gatebook.web.pages.browser import Refused
from gatebook.web.pages.frame import Frame
from gatebook.web.pages.signins import digest_of

_PLACE = re.compile(rf"{FOR}([a-z0-9][a-z0-9_-]{{0,62}})/({STATE})/({PAGE})")


def named_in(page: str) -> str:
    """The target that somebody signs in for to come to this page; "" for the gateway's own."""
    found = _PLACE.fullmatch(page)
    return found[1] if found else ""


class Targets:
    """Gives browsers their codes."""

    def __init__(self, frame: Frame, config: Config, sign_ins: BrowserSignIns) -> None:
        self._frame, self._sign_ins = frame, sign_ins
        listener = config.listeners.http
        self._listener = listener if listener is not None and listener.domain and listener.tls is not None else None

    def routes(self) -> list[Route]:
        """The route."""
        return [Route(FOR + "{target}/{state}/{page}", self._frame.guarded(self.send))]

    async def send(self, request: Request) -> Response:
        """Back to the target's host. Only a browser's window gets there: no frame, and no script."""
        found = _PLACE.fullmatch(request.url.path)
        if found is None or self._listener is None:
            raise Refused(HTTPStatus.NOT_FOUND, "Not here", "There is no target to sign in to at this address.")
        if request.headers.get("sec-fetch-dest", "document") != "document":
            raise Refused(HTTPStatus.FORBIDDEN, "Not from here", "Sign-ins happen in a window of their own.")
        visitor = await self._frame.visitor(request)
        target, state, page = found.groups()
        code = await asyncio.to_thread(
            self._sign_ins.code,
            visitor.identity,
            digest_of(request.cookies.get(browser.SESSION, "")),
            target=target,
            state=state,
            now=self._frame.now(),
        )
        return self._frame.go(f"{self._listener.origin_of(target)}{SIGN_IN}?code={code}&state={state}&page={page}")
