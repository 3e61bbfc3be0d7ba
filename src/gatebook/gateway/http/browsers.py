"""Browsers at a target's own host: sent to the gateway's pages to sign in, taken back from there, signed out.

How they travel, and what keeps others out, stands in ``protocols/http/browsers.py``; the codes, and what they are redeemed for,
in ``identity/browsers.py``. Whatever a process needs comes with the request or lies in the database, so any of them may take
the browser back.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gatebook.config import Config
from gatebook.errors import IdentityError
from gatebook.gateway.desk import NOT_OPEN
from gatebook.identity.browsers import BrowserSignIns
from gatebook.masking.detectors import cover_text
from gatebook.model import Ruling, Verdict
from gatebook.protocols.http import refusal, refusal_page
from gatebook.protocols.http.browsers import (
    BACK_SECONDS,
    MICROSECONDS,
    SIGN_IN,
    SIGN_OUT,
    Back,
    Begun,
    dropped_cookie,
    going_to,
    kept_cookie,
    navigates,
    own_page,
    packed,
    page_of,
)
from gatebook.protocols.http.door import COOKIE, Knock, Own, Turned, cookies, forged
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.relay import ANOTHER_SITE, NO_IDENTITY, Refused

LED_HERE = Verdict(
    ruling=Ruling.BLOCK,
    rule=ANOTHER_SITE,
    reason="a page of another site led here, and what it asks for may change something",
    policy_digest="",
    instead="If that is what you want, open it from here.",
)

log = structlog.get_logger("gatebook.http")


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer of the gateway's own to a browser: a page, or where it goes next."""

    status: int
    fields: Fields
    content: bytes = b""

    def said(self) -> tuple[Response, bytes]:
        """Head and content."""
        return Response(self.status, self.fields), self.content


class Browsers:
    """Of one process. Used from one event loop; the database from threads. ``clock`` gives µs since 1970."""

    def __init__(self, config: Config, sign_ins: BrowserSignIns, clock: Callable[[], int]) -> None:
        self._sign_ins, self._clock = sign_ins, clock
        pages = urlsplit(config.listeners.public_url)
        self._pages = f"{pages.scheme}://{pages.netloc}"
        listener = config.listeners.http
        providers = any(one.client_id for one in config.identity.providers)
        self._listener = listener if providers and listener is not None and listener.tls is not None else None

    # Who shows nothing that lets them in -----------------------------------------------------------------------------------

    def turned(self, request: Request, turned: Turned) -> refusal.Problem | Shown:
        """What they hear; a browser that may sign in is sent to do so."""
        if turned.target and turned.status == HTTPStatus.UNAUTHORIZED and navigates(request):
            sent = self._send(request, turned.target, page_of(request))
            if sent is not None:
                return sent
        return refusal.turned(turned.status, turned.why, turned.advice)

    def not_let_in(self, request: Request, knock: Knock, refused: Refused) -> refusal.Problem | Shown:
        """The same for a token or a sign-in that is refused: one that is over is begun anew."""
        problem = refusal.not_let_in(refused)
        if not knock.browser:
            return problem
        if refused.verdict.rule == NOT_OPEN:
            return replace(problem, more={**problem.more, "instead": _ask_for(knock.target)})
        if refused.verdict.rule != NO_IDENTITY:
            return problem
        sent = self._send(request, knock.target, page_of(request)) if navigates(request) else None
        again = {"instead": "Nothing was sent on. Open a page of this site to sign in again.", "open": "/"}
        return sent or replace(problem, more={**problem.more, **again})

    def _send(self, request: Request, target: str, page: str) -> Shown | None:
        """Off to the gateway's pages; None where nobody can sign in by browser."""
        if self._listener is None:
            return None
        origin = self._listener.origin_of(target)
        if f"{request.scheme}://{request.authority}".lower() != origin:
            return Shown(HTTPStatus.SEE_OTHER, going_to(f"{origin}{page}"))  # cookies are of this name alone
        now = self._clock()
        begun = Begun.read(cookies(request.fields), now)
        if begun is None or now - begun.at > BACK_SECONDS * MICROSECONDS // 2:  # several tabs may sign in at the same time
            begun = Begun(secrets.token_urlsafe(32), now)
        place = f"{self._pages}/sign-in/for/{target}/{begun.state(target, page)}/{packed(page)}"
        return Shown(HTTPStatus.SEE_OTHER, going_to(place, (b"set-cookie", begun.cookie)))

    # What the gateway has on every target's host ---------------------------------------------------------------------------

    async def own(self, asked: Own) -> refusal.Problem | Shown:
        """Signing in and out. ``asked`` goes to no target, whatever comes of it."""
        request = asked.request
        if self._listener is None:
            return refusal.Problem(404, "nobody signs in here by browser", {"class": "fix"})
        try:
            if request.path == SIGN_IN and request.method == "GET":
                return await self._take_back(request, asked.target)
            if request.target == SIGN_OUT and request.method in ("GET", "POST"):
                return await self._sign_out(request, asked.target)
        except SQLAlchemyError as error:
            log.error("a browser cannot sign in or out", why=str(error))
            return refusal.Problem(503, "the gateway's database cannot be used: tell whoever runs it", {"class": "fix"})
        return refusal.Problem(404, "the gateway has nothing here", {"class": "fix"})

    async def _take_back(self, request: Request, target: str) -> refusal.Problem | Shown:
        back = Back.read(request.target)
        if back is None or not navigates(request):
            return _page(400, "Not signed in", "This address does not come from a sign-in.", "/")
        now = self._clock()
        begun = Begun.read(cookies(request.fields), now)
        if begun is None:
            why = "This browser did not begin this sign-in in the last ten minutes, or it keeps no cookies of this site."
            return _page(400, "Not signed in", why, back.page)
        if not hmac.compare_digest(begun.state(target, back.page), back.state):
            return self._send(request, target, back.page) or _page(400, "Not signed in", "Sign in again.", back.page)
        try:
            token, identity = await asyncio.to_thread(
                self._sign_ins.redeem, back.code, target=target, state=back.state, now=now
            )
        except IdentityError as error:
            why = str(error)
            return _page(403, "Not signed in", f"{why[:1].upper()}{why[1:]}.", back.page)
        seconds = max(1, (identity.expires_at - now) // MICROSECONDS)
        return Shown(HTTPStatus.SEE_OTHER, going_to(back.page, kept_cookie(COOKIE, token, seconds)))

    async def _sign_out(self, request: Request, target: str) -> refusal.Problem | Shown:
        if request.method == "GET":
            told = [f"This ends your sign-in to {target} in this browser. What is under way ends with it."]
            content = refusal_page.page("Sign out?", told, {}, form=f"Sign out={SIGN_OUT}")
            return Shown(HTTPStatus.OK, refusal_page.HEAD, content)
        if why := forged(request):
            return refusal.Problem(403, why, {"class": "fix"})
        for name, value in cookies(request.fields):
            if name == COOKIE:
                await asyncio.to_thread(self._sign_ins.end, value.decode("latin-1"), target, self._clock())
        links = [refusal_page.Link("/", "Sign in again"), refusal_page.Link(f"{self._pages}/approvals", "Gatebook's own pages")]
        told = ["You are signed out here. On Gatebook's own pages you may still be; they let you in here again without asking."]
        content = refusal_page.page("Signed out", told, {}, links)
        return Shown(HTTPStatus.OK, (*refusal_page.HEAD, dropped_cookie(COOKIE)), content)


def _ask_for(target: str) -> str:
    """What a person does who may not open a target yet: its pages have no place to say why one comes."""
    return (
        f"Ask for access by `gatebook grants request {cover_text(target)} --reason WHY`, or ask whoever runs the gateway. "
        f"Where rules want a ticket or task, go by `gatebook connect {cover_text(target)} --why TICKET`: a page states none."
    )


def _page(status: int, title: str, why: str, page: str) -> Shown:
    links = [refusal_page.Link(own_page(page), "Sign in", main=True)]
    return Shown(status, refusal_page.HEAD, refusal_page.page(title, [why], {}, links))
