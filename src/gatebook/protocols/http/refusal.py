"""How HTTP clients hear a refusal: ``application/problem+json`` (RFC 9457), with what a program needs to go on.

Who calls by gRPC hears it as the call's status, and what to do next in its message. Who reads it in a browser's window gets a
page (``refusal_page.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson

from gatebook.model import Action, RefusalClass
from gatebook.protocols.http import grpc, refusal_page
from gatebook.protocols.http.grpc import Status
from gatebook.protocols.http.message import Fields, Response
from gatebook.protocols.refused import explained, told
from gatebook.protocols.relay import NO_IDENTITY, Refused

RETRY_SECONDS = 10  # between two tries of an action that waits for people
_STATUSES = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    408: Status.DEADLINE_EXCEEDED,
    404: Status.UNIMPLEMENTED,
    429: Status.RESOURCE_EXHAUSTED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
_NOTHING: MappingProxyType[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that the gateway gives by itself. ``called`` is its status in gRPC where that of HTTP does not tell it.

    ``page``: a person reads it in a browser's window.
    """

    status: int
    detail: str
    more: MappingProxyType[str, Any] | dict[str, Any] = field(default_factory=lambda: _NOTHING)
    fields: Fields = ()
    called: Status | None = None
    page: bool = False

    def of_call(self) -> tuple[Response, Fields]:
        """Head and trailers, for who calls by gRPC."""
        status = self.called or _STATUSES.get(self.status, Status.UNKNOWN)
        told = [self.detail, str(self.more.get("instead", ""))]
        if self.more.get("follow"):
            told.append(f"Follow it at {self.more['follow']}")
        return grpc.parted(grpc.refusal(status, ". ".join(one.rstrip(".") for one in told if one)))

    def said(self) -> tuple[Response, bytes]:
        """Head and content; its length is the codec's to say."""
        try:
            title = HTTPStatus(self.status).phrase
        except ValueError:
            title = "Refused"
        if self.page:
            content = refusal_page.of_problem(self.status, title, self.detail, self.more)
            return Response(self.status, (*refusal_page.HEAD, *self.fields)), content
        body = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.more}
        content = orjson.dumps(body, default=str)
        head = (
            (b"content-type", b"application/problem+json"),
            (b"cache-control", b"no-store"),
            *self.fields,
        )
        return Response(self.status, head), content


def turned(status: int, why: str, advice: str) -> Problem:
    """Somebody who got no further than the door."""
    more = {"instead": advice} if advice else {}
    fields: Fields = ((b"www-authenticate", b'Bearer realm="gatebook"'),) if status == HTTPStatus.UNAUTHORIZED else ()
    return Problem(status, why, more, fields)


def not_let_in(refused: Refused) -> Problem:
    """The identity or the session was refused. What proved nothing is 401, so that clients fetch a fresh token."""
    verdict = refused.verdict
    more = {"decision": refused.decision, "rule": verdict.rule, "class": str(refused.refusal)}
    if verdict.instead:
        more["instead"] = verdict.instead
    nobody = verdict.rule == NO_IDENTITY
    fields: Fields = ((b"www-authenticate", b'Bearer realm="gatebook", error="invalid_token"'),) if nobody else ()
    status = HTTPStatus.UNAUTHORIZED if nobody else HTTPStatus.FORBIDDEN
    return Problem(status, f"blocked by {verdict.rule}: {verdict.reason}", more, fields)


def refused(action: Action, said: Refused, page: str = "") -> Problem:
    """The answer that stands in for the refused request's own; ``page`` is what its person may open after all."""
    waits = said.refusal is RefusalClass.WAIT
    fields: Fields = ((b"retry-after", str(RETRY_SECONDS).encode()),) if waits else ()
    more = explained(action, said) | ({"open": page} if page else {})
    called = Status.UNAVAILABLE if waits else None
    return Problem(HTTPStatus.FORBIDDEN, told(action, said.verdict), more, fields, called=called)
