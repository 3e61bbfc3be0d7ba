"""HTTP/2 on one connection, whichever side (RFC 9113): streams, windows, header blocks. ``h2.py`` makes messages of it.

Memory is bounded by windows both ways. What a peer may send is ``WINDOW`` a stream and ``CONNECTION_WINDOW`` in all, until the
driver says by ``consumed`` that it was passed on. What the peer does not take stays in the stream's ``queue``, and ``waiting``
tells the driver to stop reading the other side until a ``Room`` comes.

A message that is malformed ends its stream; anything else that is against the protocol ends the connection, with GOAWAY.
"""

from __future__ import annotations

from collections.abc import Iterable

from gatebook.protocols.http import h2_blocks
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.checks import HEAD_BYTES, TRAILERS, MalformedError, sound
from gatebook.protocols.http.framing import trailing
from gatebook.protocols.http.h2_frames import BrokenConnectionError, Budget, Code, Frame, Frames, Setting
from gatebook.protocols.http.h2_streams import WINDOW, Happening, Reset, Room, Stream, remember
from gatebook.protocols.http.message import Data, End, Fields

CONNECTION_WINDOW = 2_097_152  # of all streams: sixteen that wait for a decision do not stop the others
STREAMS = 100  # that a client may have open at once
CONTINUATIONS = 16  # frames of one header block: HEAD_BYTES fit in four
STALLED = 60  # refills of the budget without a window for what waits
_DEFAULT_WINDOW = 65_535
_LARGEST = 2**31 - 1


class Connection:
    """What both sides share. Everything that is to be sent is collected; ``due`` gives it up."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._frames = Frames(preface=not client)
        self._budget = Budget()
        self._blocks = h2_blocks.Reader()
        self._prefix = h2_blocks.NO_TABLE
        self._streams: dict[int, Stream] = {}
        self._forgotten: dict[int, None] = {}
        self._blocked: dict[int, None] = {}
        self._lengths: dict[int, int | None] = {}  # of the newest heads, some of which are of streams that have ended already
        self._last = 0  # the newest stream of the client's
        self._settled = False  # the peer's settings have come
        self._block: tuple[Frame, list[bytes]] | None = None
        self._room_out = _DEFAULT_WINDOW
        self._room_in = CONNECTION_WINDOW
        self._owed = 0
        self._initial_out = _DEFAULT_WINDOW
        self._out: list[bytes | memoryview] = []
        self._broken = False
        self.draining = False  # no new streams: said here or by the peer
        self._served = _LARGEST  # streams above are not, once we said so
        self._open(client)

    def _open(self, client: bool) -> None:
        values = {Setting.INITIAL_WINDOW_SIZE: WINDOW, Setting.MAX_HEADER_LIST_SIZE: HEAD_BYTES}
        if client:
            self._out.append(wire.PREFACE)
            values[Setting.ENABLE_PUSH] = 0
        else:
            values |= {Setting.MAX_CONCURRENT_STREAMS: STREAMS, Setting.ENABLE_CONNECT_PROTOCOL: 1}
        self._out.append(wire.settings(values))
        self._out.append(wire.frame(wire.WINDOW_UPDATE, 0, 0, wire.u32(CONNECTION_WINDOW - _DEFAULT_WINDOW)))

    # What the driver asks

    def due(self) -> bytes:
        """What is to be sent now; empty it after every call, and after a fault, before the connection is closed."""
        out, self._out = b"".join(self._out), []
        return out

    @property
    def idle(self) -> bool:
        """Whether no stream is open."""
        return not self._streams

    def waiting(self, stream: int) -> int:
        """Bytes that the peer has no window for. Read no more for this stream until its Room comes."""
        found = self._streams.get(stream)
        return found.queued if found else 0

    def length(self, stream: int) -> int | None:
        """The length that the head of what comes says, 0 where there is no content, None if unknown."""
        return self._lengths.get(stream, 0)

    def consumed(self, stream: int, count: int) -> bytes:
        """So much of the content that came has been passed on."""
        found = self._streams.get(stream)
        if found is not None:
            count = min(count, found.unread)
            found.unread -= count
            self._credit(found, count)
        return self.due()

    def reset(self, stream: int, code: Code = Code.CANCEL) -> bytes:
        """End a stream now. Nothing more of it is said, and nothing more is sent."""
        found = self._streams.get(stream)
        if found is not None:
            self._end_now(found, code)
        return self.due()

    def drain(self) -> bytes:
        """Take no new streams; close the connection once it is ``idle``."""
        if self._served == _LARGEST:
            self.draining = True
            self._served = self._last
            self._out.append(wire.goaway(self._last if not self._client else 0, Code.NO_ERROR))
        return self.due()

    def tick(self) -> list[Happening]:
        """Call it about once a second. Streams whose peer opens no window for long are ended."""
        self._budget.refill()
        told: list[Happening] = []
        for stream in [self._streams[number] for number in self._blocked]:
            stream.stalled += 1
            if stream.stalled > STALLED:
                self._end_now(stream, Code.CANCEL)
                told.append((stream.number, Reset(Code.CANCEL, "the peer opens no window for what waits")))
        return told

    # What comes

    def feed(self, data: bytes) -> list[Happening]:
        """Bytes of the peer. Raises MalformedError when the connection is over: send what is ``due`` and close it."""
        told: list[Happening] = []
        if self._broken:
            raise BrokenConnectionError("bytes after the ones that were refused")
        try:
            for one in self._frames.feed(data):
                self._frame(one, told)
        except BrokenConnectionError as fault:
            self._broken = self.draining = True
            self._out.append(wire.goaway(0 if self._client else self._last, fault.code))
            raise
        return told

    def _frame(self, one: Frame, told: list[Happening]) -> None:
        kind = one.kind
        if self._block is not None:
            self._continued(one, told)
        elif not self._settled and (kind != wire.SETTINGS or one.flags & wire.ACK):
            raise BrokenConnectionError("the first frame is not settings")
        elif kind == wire.DATA:
            self._data(one, told)
        elif kind == wire.HEADERS:
            self._headers(one, told)
        elif kind == wire.RST_STREAM:
            self._reset(one, told)
        else:
            self._budget.control()
            self._control(one, told)

    def _control(self, one: Frame, told: list[Happening]) -> None:
        match one.kind:
            case wire.WINDOW_UPDATE:
                self._window(one, told)
            case wire.SETTINGS:
                self._settings(one, told)
            case wire.PING:
                if one.stream:
                    raise BrokenConnectionError("a ping of a stream")
                wire.number(one, 8)
                if not one.flags & wire.ACK:
                    self._out.append(wire.frame(wire.PING, wire.ACK, 0, one.payload))
            case wire.PRIORITY:
                if not one.stream or wire.number(one, 5) == one.stream:
                    raise BrokenConnectionError("a priority of no stream, or that depends on itself")
            case wire.GOAWAY:
                self._goaway(one, told)
            case wire.PUSH_PROMISE | wire.CONTINUATION:
                raise BrokenConnectionError("a pushed stream, or a continuation of nothing")
            case _:
                pass  # of kinds that nobody has told us of (RFC 9113 §4.1)

    def _data(self, one: Frame, told: list[Happening]) -> None:
        size = len(one.payload)
        stream = self._streams.get(one.stream)
        self._room_in -= size
        if self._room_in < 0:
            raise BrokenConnectionError("more content than the connection's window", Code.FLOW_CONTROL_ERROR)
        if stream is None:
            self._stray(one.stream)
            self._credit(None, size)
            return
        if not stream.receiving or not stream.headed:
            raise BrokenConnectionError("content where none is due", Code.STREAM_CLOSED)
        stream.room_in -= size
        if stream.room_in < 0:
            raise BrokenConnectionError("more content than the stream's window", Code.FLOW_CONTROL_ERROR)
        content = wire.unpadded(one)
        stream.came += len(content)
        over = bool(one.flags & wire.END_STREAM)
        self._credit(stream, size - len(content))
        if content:
            self._budget.earn()
            stream.unread += len(content)
        elif not over:
            self._budget.empty()
        if self._lies(stream, over, told):
            return
        if content:
            told.append((stream.number, Data(content)))
        if over:
            self._received(stream, (), told)

    def _lies(self, stream: Stream, over: bool, told: list[Happening]) -> bool:
        """Whether content is longer than its head says, or at its end shorter; such a stream ends here."""
        if stream.length is None and not stream.without_content:
            return False
        due = 0 if stream.without_content else stream.length or 0
        if stream.came > due or (over and stream.came < due):
            self._malformed(stream, MalformedError("content that is not as long as its head says"), told)
            return True
        return False

    def _received(self, stream: Stream, trailers: Fields, told: list[Happening]) -> None:
        stream.receiving = False
        told.append((stream.number, End(trailers)))
        self._closed(stream)

    def _headers(self, one: Frame, told: list[Happening]) -> None:
        payload = wire.unpadded(one)
        if one.flags & wire.WITH_PRIORITY:
            if len(payload) < 5 or int.from_bytes(payload[:4], "big") & _LARGEST == one.stream:
                raise BrokenConnectionError("a priority that is cut short, or depends on itself")
            payload = payload[5:]
        if one.flags & wire.END_HEADERS:
            self._block_whole(one, payload, told)
        else:
            self._block = (one, [payload])

    def _continued(self, one: Frame, told: list[Happening]) -> None:
        if self._block is None or one.kind != wire.CONTINUATION or one.stream != self._block[0].stream:
            raise BrokenConnectionError("another frame within a header block")
        first, pieces = self._block
        pieces.append(one.payload)
        if len(pieces) > CONTINUATIONS or sum(map(len, pieces)) > HEAD_BYTES:
            raise BrokenConnectionError("a header block without end", Code.ENHANCE_YOUR_CALM)
        if one.flags & wire.END_HEADERS:
            self._block = None
            self._block_whole(first, b"".join(pieces), told)

    def _block_whole(self, first: Frame, block: bytes, told: list[Happening]) -> None:
        fields = self._blocks.read(block)
        over = bool(first.flags & wire.END_STREAM)
        stream = self._streams.get(first.stream)
        if stream is None:
            stream = self._opened(first.stream, told)
            if stream is None:
                return
        elif not stream.receiving:
            raise BrokenConnectionError("a head behind the end", Code.STREAM_CLOSED)
        try:
            self._head(stream, fields, over, told)
        except MalformedError as fault:
            self._malformed(stream, fault, told)

    def _opened(self, number: int, told: list[Happening]) -> Stream | None:
        """A stream for a head on none that is known, or None where it is not heard."""
        self._stray(number)
        return None

    def _head(self, stream: Stream, fields: Fields, over: bool, told: list[Happening]) -> None:
        raise NotImplementedError

    def _stray(self, number: int) -> None:
        """A frame of a stream that is not open: allowed only shortly after it was ended here, or was never taken."""
        if number in self._forgotten or (number > self._served and number % 2):
            return
        raise BrokenConnectionError(
            "a frame of a stream that is not open", Code.STREAM_CLOSED if self._known(number) else Code(1)
        )

    def _known(self, number: int) -> bool:
        return number % 2 == 1 and (number <= self._last or number > self._served)

    def _reset(self, one: Frame, told: list[Happening]) -> None:
        code = wire.number(one)
        if not self._known(one.stream):
            raise BrokenConnectionError("the end of a stream that never was")
        self._budget.reset()
        stream = self._streams.get(one.stream)
        if stream is not None:
            self._forget(stream)
            told.append((stream.number, Reset(code)))

    def _goaway(self, one: Frame, told: list[Happening]) -> None:
        if one.stream or len(one.payload) < 8:
            raise BrokenConnectionError("a farewell that is cut short, or of a stream")
        self.draining = True
        last = int.from_bytes(one.payload[:4], "big") & _LARGEST
        if self._client:
            for stream in [one for one in self._streams.values() if one.number > last]:
                self._forget(stream)
                told.append((stream.number, Reset(Code.REFUSED_STREAM)))

    def _settings(self, one: Frame, told: list[Happening]) -> None:
        values = wire.setting_values(one)
        self._settled = True
        if one.flags & wire.ACK:
            return
        for name, value in values:
            self._budget.control()  # one may widen every stream
            self._setting(name, value)
        self._out.append(wire.frame(wire.SETTINGS, wire.ACK, 0))
        self._flush(told)

    def _setting(self, name: int, value: int) -> None:
        match name:
            case Setting.ENABLE_PUSH if value > 1 or (self._client and value):
                raise BrokenConnectionError(f"setting ENABLE_PUSH {value}")
            case Setting.INITIAL_WINDOW_SIZE:
                if value > _LARGEST:
                    raise BrokenConnectionError(f"a window of {value} bytes", Code.FLOW_CONTROL_ERROR)
                for stream in self._streams.values():
                    stream.room_out += value - self._initial_out
                    if stream.room_out > _LARGEST:
                        raise BrokenConnectionError("a stream's window past 2^31-1", Code.FLOW_CONTROL_ERROR)
                self._initial_out = value
            case Setting.MAX_FRAME_SIZE if not wire.FRAME_BYTES <= value < 1 << 24:
                raise BrokenConnectionError(f"setting MAX_FRAME_SIZE {value}")
            case Setting.ENABLE_CONNECT_PROTOCOL if value > 1:
                raise BrokenConnectionError(f"setting ENABLE_CONNECT_PROTOCOL {value}")
            case _:
                self._told(name, value)

    def _told(self, name: int, value: int) -> None:
        """A setting that one side alone heeds."""

    # Windows

    def _window(self, one: Frame, told: list[Happening]) -> None:
        by = wire.number(one)
        if not by:
            raise BrokenConnectionError("a window that widens by nothing")
        if not one.stream:
            self._room_out += by
            if self._room_out > _LARGEST:
                raise BrokenConnectionError("the connection's window past 2^31-1", Code.FLOW_CONTROL_ERROR)
        elif (stream := self._streams.get(one.stream)) is not None:
            stream.room_out += by
            if stream.room_out > _LARGEST:
                self._budget.reset()
                self._end_now(stream, Code.FLOW_CONTROL_ERROR)
                told.append((stream.number, Reset(Code.FLOW_CONTROL_ERROR, "a window past 2^31-1")))
        elif not self._known(one.stream):
            raise BrokenConnectionError("a window of a stream that never was")
        self._flush(told)

    def _credit(self, stream: Stream | None, count: int) -> None:
        """Give the peer back what has been passed on, in steps that are worth a frame."""
        self._owed += count
        if self._owed >= CONNECTION_WINDOW // 4:
            self._out.append(wire.frame(wire.WINDOW_UPDATE, 0, 0, wire.u32(self._owed)))
            self._room_in += self._owed
            self._owed = 0
        if stream is not None and stream.receiving:
            stream.owed += count
            if stream.owed >= WINDOW // 4:
                self._out.append(wire.frame(wire.WINDOW_UPDATE, 0, stream.number, wire.u32(stream.owed)))
                stream.room_in += stream.owed
                stream.owed = 0

    # What goes

    def _send_head(self, stream: Stream, fields: Iterable[tuple[bytes, bytes]], over: bool) -> None:
        block, self._prefix = self._prefix + h2_blocks.block_of(fields), b""
        flags = wire.END_STREAM if over else 0
        kind = wire.HEADERS
        while len(block) > wire.FRAME_BYTES:
            self._out.append(wire.frame(kind, flags, stream.number, block[: wire.FRAME_BYTES]))
            block, flags, kind = block[wire.FRAME_BYTES :], 0, wire.CONTINUATION
        self._out.append(wire.frame(kind, flags | wire.END_HEADERS, stream.number, block))
        if over:
            stream.sending = False
            self._closed(stream)

    def data(self, stream: int, piece: bytes) -> bytes:
        """A piece of content, sent as far as the peer has a window for it; the rest waits. Nothing for a stream that ended."""
        found = self._streams.get(stream)
        if found is not None and piece:
            self._promise(found, len(piece))
            found.queue.append(memoryview(piece))  # cut without being copied
            found.queued += len(piece)
            self._blocked[stream] = None
            self._flush([])
        return self.due()

    def end(self, stream: int, trailers: Fields = ()) -> bytes:
        """The message is complete."""
        found = self._streams.get(stream)
        if found is not None and found.sending:
            self._promise(found, 0, over=True)
            found.ending = trailing(trailers)
            sound(found.ending, TRAILERS)
            self._blocked[stream] = None
            self._flush([])
        return self.due()

    @staticmethod
    def _promise(stream: Stream, count: int, *, over: bool = False) -> None:
        if not stream.spoken:
            raise AssertionError("content before its head")
        if (not stream.sending and not over) or stream.ending is not None:
            raise MalformedError("content behind the end of a message")
        if stream.promised is not None:
            stream.promised -= count
            if stream.promised < 0 or (over and stream.promised):
                raise MalformedError("content that is not as long as its head says")

    def _flush(self, told: list[Happening]) -> None:
        """Send what waits, a frame of each stream in turn, as far as windows go."""
        turn = list(self._blocked)
        while turn:
            turn = [number for number in turn if self._one_frame(self._streams[number], told)]

    def _one_frame(self, stream: Stream, told: list[Happening]) -> bool:
        """Send one frame of what waits; whether another could follow."""
        if stream.queue:
            room = min(self._room_out, stream.room_out, wire.FRAME_BYTES)
            if room <= 0:
                return False
            piece = stream.queue.popleft()
            if len(piece) > room:
                stream.queue.appendleft(piece[room:])
                piece = piece[:room]
            size = len(piece)
            stream.queued -= size
            stream.room_out -= size
            self._room_out -= size
            stream.stalled = 0
            self._budget.earn()
            last = not stream.queue and stream.ending == ()
            self._out += (wire.heading(wire.DATA, wire.END_STREAM if last else 0, stream.number, size), piece)
            if not last:
                return self._emptied(stream, told)
        elif stream.ending:
            self._send_trailers(stream, stream.ending)
        else:
            self._out.append(wire.frame(wire.DATA, wire.END_STREAM, stream.number))
        self._blocked.pop(stream.number, None)
        stream.sending = False
        self._closed(stream)
        return False

    def _emptied(self, stream: Stream, told: list[Happening]) -> bool:
        if stream.queue or stream.ending is not None:
            return True
        self._blocked.pop(stream.number, None)
        told.append((stream.number, Room()))
        return False

    def _send_trailers(self, stream: Stream, trailers: Fields) -> None:
        self._send_head(stream, trailers, over=True)

    # Ends

    def _closed(self, stream: Stream) -> None:
        if not stream.receiving and not stream.sending:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.number, None)
        self._blocked.pop(stream.number, None)
        self._credit(None, stream.unread)
        stream.unread = 0
        stream.receiving = stream.sending = False
        stream.queue.clear()

    def _end_now(self, stream: Stream, code: Code) -> None:
        self._out.append(wire.frame(wire.RST_STREAM, 0, stream.number, wire.u32(code)))
        self._forget(stream)
        remember(self._forgotten, stream.number, None)

    def _tell_length(self, stream: Stream) -> None:
        remember(self._lengths, stream.number, stream.length)

    def _malformed(self, stream: Stream, fault: MalformedError, told: list[Happening]) -> None:
        if isinstance(fault, BrokenConnectionError):
            raise fault
        self._budget.reset()
        self._end_now(stream, Code.PROTOCOL_ERROR)
        told.append((stream.number, Reset(Code.PROTOCOL_ERROR, str(fault))))
