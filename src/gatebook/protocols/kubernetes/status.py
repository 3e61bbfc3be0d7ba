"""How clients of Kubernetes hear a refusal: a ``Status`` object, which kubectl prints and libraries raise as their error.

kubectl prints the message alone, so it says all of it: the rule, what would be allowed, where to follow what waits. The fields
that every refusal of Gatebook has stand in ``details.causes``, one each (Kubernetes API conventions, "Response Status Kind").
"""

from __future__ import annotations

import orjson

from gatebook.protocols.http.message import Response
from gatebook.protocols.http.refusal import RETRY_SECONDS, Problem

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    500: "InternalError",
    502: "ServiceUnavailable",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def said(problem: Problem) -> tuple[Response, bytes]:
    """Head and content of the gateway's own answer."""
    head = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"), *problem.fields)
    return Response(problem.status, head), orjson.dumps(status(problem))


def told(problem: Problem) -> tuple[Response, bytes]:
    """The same in words, for who reads no object at all: client-go's discovery prints "unknown" for any but text."""
    head = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *problem.fields)
    return Response(problem.status, head), _message(problem).encode()


def event(problem: Problem) -> bytes:
    """The same as the last event of a watch that ends."""
    return orjson.dumps({"type": "ERROR", "object": status(problem)}) + b"\n"


def status(problem: Problem) -> dict[str, object]:
    """The object itself."""
    more = problem.more
    details: dict[str, object] = {
        "causes": [{"reason": "Gatebook", "field": name, "message": _plain(value)} for name, value in more.items()]
    }
    if more.get("class") == "wait":
        details["retryAfterSeconds"] = RETRY_SECONDS
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": _message(problem),
        "reason": REASONS.get(problem.status, "Unknown"),
        "details": details if more else {},
        "code": problem.status,
    }


def _message(problem: Problem) -> str:
    told = [problem.detail, str(problem.more.get("instead", ""))]
    return ". ".join(one.rstrip(".") for one in told if one)


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
