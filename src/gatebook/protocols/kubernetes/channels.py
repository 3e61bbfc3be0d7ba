"""Commands over a WebSocket: each message is of one channel, which its first byte names (``v4`` and ``v5.channel.k8s.io``).

0 is stdin, 1 stdout, 2 stderr, 3 the last word, 4 sizes of the terminal. In v5 the channel 255 says that the one named behind
it is over. What stands in a message means the same however it is cut into messages, so each piece goes on as one of its own.

Port-forward has an older form of this: the Nth port has channel 2N for its data and 2N+1 for what went wrong, and the target
begins each by the port's number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.protocols.http.covering.needles import NeedleFilter
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.http.websocket import Binary, Close, Closing, Heard, Ping, Pong, Reader, SocketError, Text, Writer
from gatebook.protocols.kubernetes.command import Command, Stream, failure
from gatebook.protocols.live import LiveCover
from gatebook.protocols.streams import SOON
from gatebook.protocols.terminals import Kind, frame

_CHANNELS = (Stream.STDIN, Stream.STDOUT, Stream.STDERR, Stream.ERROR, Stream.RESIZE)
_SHUT = 255
_NO_WORDS = "the target's frames cannot be passed on"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what a channel carries, perhaps nothing."""

    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Shut:
    """A channel is over."""

    channel: int


_Said: TypeAlias = Part | Shut


class Messages:
    """One side's messages, piece by piece. ``closes``: 255 ends a channel."""

    def __init__(self, *, closes: bool) -> None:
        self._closes = closes
        self._channel = -1  # of a message of which more is due
        self._named = b""  # what stands behind 255

    def take(self, one: Text | Binary) -> list[_Said]:
        """What a piece of a message says. Raises WireError."""
        last, data = (one.last, one.data) if isinstance(one, Binary) else (True, one.data)
        begun = self._channel < 0
        if begun and data:
            self._channel, data = data[0], data[1:]
        channel = self._channel
        if last:
            self._channel = -1
        if channel < 0:
            return []
        if channel == _SHUT:
            return self._shut(data, last=last)
        return [Part(channel, data)] if data or begun else []

    def _shut(self, data: bytes, *, last: bool) -> list[_Said]:
        self._named += data[:2]
        if not self._closes or len(self._named) > 1 or (last and not self._named):
            raise WireError("a message of channel 255 that ends no channel")
        if not last:
            return []
        named, self._named = self._named, b""
        return [Shut(named[0])]


class Socket:
    """The WebSocket on either side, and what is written to each."""

    def __init__(self, plan: Plan, keys: Callable[[], bytes]) -> None:
        self._plan = plan
        self.client, self.target = Reader(of_client=True), Reader(of_client=False)
        self._to_client, self._to_target = Writer(), Writer(keys)
        self._told: list[bytes] = []
        self._said: list[bytes] = []
        self.size = 0

    def say(self, data: bytes) -> None:
        """A message for the target."""
        if not self._to_target.closed:
            self._said.append(self._to_target.say(Binary(data, last=True)))

    def tell(self, data: bytes) -> None:
        """A message for the client."""
        if not self._to_client.closed:
            self._told.append(self._to_client.say(Binary(data, last=True)))

    def pass_on(self, one: Heard, counts: Counts, *, to_client: bool) -> None:
        """What belongs to the WebSocket itself."""
        if not to_client:
            self._said.append(self._to_target.say(one))
        elif not self._to_client.closed:
            if isinstance(one, Ping | Pong) and self._plan.looked(one.data, counts, b"") != one.data:
                one = type(one)(b"")
            elif isinstance(one, Close) and one.reason:
                one = Close(one.code, self._plan.looked(one.reason, counts, b""))
            self._told.append(self._to_client.say(one))

    def close(self, code: Closing, why: str) -> None:
        """Both sides hear that it ends, as far as they can."""
        if not self._to_client.closed:
            self._told.append(self._to_client.say(Close(code, why.encode())))
        if not self._to_target.closed:
            self._said.append(self._to_target.say(Close(Closing.GOING_AWAY)))

    def moved(self, shown: bytes, *, over: bool = False) -> Moved:
        """What was written since the last time."""
        told, self._told = b"".join(self._told), []
        said, self._said = b"".join(self._said), []
        self.size += len(told)
        return Moved(said, told, shown, over or (self.client.closed and self.target.closed))


class CommandSocket:
    """Exec and attach. ``keys`` gives four bytes that nobody could foresee, for each frame to the target."""

    def __init__(self, plan: Plan, keys: Callable[[], bytes], *, tty: bool, closes: bool) -> None:
        self._socket = Socket(plan, keys)
        self._command = Command(plan, tty=tty)
        self._client, self._target = Messages(closes=closes), Messages(closes=closes)
        self._counts: Counts = {}

    @property
    def masked(self) -> Counts:
        """What was covered."""
        found = self._command.masked
        return {name: self._counts.get(name, 0) + found.get(name, 0) for name in (*found, *self._counts)}

    @property
    def size(self) -> int:
        """Bytes that went to the client."""
        return self._socket.size

    @property
    def waits(self) -> float:
        """Seconds after which ``idle`` is wanted."""
        return self._command.waits

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        try:
            for one in self._socket.client.feed(data):
                if isinstance(one, Text | Binary):
                    for said in self._client.take(one):
                        self._said(said)
                else:
                    self._socket.pass_on(one, self._counts, to_client=False)
        except WireError as error:
            return self._end(error.closing if isinstance(error, SocketError) else Closing.PROTOCOL_ERROR, str(error))
        return self._moved()

    def _said(self, said: _Said) -> None:
        stream = _stream(said.channel)
        if isinstance(said, Shut):
            self._command.said_all(stream)
            self._socket.say(bytes((_SHUT, said.channel)))
        elif out := self._command.said(stream, said.data):
            self._socket.say(bytes((said.channel,)) + out)

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        try:
            for one in self._socket.target.feed(data):
                if isinstance(one, Text | Binary):
                    for said in self._target.take(one):
                        self._told(said)
                    continue
                if isinstance(one, Close):
                    self._rest(self._command.finish())
                self._socket.pass_on(one, self._counts, to_client=True)
        except WireError as error:
            return self._end(Closing.PROTOCOL_ERROR, _NO_WORDS if isinstance(error, SocketError) else str(error))
        return self._moved()

    def _told(self, said: _Said) -> None:
        stream = _stream(said.channel)
        if isinstance(said, Shut):
            self._rest([(stream, self._command.told_all(stream))])
            self._socket.tell(bytes((_SHUT, said.channel)))
            return
        out = self._command.told(stream, said.data) if said.data else b""
        if out or not said.data:  # an empty one says that the channel is there
            self._socket.tell(bytes((said.channel,)) + out)

    def _rest(self, rest: list[tuple[Stream, bytes]]) -> None:
        for stream, data in rest:
            if data:
                self._socket.tell(bytes((_CHANNELS.index(stream),)) + data)

    def idle(self) -> Moved:
        """What was held back."""
        self._rest(self._command.idle())
        return self._moved()

    def ended(self) -> Moved:
        """A side's connection has ended."""
        self._rest(self._command.finish())
        return self._moved()

    def stop(self, why: str) -> Moved:
        """The gateway ends it: the client hears it as the command's end, which it prints."""
        self._rest([*self._command.finish(), (Stream.ERROR, failure(why))])
        return self._end(Closing.NORMAL, why)

    def _end(self, code: Closing, why: str) -> Moved:
        self._socket.close(code, why)
        return self._moved(over=True)

    def _moved(self, *, over: bool = False) -> Moved:
        return self._socket.moved(self._command.take_shown(), over=over)


def _stream(channel: int) -> Stream:
    if channel >= len(_CHANNELS):
        raise WireError(f"channel {channel}, which there is not")
    return _CHANNELS[channel]


class PortSocket:
    """Port-forward in the older form, of so many ``ports``."""

    def __init__(self, plan: Plan, keys: Callable[[], bytes], *, ports: int) -> None:
        self._plan = plan
        self._socket = Socket(plan, keys)
        self._ports = ports
        self._client, self._target = Messages(closes=False), Messages(closes=False)
        self._needles = [NeedleFilter(plan.needles, same_length=True) for _ in range(ports)]
        self._errors = [LiveCover(plan, eager=False) for _ in range(ports)]
        self._numbers = [b""] * (2 * ports)
        self._counts: Counts = {}
        self._shown: list[bytes] = []

    @property
    def masked(self) -> Counts:
        """What was covered."""
        found = dict(self._counts)
        for masked in (*(one.masked for one in self._needles), *(one.masked for one in self._errors)):
            for name, number in masked.items():
                count(found, name, number)
        return found

    @property
    def size(self) -> int:
        """Bytes that went to the client."""
        return self._socket.size

    @property
    def waits(self) -> float:
        """Seconds after which ``idle`` is wanted."""
        held = any(one.held for one in self._needles) or any(one.held for one in self._errors)
        return SOON if held else 0.0

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        try:
            for one in self._socket.client.feed(data):
                if not isinstance(one, Text | Binary):
                    self._socket.pass_on(one, self._counts, to_client=False)
                    continue
                for said in self._client.take(one):
                    part = self._checked(said, said.channel % 2 == 0)
                    self._socket.say(bytes((part.channel,)) + part.data)
                    self._shown.append(frame(Kind.SENT, b"%d %d" % (part.channel, len(part.data))))
        except WireError as error:
            return self._end(error.closing if isinstance(error, SocketError) else Closing.PROTOCOL_ERROR, str(error))
        return self._moved()

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        try:
            for one in self._socket.target.feed(data):
                if isinstance(one, Text | Binary):
                    for said in self._target.take(one):
                        self._told(self._checked(said, True))
                    continue
                if isinstance(one, Close):
                    self._rest(last=True)
                self._socket.pass_on(one, self._counts, to_client=True)
        except WireError as error:
            return self._end(Closing.PROTOCOL_ERROR, _NO_WORDS if isinstance(error, SocketError) else str(error))
        return self._moved()

    def _checked(self, said: _Said, may: bool) -> Part:
        if not isinstance(said, Part) or not may or said.channel >= 2 * self._ports:
            raise WireError(f"a message of channel {said.channel}, which there is not for this side")
        return said

    def _told(self, said: Part) -> None:
        """The first two bytes are the port's number; behind them is content."""
        head = said.data[: 2 - len(self._numbers[said.channel])]
        data = said.data[len(head) :]
        self._numbers[said.channel] += head
        if head and len(self._numbers[said.channel]) == 2 and said.channel % 2 == 0:
            port = int.from_bytes(self._numbers[said.channel], "little")
            self._shown.append(frame(Kind.OPENED, b"%d %d" % (said.channel, port)))
        cover = (self._errors if said.channel % 2 else self._needles)[said.channel // 2]
        self._pass(said.channel, head, cover.feed(data) if data else b"")

    def _pass(self, channel: int, head: bytes, data: bytes) -> None:
        if head or data:
            self._socket.tell(bytes((channel,)) + head + data)
        if data:
            told = frame(Kind.ERRORS, data) if channel % 2 else frame(Kind.RECEIVED, b"%d %d" % (channel, len(data)))
            self._shown.append(told)

    def _rest(self, *, last: bool) -> None:
        for port in range(self._ports):
            needles, errors = self._needles[port], self._errors[port]
            self._pass(2 * port, b"", needles.finish() if last else needles.idle())
            self._pass(2 * port + 1, b"", errors.finish() if last else errors.idle())

    def idle(self) -> Moved:
        """What was held back."""
        self._rest(last=False)
        return self._moved()

    def ended(self) -> Moved:
        """A side's connection has ended."""
        self._rest(last=True)
        return self._moved()

    def stop(self, why: str) -> Moved:
        """The gateway ends it."""
        return self._end(Closing.POLICY, why)

    def _end(self, code: Closing, why: str) -> Moved:
        self._socket.close(code, why)
        return self._moved(over=True)

    def _moved(self, *, over: bool = False) -> Moved:
        shown, self._shown = b"".join(self._shown), []
        return self._socket.moved(shown, over=over)
