"""What every page has: who looks at it, its template with everything escaped, and an answer for whatever goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from gatebook.config import Config
from gatebook.errors import AccessError, IdentityError, LedgerError
from gatebook.identity.oidc import ProviderError
from gatebook.recording.results import End
from gatebook.web.acts import Asker
from gatebook.web.pages import browser, shown
from gatebook.web.pages.begun import own_page
from gatebook.web.pages.browser import Refused
from gatebook.web.pages.signins import SignIns
from gatebook.web.problems import Problem

Handler = Callable[[Request], Awaitable[Response]]

_SAID = {  # how an AccessError's sort of no is answered
    "unknown": (HTTPStatus.NOT_FOUND, "Not here"),
    "closed": (HTTPStatus.CONFLICT, "Too late"),
    "forbidden": (HTTPStatus.FORBIDDEN, "Not yours to do"),
    "limit": (HTTPStatus.TOO_MANY_REQUESTS, "Too many"),
    "wrong": (HTTPStatus.BAD_REQUEST, "Something is missing"),
    "away": (HTTPStatus.SERVICE_UNAVAILABLE, "Not now"),
}


class SignInNeeded(Exception):  # noqa: N818 - it is an answer
    """Nobody is signed in."""


class Frame:
    """Renders pages for visitors. ``clock`` gives microseconds since 1970."""

    def __init__(self, config: Config, engine: Engine, clock: Callable[[], int]) -> None:
        self.origin = browser.origin_of(config.listeners.public_url)
        self.deployment = config.deployment
        self.engine = engine
        self.sign_ins = SignIns(engine)
        self.now = clock
        self._templates = _environment()

    # Who --------------------------------------------------------------------------------------------------------------------

    async def visitor(self, request: Request) -> Asker:
        """Who is signed in; raises SignInNeeded."""
        cookie = request.cookies.get(browser.SESSION, "")
        found = await asyncio.to_thread(self.sign_ins.find, cookie, self.now()) if cookie else None
        if found is None:
            raise SignInNeeded
        return Asker.of(found, request)

    # What -------------------------------------------------------------------------------------------------------------------

    def page(
        self, request: Request, template: str, visitor: Asker | None, status: HTTPStatus = HTTPStatus.OK, **values: object
    ) -> Response:
        """A page; nothing but 304 when the browser has this very one."""
        frame = {"visitor": visitor, "path": request.url.path, "deployment": self.deployment}
        body = self._templates.get_template(template).render(frame | values).encode("utf-8", "replace")
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = browser.HEADERS | {"ETag": tag}
        if status is HTTPStatus.OK and request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, status, headers, media_type="text/html")

    def go(self, page: str) -> Response:
        """After a change: look at what is so now."""
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": page})

    def go_on(self, request: Request, page: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        """A page that goes on to another by itself: unlike a redirect, this step begins here, so Strict cookies travel."""
        return self.page(request, "go_on.html", None, status, page=page)

    # What goes wrong -------------------------------------------------------------------------------------------------------

    def guarded(self, handler: Handler) -> Handler:
        """The handler, with a page for everything that ends a request."""

        async def endpoint(request: Request) -> Response:
            try:
                browser.check_host(request, self.origin)
                return await handler(request)
            except SignInNeeded:
                page = quote(own_page(request.url.path), safe="/")
                return self.go_on(request, f"/sign-in?page={page}", HTTPStatus.UNAUTHORIZED)
            except (Refused, AccessError, IdentityError, LedgerError, Problem, SQLAlchemyError) as error:
                return self._refused(request, error)

        return endpoint

    def changing(self, handler: Handler) -> Handler:
        """The same for what changes something: it must come from a page of ours."""

        async def endpoint(request: Request) -> Response:
            browser.check_own(request, self.origin)
            return await handler(request)

        return self.guarded(endpoint)

    def _refused(self, request: Request, error: Exception) -> Response:
        status, title, text = _answer_to(error)
        return self.page(request, "refused.html", None, status, title=title, text=text)


def _answer_to(error: Exception) -> tuple[HTTPStatus, str, str]:
    match error:
        case Refused():
            return error.status, error.title, error.text
        case Problem():
            return error.status, error.status.phrase, error.detail
        case AccessError():
            return *_SAID[error.fault], f"{_sentence(str(error))} Nothing was changed."
        case ProviderError():
            return HTTPStatus.SERVICE_UNAVAILABLE, "The provider does not answer", _sentence(str(error))
        case IdentityError():
            return HTTPStatus.FORBIDDEN, "Not signed in", _sentence(str(error))
        case LedgerError():
            return HTTPStatus.SERVICE_UNAVAILABLE, "The book cannot be written", "So nothing was changed: tell whoever runs it."
    return HTTPStatus.SERVICE_UNAVAILABLE, "Not now", "The database cannot be used. Nothing was changed: tell whoever runs it."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gatebook.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("exact", "name", "peek", "size", "moment", "iso", "lasted", "volume"):
        made.filters[f"as_{name}"] = getattr(shown, name)
    made.tests["ended"] = lambda one: isinstance(one, End)
    return made
