"""What holds for every request before a route sees it: a safe connection, a small body, headers that browsers obey."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatebook.config.values import is_loopback
from gatebook.web.problems import Problem, answer

BODY_BYTES = 32 * 1024  # a token of 16 KiB, in a form
BODY_SECONDS = 10.0  # a client that sends its body more slowly holds a connection for nothing

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TRANSPORT = "max-age=31536000"


class Guard:
    """Outermost layer of the app. A token over a connection that is neither TLS nor loopback is refused unread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        covered = _with_headers(scope, send)
        if not _is_private(scope):
            problem = Problem(HTTPStatus.FORBIDDEN, "connect with https: tokens are taken over TLS or from this machine only")
            await answer(problem)(scope, receive, covered)
            return
        await self._app(scope, receive, covered)


async def on_fault(_request: Request, _error: Exception) -> Response:
    """Answers a fault of ours: says so and nothing else; the operators' log has the rest. It runs outside of Guard."""
    return answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of Gatebook: its log says more", HEADERS))


async def read_body(request: Request) -> bytes:
    """The body, whole; raises Problem when it is too large or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES:
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected a body of at most {BODY_BYTES} bytes", _CLOSE)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection ended before the body did", _CLOSE) from None
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"expected the body within {BODY_SECONDS:.0f} seconds", _CLOSE) from None
    return bytes(body)


_CLOSE = {"Connection": "close"}  # the rest of the body is not waited for


def _is_private(scope: Scope) -> bool:
    client = scope.get("client")
    return scope["scheme"] == "https" or (client is not None and is_loopback(client[0]))


def _with_headers(scope: Scope, send: Send) -> Send:
    async def covered(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if scope["scheme"] == "https":
                headers["Strict-Transport-Security"] = TRANSPORT
        await send(message)

    return covered
