"""A bearer token among the subprotocols of a WebSocket: all that a browser can send one by, and what Kubernetes takes.

It is a credential like any other: it is taken out at the door, and none ever goes on.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import replace

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.message import Request

BEARER = b"base64url.bearer.authorization.k8s.io."
TOKEN_BYTES = 16_384
FIELD = b"sec-websocket-protocol"


def bearer(request: Request) -> tuple[str, Request]:
    """The token that a WebSocket's subprotocols hold, "" without one, and the request without it. Raises MalformedError."""
    found: list[bytes] = []
    kept: list[tuple[bytes, bytes]] = []
    for name, value in request.fields:
        if name == FIELD and BEARER in value:
            parts = [part.strip(b" \t") for part in value.split(b",")]
            found += [part.removeprefix(BEARER) for part in parts if part.startswith(BEARER)]
            value = b", ".join(part for part in parts if not part.startswith(BEARER))
            if not value:
                continue
        kept.append((name, value))
    if not found:
        return "", request
    if len(found) > 1 or request.get(b"authorization") is not None:
        raise MalformedError("more than one credential")
    return _token(found[0]), replace(request, fields=tuple(kept))


def _token(coded: bytes) -> str:
    try:
        if len(coded) > TOKEN_BYTES or b"=" in coded or b"/" in coded or b"+" in coded:
            raise ValueError
        plain = b64decode(coded + b"=" * (-len(coded) % 4), b"-_", validate=True)
        token = plain.decode("ascii")
    except (ValueError, binascii.Error):
        raise MalformedError("a bearer token among the subprotocols that is none") from None
    if not token or not token.isprintable() or " " in token:
        raise MalformedError("a bearer token among the subprotocols that is none")
    return token
