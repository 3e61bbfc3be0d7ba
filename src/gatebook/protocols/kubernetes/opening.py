"""The openings of exec, attach and port-forward: what a client may ask for, what goes on of it, what a target may agree to.

An opening is a WebSocket's (GET) or SPDY's (POST, of old GET). Its subprotocols say how streams are carried; of those that a
client lists, only known ones go on, and it is refused where none is. A bearer token among them is a credential: ``bearer``
takes it out, for the door, and nothing here ever passes one on.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import parse_qsl

from gatebook.protocols.http import websocket
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.tunnel import Passage
from gatebook.protocols.kubernetes.channels import CommandSocket, PortSocket
from gatebook.protocols.kubernetes.pipes import CommandPipe, PortPipe, TunnelledPipe

SPDY = "spdy/3.1"
BEARER = b"base64url.bearer.authorization.k8s.io."
TOKEN_BYTES = 16_384
LISTED = 16  # subprotocols of one opening
PORTS = 64  # of one port-forward in the older form
_SOCKET_FIELD, _SPDY_FIELD = b"sec-websocket-protocol", b"x-stream-protocol-version"
_OURS = (_SOCKET_FIELD, _SPDY_FIELD, b"x-accepted-stream-protocol-versions")
_V4, _V5 = b"v4.channel.k8s.io", b"v5.channel.k8s.io"
_PORT, _TUNNELLED = b"portforward.k8s.io", b"SPDY/3.1+portforward.k8s.io"


class Purpose(StrEnum):
    """What is opened: a pod's subresource."""

    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "portforward"


# As many as are understood here, by how they are carried and whether a port is forwarded.
_KNOWN = {
    ("websocket", False): (_V5, _V4),
    ("websocket", True): (_TUNNELLED, _V4),
    (SPDY, False): (_V5, _V4),
    (SPDY, True): (_PORT,),
}


@dataclass(frozen=True, slots=True)
class Opening:
    """One that is sound. ``key`` is a WebSocket's, the client's own; ``protocols`` are those that may go on, in its order."""

    purpose: Purpose
    upgrade: str
    key: bytes
    protocols: tuple[bytes, ...]
    tty: bool
    ports: int


def bearer(request: Request) -> tuple[str, Request]:
    """The token that a WebSocket's subprotocols hold, "" without one, and the request without it. Raises MalformedError."""
    found: list[bytes] = []
    kept: list[tuple[bytes, bytes]] = []
    for name, value in request.fields:
        if name == _SOCKET_FIELD and BEARER in value:
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
        if len(coded) > TOKEN_BYTES or b"=" in coded:
            raise ValueError
        plain = urlsafe_b64decode(coded + b"=" * (-len(coded) % 4))
        token = plain.decode("ascii")
    except (ValueError, binascii.Error):
        raise MalformedError("a bearer token among the subprotocols that is none") from None
    if not token or not token.isprintable() or " " in token:
        raise MalformedError("a bearer token among the subprotocols that is none")
    return token


def asked(request: Request, purpose: Purpose) -> Opening:
    """What a client's request opens. Raises MalformedError, whose status is its answer's."""
    forwards = purpose is Purpose.PORT_FORWARD
    known = _KNOWN.get((request.upgrade, forwards))
    if known is None:
        raise MalformedError(f"{purpose} is opened by a WebSocket or by SPDY/3.1", 400)
    key = b""
    if request.upgrade == SPDY:
        if request.method not in ("POST", "GET"):
            raise MalformedError("SPDY is opened by POST")
        listed = _listed(request.fields, _SPDY_FIELD)
    else:
        plain = tuple(field for field in request.fields if field[0] != _SOCKET_FIELD)
        key = websocket.asked(replace(request, fields=plain))
        listed = _listed(request.fields, _SOCKET_FIELD)
    if any(one.startswith(BEARER) for one in listed):
        raise MalformedError("a credential among the subprotocols")
    protocols = tuple(one for one in listed if one in known)
    if not protocols:
        names = " or ".join(one.decode() for one in known)
        raise MalformedError(f"no subprotocol that is understood here; ask for {names}", 403)
    query = parse_qsl(request.query, keep_blank_values=True)
    tty = next((value for name, value in query if name == "tty"), "false")
    ports = [one for name, value in query if name == "ports" for one in value.split(",")]
    if forwards and protocols == (_V4,) and not 0 < len(ports) <= PORTS:
        raise MalformedError(f"1 to {PORTS} ports are forwarded at a time; the query names {len(ports)}")
    return Opening(purpose, request.upgrade, key, protocols, tty.lower() not in _NO, len(ports))


_NO = ("false", "0")  # by any other word the API server takes it for yes


def offered(fields: Fields, opening: Opening, key: bytes) -> Fields:
    """The fields of an opening as the target hears it; ``key`` is ours, for a WebSocket."""
    kept = tuple(field for field in fields if field[0] not in _OURS)
    if opening.upgrade == SPDY:
        return (*kept, *((_SPDY_FIELD, one) for one in opening.protocols))
    return websocket.offered((*kept, (_SOCKET_FIELD, b", ".join(opening.protocols))), key)


def agreed(opening: Opening, response: Response, key: bytes) -> bytes:
    """The subprotocol of a target's 101. Raises MalformedError where it is none that was offered; ``key`` as it was given."""
    if opening.upgrade == SPDY:
        chosen = list(response.all(_SPDY_FIELD))
    else:
        plain = Response(response.status, tuple(field for field in response.fields if field[0] != _SOCKET_FIELD))
        websocket.agreed(Request("GET", "", "", "/", ()), plain, key)
        chosen = list(response.all(_SOCKET_FIELD))
    if len(chosen) != 1 or chosen[0] not in opening.protocols:
        raise MalformedError("the target agrees to no subprotocol that was offered, or to several")
    return chosen[0]


def answer(fields: Fields, opening: Opening, protocol: bytes) -> Response:
    """The 101 for the client: the target's fields, with the answer to the client's own key."""
    kept = tuple(field for field in fields if field[0] not in _OURS)
    if opening.upgrade == SPDY:
        return Response(101, (*kept, (_SPDY_FIELD, protocol)))
    return websocket.answer((*kept, (_SOCKET_FIELD, protocol)), opening.key)


def passage(opening: Opening, protocol: bytes, plan: Plan, keys: Callable[[], bytes]) -> Passage:
    """What carries the streams that were agreed to."""
    forwards = opening.purpose is Purpose.PORT_FORWARD
    if opening.upgrade == SPDY:
        return PortPipe(plan) if forwards else CommandPipe(plan, tty=opening.tty)
    if protocol == _TUNNELLED:
        return TunnelledPipe(plan, keys)
    if forwards:
        return PortSocket(plan, keys, ports=opening.ports)
    return CommandSocket(plan, keys, tty=opening.tty, closes=protocol == _V5)


def _listed(fields: Fields, name: bytes) -> list[bytes]:
    found = [part.strip(b" \t") for known, value in fields if known == name for part in value.split(b",")]
    found = [one for one in found if one]
    if len(found) > LISTED or len(found) != len(set(found)):
        raise MalformedError(f"{name.decode()} names a subprotocol twice, or more than {LISTED}")
    return found
