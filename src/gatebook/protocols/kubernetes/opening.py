"""The openings of exec, attach and port-forward: what a client may ask for, what goes on of it, what a target may agree to.

An opening is a WebSocket's (GET) or SPDY's (POST, of old GET). Its subprotocols say how streams are carried; of those that a
client lists, only known ones go on, and it is refused where none is. A bearer token among them is a credential, which the door
takes out (``subprotocols.py``), and nothing here passes one on.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum
from urllib.parse import parse_qsl

from gatebook.protocols.http import websocket
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.dialect import Passage
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.subprotocols import BEARER, FIELD
from gatebook.protocols.kubernetes.channels import CommandSocket, PortSocket
from gatebook.protocols.kubernetes.pipes import CommandPipe, PortPipe, TunnelledPipe

SPDY = "spdy/3.1"
LISTED = 16  # subprotocols of one opening
PORTS = 64  # of one port-forward in the older form
_SPDY_FIELD = b"x-stream-protocol-version"
_OURS = (FIELD, _SPDY_FIELD, b"x-accepted-stream-protocol-versions")
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


class Opening:
    """One that is sound: ``protocols`` are those that may go on, in the client's order. Owned by one exchange."""

    def __init__(self, request: Request, purpose: Purpose, random: Callable[[int], bytes]) -> None:
        """Raises MalformedError, whose status is the answer's."""
        self.purpose, self._random = purpose, random
        self._upgrade, self._key = request.upgrade, b""
        self._chosen = b""
        known = _KNOWN.get((request.upgrade, purpose is Purpose.PORT_FORWARD))
        if known is None:
            raise MalformedError(f"{purpose} is opened by a WebSocket or by SPDY/3.1")
        listed = self._listed(request)
        self.protocols = tuple(one for one in listed if one in known)
        if not self.protocols:
            names = " or ".join(one.decode() for one in known)
            raise MalformedError(f"no subprotocol that is understood here; ask for {names}", 403)
        query = parse_qsl(request.query, keep_blank_values=True)
        self.tty = next((value for name, value in query if name == "tty"), "false").lower() not in _NO
        self._ports = sum(len(value.split(",")) for name, value in query if name == "ports")
        if purpose is Purpose.PORT_FORWARD and self.protocols == (_V4,) and not 0 < self._ports <= PORTS:
            raise MalformedError(f"1 to {PORTS} ports are forwarded at a time; the query names {self._ports}")

    def _listed(self, request: Request) -> list[bytes]:
        if request.upgrade == SPDY:
            if request.method not in ("POST", "GET"):
                raise MalformedError("SPDY is opened by POST")
            return _names(request.fields, _SPDY_FIELD)
        plain = tuple(field for field in request.fields if field[0] != FIELD)
        self._key = websocket.asked(replace(request, fields=plain))
        listed = _names(request.fields, FIELD)
        if any(one.startswith(BEARER) for one in listed):
            raise MalformedError("a credential among the subprotocols")
        return listed

    def offered(self, fields: Fields) -> Fields:
        """The fields as the target hears them, with a key of ours where it is a WebSocket."""
        kept = tuple(field for field in fields if field[0] not in _OURS)
        if self._upgrade == SPDY:
            return (*kept, *((_SPDY_FIELD, one) for one in self.protocols))
        return websocket.offered((*kept, (FIELD, b", ".join(self.protocols))), b64encode(self._random(16)))

    def agreed(self, told: Request, response: Response) -> None:
        """Look at the target's 101. Raises MalformedError for a subprotocol that was not offered."""
        if self._upgrade == SPDY:
            chosen = list(response.all(_SPDY_FIELD))
        else:
            plain = Response(response.status, tuple(field for field in response.fields if field[0] != FIELD))
            websocket.agreed(replace(told, fields=()), plain, told.get(b"sec-websocket-key") or b"")
            chosen = list(response.all(FIELD))
        if len(chosen) != 1 or chosen[0] not in self.protocols:
            raise MalformedError("the target agrees to no subprotocol that was offered, or to several")
        self._chosen = chosen[0]

    def answer(self, fields: Fields) -> Response:
        """The 101 for the client: the target's fields, with the answer to the client's own key."""
        kept = tuple(field for field in fields if field[0] not in _OURS)
        if self._upgrade == SPDY:
            return Response(101, (*kept, (_SPDY_FIELD, self._chosen)))
        return websocket.answer((*kept, (FIELD, self._chosen)), self._key)

    def passage(self, plan: Plan, passes: Collection[str]) -> Passage:
        """What carries the streams that were agreed to. What a target ``passes`` unread is about contents, not about these."""
        if not self._chosen:
            raise AssertionError("streams that nobody agreed to")
        forwards = self.purpose is Purpose.PORT_FORWARD
        if self._upgrade == SPDY:
            return PortPipe(plan) if forwards else CommandPipe(plan, tty=self.tty)
        if self._chosen == _TUNNELLED:
            return TunnelledPipe(plan, self._keys)
        if forwards:
            return PortSocket(plan, self._keys, ports=self._ports)
        return CommandSocket(plan, self._keys, tty=self.tty, closes=self._chosen == _V5)

    def _keys(self) -> bytes:
        return self._random(4)


_NO = ("false", "0")  # by any other word the API server takes it for yes


def _names(fields: Fields, name: bytes) -> list[bytes]:
    found = [part.strip(b" \t") for known, value in fields if known == name for part in value.split(b",")]
    found = [one for one in found if one]
    if len(found) > LISTED or len(found) != len(set(found)):
        raise MalformedError(f"{name.decode()} names a subprotocol twice, or more than {LISTED}")
    return found
