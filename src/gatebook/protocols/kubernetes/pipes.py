"""Commands and forwarded ports over SPDY/3.1: whole frames of either side are taken apart, checked and built anew.

A stream says by its headers what it is. Of these none goes on but those that Kubernetes knows. What breaks the protocol ends
the connection: both sides hear GOAWAY, and a command's client hears the reason on its error stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import assert_never

from gatebook.errors import WireError
from gatebook.protocols.http.covering.needles import NeedleFilter
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.http.websocket import Binary, Close, Closing, SocketError, Text
from gatebook.protocols.kubernetes import spdy
from gatebook.protocols.kubernetes.channels import Socket
from gatebook.protocols.kubernetes.command import OF_CLIENT, Command, failure
from gatebook.protocols.kubernetes.command import Stream as Name
from gatebook.protocols.kubernetes.spdy import SpdyError
from gatebook.protocols.kubernetes.spdy_streams import Stream, Streams
from gatebook.protocols.live import LiveCover
from gatebook.protocols.streams import COUNTED, SOON
from gatebook.protocols.terminals import Kind, frame

CLIENT, TARGET = "client", "target"
_TYPE, _PORT, _REQUEST = "streamtype", "port", "requestid"
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
_ID = re.compile(r"[0-9A-Za-z-]{0,64}")
_PORTS = 65_535
_NAMES = frozenset(one.value for one in Name)


class Pipe:
    """What any connection of SPDY does; what streams are for is its heirs' to say."""

    def __init__(self) -> None:
        self._client, self._target = spdy.Reader(), spdy.Reader()
        self._to_client, self._to_target = spdy.Writer(), spdy.Writer()
        self._streams = Streams()
        self._told: list[bytes] = []
        self._said: list[bytes] = []
        self._over = False
        self.size = 0

    # What heirs say -----------------------------------------------------------------------------------------------------

    def _admit(self, opened: spdy.Opened) -> tuple[Stream, dict[str, str]]:
        """The stream that a client opens, and its headers as they go on. Raises WireError."""
        raise NotImplementedError

    def _of_client(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        """What goes on of it to the target."""
        raise NotImplementedError

    def _of_target(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        """What goes on of it to the client."""
        raise NotImplementedError

    def _held(self, *, last: bool) -> list[tuple[Stream, bytes]]:
        """What was held back and goes on now."""
        raise NotImplementedError

    def _shown(self) -> bytes:
        """What a replay is told."""
        raise NotImplementedError

    # Both sides ---------------------------------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        return self._moved_by(self._client, data, self._client_says)

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        return self._moved_by(self._target, data, self._target_says)

    def _moved_by(self, reader: spdy.Reader, data: bytes, says: Callable[[spdy.Frame], None]) -> Moved:
        if self._over:
            return Moved(over=True)
        try:
            for one in reader.feed(data):
                says(one)
        except WireError as error:
            return self._end(str(error), spdy.PROTOCOL_ERROR)
        return self._moved()

    def _client_says(self, one: spdy.Frame) -> None:
        match one:
            case spdy.Opened():
                stream, fields = self._admit(one)
                self._streams.begin(one, stream)
                self._say(spdy.Opened(one.stream, fields, one.priority, one.last))
                if one.last:
                    self._of_client(stream, b"", last=True)
                    self._streams.said_all(stream, CLIENT)
            case spdy.Data() | spdy.More():
                self._client_data(one)
            case spdy.Reset():
                self._reset(one, self._say)
            case spdy.Replied():
                raise SpdyError("a client that replies to a stream")
            case spdy.Settings() | spdy.Ping() | spdy.GoAway() | spdy.Window():
                self._say(one)
            case _:
                assert_never(one)

    def _client_data(self, one: spdy.Data | spdy.More) -> None:
        stream = self._streams.speaks(one.stream, CLIENT)
        if stream is None:
            return
        data = one.data if isinstance(one, spdy.Data) else b""
        out = self._of_client(stream, data, last=one.last)
        if out or one.last:
            self._say(spdy.Data(one.stream, out, one.last))
        if one.last:
            self._streams.said_all(stream, CLIENT)

    def _target_says(self, one: spdy.Frame) -> None:
        match one:
            case spdy.Replied():
                self._replied(one)
            case spdy.Data() | spdy.More():
                self._target_data(one)
            case spdy.Reset():
                stream = self._streams.find(one.stream)
                if stream is not None and TARGET not in stream.said and (rest := self._of_target(stream, b"", last=True)):
                    self._tell(spdy.Data(one.stream, rest))
                self._reset(one, self._tell)
            case spdy.GoAway():
                self._let_go(last=True)
                self._tell(one)
            case spdy.Opened():
                raise SpdyError("a target that opens a stream")
            case spdy.Settings() | spdy.Ping() | spdy.Window():
                self._tell(one)
            case _:
                assert_never(one)

    def _replied(self, one: spdy.Replied) -> None:
        stream = self._streams.speaks(one.stream, TARGET)
        if stream is None:
            return
        if stream.replied:
            raise SpdyError(f"a second reply to stream {one.stream}")
        stream.replied = True
        self._tell(spdy.Replied(one.stream, {}, one.last))
        if one.last:
            self._of_target(stream, b"", last=True)
            self._streams.said_all(stream, TARGET)

    def _target_data(self, one: spdy.Data | spdy.More) -> None:
        stream = self._streams.speaks(one.stream, TARGET)
        if stream is None:
            return
        data = one.data if isinstance(one, spdy.Data) else b""
        out = self._of_target(stream, data, last=one.last)
        if out or one.last:
            self._tell(spdy.Data(one.stream, out, one.last))
        if one.last:
            self._streams.said_all(stream, TARGET)

    def _reset(self, one: spdy.Reset, pass_on: Callable[[spdy.Frame], None]) -> None:
        stream = self._streams.find(one.stream)
        if stream is not None:
            self._streams.over(stream)
            pass_on(one)

    def _say(self, one: spdy.Frame) -> None:
        self._said.append(self._to_target.say(one))

    def _tell(self, one: spdy.Frame) -> None:
        self._told.append(self._to_client.say(one))

    def _let_go(self, *, last: bool) -> None:
        for stream, data in self._held(last=last):
            if data and TARGET not in stream.said:
                self._tell(spdy.Data(stream.number, data))

    def idle(self) -> Moved:
        """What was held back."""
        self._let_go(last=False)
        return self._moved()

    def ended(self) -> Moved:
        """A side's connection has ended."""
        self._let_go(last=True)
        return self._moved()

    def stop(self, why: str) -> Moved:
        """The gateway ends it."""
        self._let_go(last=True)
        return self._end(why, 0)

    def _end(self, why: str, status: int) -> Moved:
        """Both sides hear that it ends; ``why`` where there is room for words."""
        self._over = True
        for stream in self._streams.open:
            words = self._farewell(stream, why)
            if TARGET not in stream.said:
                self._tell(spdy.Data(stream.number, words, last=True))
        self._tell(spdy.GoAway(0, status))
        self._say(spdy.GoAway(0, status))
        return self._moved(over=True)

    def _farewell(self, stream: Stream, why: str) -> bytes:
        """What is said on a stream as the gateway ends it."""
        return b""

    def _moved(self, *, over: bool = False) -> Moved:
        told, self._told = b"".join(self._told), []
        said, self._said = b"".join(self._said), []
        self.size += len(told)
        return Moved(said, told, self._shown(), over)


class CommandPipe(Pipe):
    """Exec and attach."""

    def __init__(self, plan: Plan, *, tty: bool) -> None:
        super().__init__()
        self._command = Command(plan, tty=tty)
        self._names: dict[str, Stream] = {}

    @property
    def masked(self) -> Counts:
        """What was covered."""
        return self._command.masked

    @property
    def waits(self) -> float:
        """Seconds after which ``idle`` is wanted."""
        return self._command.waits

    def _admit(self, opened: spdy.Opened) -> tuple[Stream, dict[str, str]]:
        name = opened.fields.get(_TYPE, "")
        if name not in _NAMES or name in self._names:
            raise SpdyError("a stream of a type that there is not, or a second of its type")
        self._names[name] = stream = Stream(opened.stream, name)
        return stream, {_TYPE: name}

    def _of_client(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        name = Name(stream.name)
        out = self._command.said(name, data) if data else b""
        if last and name in OF_CLIENT:
            self._command.said_all(name)
        return out

    def _of_target(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        out = self._command.told(Name(stream.name), data) if data else b""
        return out + self._command.told_all(Name(stream.name)) if last else out

    def _held(self, *, last: bool) -> list[tuple[Stream, bytes]]:
        rest = self._command.finish() if last else self._command.idle()
        return [(self._names[name], data) for name, data in rest]

    def _farewell(self, stream: Stream, why: str) -> bytes:
        return failure(why) if stream.name == Name.ERROR else b""

    def _shown(self) -> bytes:
        return self._command.take_shown()


class PortPipe(Pipe):
    """Port-forward: for each connection a stream of its data and one of what went wrong."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan
        self._counts: Counts = {}
        self._needles: dict[int, NeedleFilter] = {}
        self._errors: dict[int, LiveCover] = {}
        self._frames: list[bytes] = []
        self._turn = (Kind.SENT, 0)  # which way something passed last, and through which stream
        self._passed_bytes = 0  # meanwhile

    @property
    def masked(self) -> Counts:
        """What was covered."""
        found = dict(self._counts)
        for masked in (*(one.masked for one in self._needles.values()), *(one.masked for one in self._errors.values())):
            for name, number in masked.items():
                count(found, name, number)
        return found

    @property
    def waits(self) -> float:
        """Seconds after which ``idle`` is wanted."""
        held = any(one.held for one in self._needles.values()) or any(one.held for one in self._errors.values())
        return SOON if held else 0.0

    def _admit(self, opened: spdy.Opened) -> tuple[Stream, dict[str, str]]:
        name, port = opened.fields.get(_TYPE, ""), opened.fields.get(_PORT, "")
        request = opened.fields.get(_REQUEST, "")
        if name not in ("data", "error") or not _NUMBER.fullmatch(port) or int(port) > _PORTS or not _ID.fullmatch(request):
            raise SpdyError("a stream that is not the data or the errors of a port")
        number = opened.stream
        if name == "data":
            self._needles[number] = NeedleFilter(self._plan.needles, same_length=True)
            self._frames.append(frame(Kind.OPENED, b"%d %s" % (number, port.encode())))
        else:
            self._errors[number] = LiveCover(self._plan, eager=False)
        fields = {_TYPE: name, _PORT: port} | ({_REQUEST: request} if _REQUEST in opened.fields else {})
        return Stream(number, name, int(port), request), fields

    def _of_client(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        if data and stream.name != "data":
            raise SpdyError("a client that says something on a stream of errors")
        self._sized(Kind.SENT, stream, data)
        return data

    def _of_target(self, stream: Stream, data: bytes, *, last: bool) -> bytes:
        cover = self._cover(stream)
        out = cover.feed(data) if data else b""
        if last:
            out += cover.finish()
            self._forget(stream)
        out = self._passed(stream, out)
        if last:
            self._count()
        return out

    def _cover(self, stream: Stream) -> NeedleFilter | LiveCover:
        return self._needles[stream.number] if stream.name == "data" else self._errors[stream.number]

    def _forget(self, stream: Stream) -> None:
        """Nothing more comes of it; what was covered stays counted."""
        for name, number in self._cover(stream).masked.items():
            count(self._counts, name, number)
        self._needles.pop(stream.number, None)
        self._errors.pop(stream.number, None)

    def _passed(self, stream: Stream, out: bytes) -> bytes:
        if stream.name == "data":
            self._sized(Kind.RECEIVED, stream, out)
        elif out:
            self._frames.append(frame(Kind.ERRORS, out))
        return out

    def _sized(self, kind: Kind, stream: Stream, data: bytes) -> None:
        """A replay is told once something passes the other way, or elsewhere, or much has passed."""
        if not data:
            return
        if (kind, stream.number) != self._turn or self._passed_bytes >= COUNTED:
            self._count()
        self._turn = (kind, stream.number)
        self._passed_bytes += len(data)

    def _count(self) -> None:
        if self._passed_bytes:
            kind, number = self._turn
            self._frames.append(frame(kind, b"%d %d" % (number, self._passed_bytes)))
            self._passed_bytes = 0

    def _reset(self, one: spdy.Reset, pass_on: Callable[[spdy.Frame], None]) -> None:
        stream = self._streams.find(one.stream)
        if stream is not None and (stream.number in self._needles or stream.number in self._errors):
            self._forget(stream)
            self._count()
        super()._reset(one, pass_on)

    def _held(self, *, last: bool) -> list[tuple[Stream, bytes]]:
        out: list[tuple[Stream, bytes]] = []
        for stream in self._streams.open:
            if stream.number in self._needles or stream.number in self._errors:
                cover = self._cover(stream)
                out.append((stream, self._passed(stream, cover.finish() if last else cover.idle())))
        if last:
            self._count()
        return out

    def _shown(self) -> bytes:
        shown, self._frames = b"".join(self._frames), []
        return shown


class TunnelledPipe:
    """SPDY inside of the binary messages of a WebSocket, as port-forward has it."""

    def __init__(self, plan: Plan, keys: Callable[[], bytes]) -> None:
        self._socket = Socket(plan, keys)
        self._pipe = PortPipe(plan)
        self._counts: Counts = {}

    @property
    def masked(self) -> Counts:
        """What was covered."""
        return self._pipe.masked

    @property
    def size(self) -> int:
        """Bytes that went to the client."""
        return self._socket.size

    @property
    def waits(self) -> float:
        """Seconds after which ``idle`` is wanted."""
        return self._pipe.waits

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        return self._moved_by(data, to_client=False)

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        return self._moved_by(data, to_client=True)

    def _moved_by(self, data: bytes, *, to_client: bool) -> Moved:
        reader = self._socket.target if to_client else self._socket.client
        move = self._pipe.from_target if to_client else self._pipe.from_client
        shown: list[bytes] = []
        try:
            for one in reader.feed(data):
                if isinstance(one, Text):
                    raise SocketError("a text message, where SPDY is spoken", Closing.UNSUPPORTED)
                if isinstance(one, Binary):
                    moved = move(one.data) if one.data else Moved()
                    shown.append(self._framed(moved))
                    if moved.over:
                        self._socket.close(Closing.PROTOCOL_ERROR, "frames of SPDY/3.1 that are none")
                        return self._socket.moved(b"".join(shown), over=True)
                    continue
                if to_client and isinstance(one, Close):
                    shown.append(self._framed(self._pipe.ended()))
                self._socket.pass_on(one, self._counts, to_client=to_client)
        except SocketError as error:
            self._socket.close(error.closing, "the target's frames cannot be passed on" if to_client else str(error))
            return self._socket.moved(b"".join(shown), over=True)
        return self._socket.moved(b"".join(shown))

    def _framed(self, moved: Moved) -> bytes:
        if moved.to_target:
            self._socket.say(moved.to_target)
        if moved.to_client:
            self._socket.tell(moved.to_client)
        return moved.shown

    def idle(self) -> Moved:
        """What was held back."""
        return self._socket.moved(self._framed(self._pipe.idle()))

    def ended(self) -> Moved:
        """A side's connection has ended."""
        return self._socket.moved(self._framed(self._pipe.ended()))

    def stop(self, why: str) -> Moved:
        """The gateway ends it."""
        shown = self._framed(self._pipe.stop(why))
        self._socket.close(Closing.POLICY, why)
        return self._socket.moved(shown, over=True)
