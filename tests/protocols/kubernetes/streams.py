"""Both ends of an exec or a port-forward as their libraries write them, and what a tunnel made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

from gatebook.protocols.http.dialect import Passage
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.http.websocket import Binary, Close, Heard, Reader, Writer
from gatebook.protocols.kubernetes import spdy
from gatebook.protocols.terminals import Kind, frames

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
EMAIL = b"ada.brown@example.com"
HIDDEN_EMAIL = b"*********@example.com"
CARD = b"4111 1111 1111 1111"
HIDDEN_CARD = b"*" * 19
SUCCESS = json.dumps({"metadata": {}, "status": "Success"}).encode()
KEY = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc/def+==\n-----END RSA PRIVATE KEY-----\n"
HIDDEN_KEY = b"-----BEGIN RSA PRIVATE KEY-----\n****************\n**********\n-----END RSA PRIVATE KEY-----\n"


def keys() -> bytes:
    return b"abcd"


def socket_client(*said: Heard) -> bytes:
    """Frames of a client."""
    writer = Writer(keys)
    return b"".join(writer.say(one) for one in said)


def socket_target(*said: Heard) -> bytes:
    """Frames of a target."""
    writer = Writer()
    return b"".join(writer.say(one) for one in said)


def message(channel: int, data: bytes = b"") -> Binary:
    return Binary(bytes((channel,)) + data, last=True)


def messages(data: bytes, *, of_client: bool) -> list[bytes]:
    """The messages in a side's frames; a Close stands as its reason."""
    out: list[bytes] = []
    whole = b""
    for one in Reader(of_client=of_client).feed(data):
        if isinstance(one, Close):
            out.append(b"close %d %b" % (one.code, one.reason))
        elif isinstance(one, Binary):
            whole += one.data
            if one.last:
                out.append(whole)
                whole = b""
    return out


def channel(found: list[bytes], number: int) -> bytes:
    """All that was said on one channel."""
    return b"".join(one[1:] for one in found if one[0] == number and not one.startswith(b"close"))


def spdy_bytes(*said: spdy.Frame) -> bytes:
    writer = spdy.Writer()
    return b"".join(writer.say(one) for one in said)


def content(found: Iterable[spdy.Frame], stream: int) -> bytes:
    """All that was said on one stream."""
    return b"".join(one.data for one in found if isinstance(one, spdy.Data) and one.stream == stream)


def opened(*names: str) -> list[spdy.Frame]:
    """A client opens streams, 1, 3, 5 …"""
    return [spdy.Opened(2 * place + 1, {"streamtype": name}) for place, name in enumerate(names)]


def replied(count: int) -> list[spdy.Frame]:
    return [spdy.Replied(2 * place + 1, {}) for place in range(count)]


class Between:
    """A tunnel fed in pieces, and all that came of it."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        self.to_target = self.to_client = b""
        self.shown: list[tuple[Kind, bytes]] = []
        self.over = False

    def take(self, moved: Moved) -> Moved:
        self.to_target += moved.to_target
        self.to_client += moved.to_client
        self.shown += frames(moved.shown)
        self.over = self.over or moved.over
        return moved

    def client(self, data: bytes, cuts: Iterable[int] = ()) -> Between:
        for piece in cut(data, cuts):
            self.take(self.passage.from_client(piece))
        return self

    def target(self, data: bytes, cuts: Iterable[int] = ()) -> Between:
        for piece in cut(data, cuts):
            self.take(self.passage.from_target(piece))
        return self

    def idle(self) -> Between:
        self.take(self.passage.idle())
        return self

    def ended(self) -> Between:
        self.take(self.passage.ended())
        return self

    def told(self, *kinds: Kind) -> bytes:
        """What a replay is told of these kinds, joined."""
        return b"".join(data for kind, data in self.shown if kind in kinds)


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({min(one, len(data)) for one in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    return pieces or [b""]
