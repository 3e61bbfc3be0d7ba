"""Frames as any peer could send them, and the story of what was made of them."""

from __future__ import annotations

from collections.abc import Iterable

from hpack import Encoder

from gatebook.protocols.http import h2
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.h2_frames import Code, Frame, Frames
from gatebook.protocols.http.h2_streams import Happening
from gatebook.protocols.http.message import Data, End, Request, Response

GET = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/"))
POST = ((b":method", b"POST"), *GET[1:])
SETTINGS = wire.settings({})
HELLO = wire.PREFACE + SETTINGS


class Peer:
    """Builds frames with a compression of its own, and takes apart what it is sent."""

    def __init__(self, *, server: bool = False) -> None:
        self.encoder = Encoder()
        self.frames = Frames(preface=server)

    def headers(self, stream: int, fields: Iterable[tuple[bytes, bytes]], *, over: bool = False, whole: bool = True) -> bytes:
        block = self.encoder.encode(list(fields))
        flags = (wire.END_STREAM if over else 0) | (wire.END_HEADERS if whole else 0)
        return wire.frame(wire.HEADERS, flags, stream, block)

    def read(self, data: bytes) -> list[Frame]:
        return list(self.frames.feed(data))


def data(stream: int, content: bytes, *, over: bool = False) -> bytes:
    return wire.frame(wire.DATA, wire.END_STREAM if over else 0, stream, content)


def reset(stream: int, code: Code = Code.CANCEL) -> bytes:
    return wire.frame(wire.RST_STREAM, 0, stream, wire.u32(code))


def window(stream: int, by: int) -> bytes:
    return wire.frame(wire.WINDOW_UPDATE, 0, stream, wire.u32(by))


def serving(values: dict[wire.Setting, int] | None = None) -> tuple[h2.ServerSide, Peer]:
    """A server's side that has greeted, and been greeted."""
    side, peer = h2.ServerSide(), Peer()
    side.feed(wire.PREFACE + wire.settings(values or {}))
    peer.read(side.due())
    return side, peer


def asking(values: dict[wire.Setting, int] | None = None) -> tuple[h2.ClientSide, Peer]:
    side, peer = h2.ClientSide(), Peer(server=True)
    side.feed(wire.settings(values or {}))
    peer.read(side.due())
    return side, peer


def story(happenings: Iterable[Happening]) -> str:
    """One line, content joined."""
    words: list[str] = []
    for _, one in happenings:
        match one:
            case Request():
                words.append(f"request {one.method} {one.authority} {one.target} {one.upgrade}".rstrip())
            case Response():
                words.append(f"answer {one.status}")
            case Data(content):
                words.append(f"content {content.decode('latin-1')}")
            case End(trailers):
                words.append(" ".join(["end", *(f"{name.decode()}={value.decode()}" for name, value in trailers)]))
            case h2.Reset():
                words.append("reset")
            case h2.Room():
                words.append("room")
    return " ".join(words)
