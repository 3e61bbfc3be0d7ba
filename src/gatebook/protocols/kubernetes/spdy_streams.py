"""The streams of one SPDY connection: the client opens them, with odd numbers that grow; a target never does.

A stream that is over is forgotten. What is said on it afterwards was on its way when it ended, and is nobody's; what is said on
one that never was is a fault, and so is anything behind the end of a side's own saying.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gatebook.protocols.kubernetes.spdy import Opened, SpdyError

AT_ONCE = 512  # streams of one connection; a forwarded connection has two


@dataclass(slots=True)
class Stream:
    """One that is open. ``name`` and what else is known of it are its opener's words, checked."""

    number: int
    name: str
    port: int = 0
    request: str = ""
    replied: bool = False
    said: set[str] = field(default_factory=set)  # the sides that said all


class Streams:
    """Owned by one tunnel."""

    def __init__(self) -> None:
        self._open: dict[int, Stream] = {}
        self._latest = -1

    @property
    def open(self) -> list[Stream]:
        """Those that are open, by their numbers."""
        return list(self._open.values())

    def begin(self, opened: Opened, stream: Stream) -> None:
        """A stream that the client opens. Raises SpdyError."""
        if not opened.stream % 2 or opened.stream <= self._latest:
            raise SpdyError(f"stream {opened.stream} is opened behind stream {self._latest}, or is not the client's to open")
        if len(self._open) >= AT_ONCE:
            raise SpdyError(f"more than {AT_ONCE} streams at once")
        self._latest = opened.stream
        self._open[opened.stream] = stream

    def find(self, number: int) -> Stream | None:
        """An open one, None for one that is over. Raises SpdyError for one that never was."""
        if number > self._latest or not number % 2:
            raise SpdyError(f"a frame of stream {number}, which was not opened")
        return self._open.get(number)

    def speaks(self, number: int, side: str) -> Stream | None:
        """The same for one on which a side says something. Raises SpdyError where it has said all."""
        stream = self.find(number)
        if stream is not None and side in stream.said:
            raise SpdyError(f"more of stream {number} behind its end")
        return stream

    def said_all(self, stream: Stream, side: str) -> None:
        """A side says nothing more on it."""
        stream.said.add(side)
        if len(stream.said) == 2:
            self.over(stream)

    def over(self, stream: Stream) -> None:
        """Nothing more is said on it."""
        self._open.pop(stream.number, None)
