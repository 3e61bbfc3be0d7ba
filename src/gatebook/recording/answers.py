"""Answers of HTTP out of a recording: heads and contents, of several requests at a time, each known by its request's number.

Content comes as people read it: its codings taken off, its pieces joined. What is short is one item, once the answer is
complete; what is long, or comes slowly, is several, each of which says where in the content it begins. Each server-sent event
is an item of its own, as it came.

Everything here has an end, whatever was recorded: what is held of one answer and of all, and what a coding may blow up to.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.protocols.http.covering.charsets import python_name
from gatebook.protocols.http.covering.codings import Decoding, codings_of
from gatebook.protocols.http.covering.media import MediaType, media_type
from gatebook.protocols.terminals import Kind, framed, frames
from gatebook.recording.grec import NUMBER

HELD_BYTES = 262_144  # of one answer's content that are one item
ALL_HELD_BYTES = 1 << 24  # of all answers that are not complete
DECODED_BYTES = 1 << 26  # of one answer that is coded
UNDER_WAY = 2_000  # answers; a session has at most half as many
SLOW_MICROSECONDS = 1_000_000  # after which text that still comes is shown in pieces
FIELDS = 1_000  # of a head
TRAILERS = 0  # in the place of a status

_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_EVENTS = "text/event-stream"


class Form(StrEnum):
    """What a content, or a piece of it, is to a reader."""

    TEXT = "text"
    JSON = "json"  # whole
    EVENT = "event"  # one server-sent event
    MESSAGES = "messages"  # of a WebSocket, as they passed
    BINARY = "binary"
    STDOUT = "stdout"  # some of what a command said
    STDERR = "stderr"
    STDIN = "stdin"  # some of what it was told
    STREAM = "stream"  # a sentence about its streams


FLOWING = (Form.STDOUT, Form.STDERR, Form.STDIN, Form.STREAM)
_FLOWS = {Kind.OUTPUT: Form.STDOUT, Kind.ERRORS: Form.STDERR, Kind.INPUT: Form.STDIN}


@dataclass(frozen=True, slots=True)
class Headed:
    """The head of the answer to request ``seq``; status ``TRAILERS`` says that these fields come behind its content."""

    time: int
    seq: int
    status: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Content of an answer, decoded: from byte ``at`` on; ``more`` may follow. ``data`` is text, unless the form is binary."""

    time: int
    seq: int
    form: Form
    media: str
    data: str | bytes
    at: int
    size: int
    more: bool


@dataclass(frozen=True, slots=True)
class Garbled:
    """Something of an answer cannot be read as what it says it is."""

    time: int
    seq: int
    why: str


Piece: TypeAlias = Headed | Content | Garbled


class _Under:
    """An answer under way."""

    def __init__(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self.media: MediaType = media_type(next((value for name, value in fields if name == b"content-type"), None))
        codings = codings_of(value for name, value in fields if name == b"content-encoding")
        self.decoding = Decoding(codings) if codings else None
        self.unknown = codings is None
        self.socket = False  # it is a WebSocket: what is recorded of it is its messages, each line marked by who said it
        self.bare = False  # it has no head, as what SSH carries
        self.codec = python_name(self.media.charset) or "utf-8"
        self.held = bytearray()
        self.since = 0  # when the first of it came
        self.at = 0  # bytes before it
        self.decoded = 0
        self.over = False  # nothing more of it is read
        self.flows: dict[Form, codecs.IncrementalDecoder] = {}


class Answers:
    """Of one session, in the order of its events. ``decoded_bytes`` of a coded content are read, and no more."""

    def __init__(self, decoded_bytes: int = DECODED_BYTES) -> None:
        self._most = decoded_bytes
        self._under: dict[int, _Under] = {}
        self._own: dict[int, None] = {}  # requests that the gateway answers by itself: nothing says that these are complete
        self._held = 0

    def refused(self, seq: int) -> None:
        """A request that is not let through: whatever is said of it is complete as it comes."""
        if len(self._own) >= UNDER_WAY:
            del self._own[next(iter(self._own))]
        self._own[seq] = None

    def head(self, time: int, data: bytes) -> Iterator[Piece]:
        """An event of kind h. Raises ValueError for one that is none."""
        seq, rest = _numbered(data)
        status, *lines = rest.split(b"\n")
        if not re.fullmatch(rb"[1-9][0-9]{2}|trailers", status):
            raise ValueError("a head without a status")
        fields = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines[:FIELDS]))
        shown = tuple((_text(name), _text(value)) for name, value in fields)
        if status == b"trailers":
            yield from self.ended(time, seq)
            yield Headed(time, seq, TRAILERS, shown)
            return
        if seq in self._under:
            yield from self._out(time, seq, self._under[seq], more=True)
        yield from self._begin(time, seq, fields)
        self._under[seq].socket = status == b"101"
        yield Headed(time, seq, int(status), shown)

    def content(self, time: int, data: bytes) -> Iterator[Piece]:
        """An event of kind p. Raises ValueError for one that is none."""
        seq, rest = _numbered(data)
        if seq not in self._under:
            yield from self._begin(time, seq, ())
            self._under[seq].bare = True
        under = self._under[seq]
        if under.over:
            return
        if (under.socket or under.bare) and framed(rest):
            yield from self._flow(time, seq, under, rest)
            return
        if under.held and time - under.since > SLOW_MICROSECONDS and not (under.media.is_json or under.media.name == _EVENTS):
            yield from self._out(time, seq, under, more=True)
        try:
            for piece in [rest] if under.decoding is None else under.decoding.pieces(rest):
                if not under.over:
                    yield from self._take(time, seq, under, piece)
                if under.over:
                    break
        except WireError as error:
            yield from self._out(time, seq, under, more=True)
            under.decoding, under.unknown = None, True
            yield Garbled(time, seq, f"{error}; what came is shown as it is")
            yield from self._take(time, seq, under, rest)
        if under.socket:
            yield from self._out(time, seq, under, more=True)
        if seq in self._own:
            yield from self.ended(time, seq)

    def ended(self, time: int, seq: int) -> Iterator[Piece]:
        """An answer is complete."""
        self._own.pop(seq, None)
        under = self._under.pop(seq, None)
        if under is not None:
            yield from self._out(time, seq, under, more=False)

    def rest(self, time: int) -> Iterator[Piece]:
        """What is left where a recording ends."""
        for seq, under in list(self._under.items()):
            yield from self._out(time, seq, under, more=True)

    def _begin(self, time: int, seq: int, fields: tuple[tuple[bytes, bytes], ...]) -> Iterator[Piece]:
        if len(self._under) >= UNDER_WAY and seq not in self._under:
            yield from self.ended(time, next(iter(self._under)))
        self._under[seq] = _Under(fields)

    def _flow(self, time: int, seq: int, under: _Under, data: bytes) -> Iterator[Piece]:
        """Frames of a command's streams, each an item of its own."""
        try:
            for kind, piece in frames(data):
                form = _FLOWS.get(kind, Form.STREAM)
                text = _sentence(kind, piece)
                if form is not Form.STREAM:
                    text = under.flows.setdefault(form, _decoder()).decode(piece)
                at, under.at = under.at, under.at + len(piece)
                if text:
                    yield Content(time, seq, form, "", text, at, len(piece), more=True)
        except WireError as error:
            yield Garbled(time, seq, str(error))

    def _take(self, time: int, seq: int, under: _Under, data: bytes) -> Iterator[Piece]:
        if under.decoding is not None:
            under.decoded += len(data)
            if under.decoded > self._most:
                under.over = True
                yield from self._out(time, seq, under, more=True)
                yield Garbled(time, seq, f"more than {self._most:,} bytes come of this content; the rest is not read")
                return
        under.since = time if not under.held else under.since
        before = len(under.held)
        under.held += data
        self._held += len(data)
        if under.media.name == _EVENTS and not under.unknown:
            yield from self._events(time, seq, under, max(0, before - 3))
        while len(under.held) >= HELD_BYTES or self._held > ALL_HELD_BYTES:
            left = len(under.held)
            yield from self._out(time, seq, under, more=True)
            if len(under.held) == left:
                return

    def _events(self, time: int, seq: int, under: _Under, looked: int) -> Iterator[Piece]:
        """The events that are whole."""
        done = 0
        while found := _EVENT_END.search(under.held, looked):
            data = bytes(under.held[done : found.end()])
            done = looked = found.end()
            yield self._item(time, seq, under, data, Form.EVENT, more=True)
        if done:
            del under.held[:done]
            under.since = time

    def _out(self, time: int, seq: int, under: _Under, *, more: bool) -> Iterator[Piece]:
        """What is held, but for the beginning of a character whose end may come."""
        held = bytes(under.held)
        if not held:
            return
        text, tail = (None, b"") if under.unknown else _read(held, under.codec, final=not more)
        kept = held[: len(held) - len(tail)]
        under.held = bytearray(tail)
        if text is None:
            yield self._item(time, seq, under, kept, Form.BINARY, more=more)
        elif kept:
            if under.socket:
                yield self._item(time, seq, under, kept, Form.MESSAGES, more=more)
                return
            whole = under.at == 0 and not more and under.media.is_json and under.media.name.endswith("json")
            yield self._item(time, seq, under, kept, Form.JSON if whole else Form.TEXT, more=more)

    def _item(self, time: int, seq: int, under: _Under, data: bytes, form: Form, *, more: bool) -> Content:
        self._held -= len(data)
        at, under.at = under.at, under.at + len(data)
        shown: str | bytes = data if form is Form.BINARY else data.decode(under.codec, "backslashreplace")
        return Content(time, seq, form, under.media.name, shown, at, len(data), more)


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("backslashreplace")


def _sentence(kind: Kind, data: bytes) -> str:
    """What happened to a command's streams, or to a connection that is forwarded."""
    text = _text(data)
    first, _, second = text.partition(" ")
    match kind:
        case Kind.UNSEEN:
            return f"{text} bytes of input that are not recorded"
        case Kind.RESIZE:
            return f"the terminal is {text}"
        case Kind.STATUS:
            return _ended(data)
        case Kind.TOLD:
            return text
        case Kind.CLOSED:
            return f"{text} is closed"
        case Kind.OPENED:
            return f"connection {first} to port {second}"
        case Kind.SENT:
            return f"connection {first}: {second} bytes sent"
        case Kind.RECEIVED:
            return f"connection {first}: {second} bytes received"
    return ""


def _ended(data: bytes) -> str:
    """A command's last word, a ``Status``; as it came where it is none."""
    try:
        status = json.loads(data)
        if status["status"] == "Success":
            return "exit status 0"
        causes = (status.get("details") or {}).get("causes") or []
        codes = [one["message"] for one in causes if one.get("reason") == "ExitCode"]
        return f"exit status {codes[0]}" if codes else f"failed: {status['message']}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"failed: {_text(data)}"


def _numbered(data: bytes) -> tuple[int, bytes]:
    if len(data) < NUMBER.size:
        raise ValueError("no number")
    return NUMBER.unpack_from(data)[0], data[NUMBER.size :]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _read(data: bytes, codec: str, *, final: bool) -> tuple[str | None, bytes]:
    """The text and the beginning of a character behind it; None for what is no text."""
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        text = decoder.decode(data, final)
    except UnicodeError:
        return None, b""
    return (None, b"") if "\0" in text else (text, b"" if final else decoder.getstate()[0])
