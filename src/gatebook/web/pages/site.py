"""All pages by their addresses, and how people sign in and out.

GET  /                        goes to /approvals
GET  /approvals               what waits for a person, and what was decided lately (deciding.py)
GET  /approvals/ID            one request, whole
POST /approvals/ID/vote       approve or deny it
GET  /sessions                sessions, live and past (looking.py)
GET  /sessions/ID             one session and its statements
POST /sessions/ID/end         end a live one
GET  /sessions/ID/replay      what passed through it (replaying.py); ?from=, ?ruling=, ?find=
POST /sessions/ID/replay      why somebody looks
GET  /sign-in                 who are you?
GET  /sign-in/with/PROVIDER   off to the provider
GET  /sign-in/return          and back
GET  /sign-in/for/TARGET/…    back to a target's own host, signed in there (targets.py)
POST /sign-out                end the sign-in
GET  /static/FILE             style and script
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files

import httpx
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.access.approvals import Approvals
from gatebook.config import Config
from gatebook.identity.browsers import BrowserSignIns
from gatebook.identity.oidc import Verifier
from gatebook.ledger.vouching import Vouching
from gatebook.recording.reader import Reader
from gatebook.web.acts import Acts
from gatebook.web.approvals import Asking
from gatebook.web.pages import browser
from gatebook.web.pages.begun import Begun, own_page
from gatebook.web.pages.browser import Refused
from gatebook.web.pages.deciding import Deciding
from gatebook.web.pages.frame import Frame, SignInNeeded
from gatebook.web.pages.looking import Looking
from gatebook.web.pages.provider import SignInClient
from gatebook.web.pages.replaying import Replaying
from gatebook.web.pages.targets import Targets, named_in
from gatebook.web.replays import Replays
from gatebook.web.sessions import Sessions

STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
ANSWER_FIELDS = 20


def page_routes(
    config: Config,
    engine: Engine,
    approvals: Approvals,
    acts: Acts,
    clock: Callable[[], int],
    *,
    reader: Reader | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[Route]:
    """The pages' routes; ``acts`` says who may look at and decide what, ``reader`` opens recordings.

    ``transport`` and ``monotonic`` are for calls to identity providers.
    """
    frame = Frame(config, engine, clock)
    door = _Door(config, frame, transport, monotonic)
    sessions = Sessions(engine, acts)
    vouching = Vouching(config.ledger.folder)
    replays = Replays(engine, acts, sessions, reader, vouching, recorded=config.recording is not None)
    return [
        Route("/", frame.guarded(door.first)),
        Route("/sign-in", frame.guarded(door.sign_in)),
        Route("/sign-in/with/{provider}", frame.guarded(door.leave)),
        Route("/sign-in/return", frame.guarded(door.come_back)),
        *Targets(frame, config, BrowserSignIns(engine)).routes(),
        Route("/sign-out", frame.changing(door.sign_out), methods=["POST"]),
        *Deciding(frame, Asking(approvals, acts)).routes(),
        *Looking(frame, sessions).routes(),
        *Replaying(frame, replays, sessions).routes(),
        *(Route(f"/static/{name}", _static(name)) for name in STATIC),
    ]


class _Door:
    """Signing in and out."""

    def __init__(
        self, config: Config, frame: Frame, transport: httpx.AsyncBaseTransport | None, monotonic: Callable[[], float]
    ) -> None:
        self._frame = frame
        self._seconds = config.identity.token_seconds
        providers = config.identity.providers
        ours = [one.model_copy(update={"audience": one.client_id}) if one.client_id else one for one in providers]
        verifier = Verifier(ours, transport=transport, monotonic=monotonic)
        back = f"{frame.origin}/sign-in/return"
        self._clients = {
            one.name: SignInClient(one, verifier, back, transport=transport, monotonic=monotonic)
            for one in providers
            if one.client_id
        }

    async def first(self, _request: Request) -> Response:
        return self._frame.go("/approvals")

    async def sign_in(self, request: Request) -> Response:
        """Who comes from a link elsewhere brings no Strict cookie at first, and is signed in all the same: on they go."""
        page = own_page(request.query_params.get("page", ""))
        try:
            await self._frame.visitor(request)
        except SignInNeeded:
            return self._frame.page(
                request, "sign_in.html", None, providers=list(self._clients), page=page, target=named_in(page)
            )
        return self._frame.go(page)

    async def leave(self, request: Request) -> Response:
        name = request.path_params["provider"]
        client = self._client(name)
        begun = Begun.now(name, request.query_params.get("page", ""), self._frame.now())
        address = await client.address(state=begun.state, nonce=begun.nonce, challenge=begun.challenge)
        response = self._frame.go(address)
        browser.set_cookie(response, browser.SIGN_IN, begun.cookie, browser.RETURN_SECONDS)
        return response

    async def come_back(self, request: Request) -> Response:
        begun = Begun.read(request.cookies.get(browser.SIGN_IN, ""), self._frame.now())
        answer = dict(request.query_params)
        fits = begun is not None and hmac.compare_digest(answer.get("state", "").encode(), begun.state.encode())
        if begun is None or not fits or len(request.query_params.multi_items()) != len(answer) or len(answer) > ANSWER_FIELDS:
            text = "This answer does not fit a sign-in that this browser began in the last ten minutes. Sign in again."
            raise Refused(HTTPStatus.BAD_REQUEST, "Not signed in", text)
        if "error" in answer or "code" not in answer:
            raise Refused(HTTPStatus.FORBIDDEN, "Not signed in", "The provider signed nobody in.")
        client = self._client(begun.provider)
        now = self._frame.now()
        identity = await client.identity(answer, verifier=begun.verifier, nonce=begun.nonce, now=now)
        cookie = await asyncio.to_thread(self._frame.sign_ins.begin, identity, now=now, seconds=self._seconds)
        response = self._frame.go_on(request, begun.page)
        browser.drop_cookie(response, browser.SIGN_IN)
        browser.set_cookie(response, browser.SESSION, cookie, self._seconds)
        return response

    async def sign_out(self, request: Request) -> Response:
        await asyncio.to_thread(self._frame.sign_ins.end, request.cookies.get(browser.SESSION, ""), self._frame.now())
        response = self._frame.go("/sign-in")
        browser.drop_cookie(response, browser.SESSION)
        return response

    def _client(self, name: str) -> SignInClient:
        found = self._clients.get(name)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "No such provider", "Nobody signs in through a provider of this name.")
        return found


def _static(name: str) -> Callable[[Request], Response]:
    body = files("gatebook.web.pages").joinpath("static", name).read_bytes()

    def endpoint(_request: Request) -> Response:
        return Response(body, headers={"Cache-Control": "no-cache"}, media_type=STATIC[name])

    return endpoint
