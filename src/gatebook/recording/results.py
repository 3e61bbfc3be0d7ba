"""From a recording's events to what happened, as a person reads it: requests, result tables, contents, errors, ends.

``Results.feed`` takes one event and returns the items that are complete by it. PostgreSQL's messages are cut out of the
server's bytes; rows are collected into tables of at most ``ROWS`` rows. Where a result was not described together with its rows
(a statement prepared before), its columns have no names, and the format of its cells is guessed: what reads as text is text.
Answers of HTTP are put together in ``answers.py``.

Nothing here is fit for a terminal or a page: texts are as they were recorded. ``render`` escapes them; so must a page.
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from gatebook.errors import WireError
from gatebook.protocols.postgres import oids, rows, wire
from gatebook.recording.answers import DECODED_BYTES, Answers, Content, Garbled, Headed
from gatebook.recording.grec import Event

ROWS, TABLE_BYTES = 200, 1 << 22  # of one table; a longer result is several tables
COPY_BYTES = 16_384  # of one piece of a COPY
LONGEST_BYTES = 1 << 28  # of one message

Cell: TypeAlias = str | bytes | None  # bytes: a binary value of a type that is not shown as text


@dataclass(frozen=True, slots=True)
class About:
    """Something about the session."""

    time: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its decision."""

    time: int
    seq: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a result, or some of them; ``more`` follow. ``columns`` is None where nothing described them."""

    time: int
    columns: tuple[str, ...] | None
    rows: tuple[tuple[Cell, ...], ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What the server said of a command that ended."""

    time: int
    tag: str


@dataclass(frozen=True, slots=True)
class Said:
    """An error or a notice of the server or the gateway, by PostgreSQL's field letters."""

    time: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification of LISTEN and NOTIFY."""

    time: int
    channel: str
    payload: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A piece of a COPY out."""

    time: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A request's answer is complete. ``milliseconds`` since it was decided, -1 where that is not in what was read."""

    time: int
    seq: int
    facts: dict[str, Any]
    milliseconds: int


@dataclass(frozen=True, slots=True)
class End:
    """The session ended."""

    time: int
    why: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Bytes that are not what they should be."""

    time: int
    why: str


Item: TypeAlias = About | Asked | Table | Done | Said | Notified | Copied | Headed | Content | Garbled | Answer | End | Unread


def is_sent(asked: Asked) -> bool:
    """Whether an answer will follow: what is only made ready, or not let through, has none of its own."""
    return asked.facts.get("step") == "run" and asked.facts.get("ruling") in ("allow", "mask")


class Results:
    """Reads one recording in order. Of an HTTP answer that is coded, ``decoded_bytes`` are read."""

    def __init__(self, decoded_bytes: int = DECODED_BYTES) -> None:
        self._answers = Answers(decoded_bytes)
        self._frames = wire.Frames(LONGEST_BYTES)
        self._asked: dict[int, int] = {}
        self._columns: tuple[rows.Column, ...] | None = None
        self._of_statement = False  # the columns were told for a statement: their formats are not known
        self._rows: list[tuple[Cell, ...]] = []
        self._bytes = 0  # of them
        self._copied = bytearray()

    def feed(self, event: Event) -> list[Item]:
        """What is complete by this event."""
        if event.kind == "s":
            return list(self._server(event))
        try:
            if event.kind == "h":
                return list(self._answers.head(event.time, event.data))
            if event.kind == "p":
                return list(self._answers.content(event.time, event.data))
            facts = dict(json.loads(event.data))
            return [*self._before(event, facts), self._told(event, facts)]
        except (ValueError, TypeError, KeyError, RecursionError):
            return [Unread(event.time, f"an event {event.kind!r} of {len(event.data)} bytes")]

    def rest(self, time: int) -> list[Item]:
        """What is left where a recording ends in the middle of a result."""
        return [*self._held(time, more=True), *self._answers.rest(time)]

    def _before(self, event: Event, facts: dict[str, Any]) -> Iterator[Item]:
        """What is complete, or ends, with what is told now."""
        yield from self._held(event.time, more=True)
        if event.kind == "a":
            yield from self._answers.ended(event.time, int(facts["seq"]))
        elif event.kind == "x":
            yield from self._answers.rest(event.time)

    def _told(self, event: Event, facts: dict[str, Any]) -> Item:
        match event.kind:
            case "m":
                return About(event.time, facts)
            case "q":
                asked = Asked(event.time, int(facts["seq"]), facts)
                self._asked[asked.seq] = event.time
                if not is_sent(asked):
                    self._answers.refused(asked.seq)
                return asked
            case "a":
                since = self._asked.pop(int(facts["seq"]), None)
                took = -1 if since is None else (event.time - since) // 1000
                return Answer(event.time, int(facts["seq"]), facts, took)
            case "x":
                return End(event.time, str(facts["why"]))
        raise ValueError(event.kind)

    # The server's bytes ---------------------------------------------------------------------------------------------

    def _server(self, event: Event) -> Iterator[Item]:
        self._frames.add(event.data)
        try:
            for kind, body in self._frames.messages():
                yield from self._whole(event.time, kind, body)
        except WireError as error:
            self._frames = wire.Frames(LONGEST_BYTES)
            yield Unread(event.time, f"not a message of PostgreSQL: {error}")

    def _whole(self, time: int, kind: bytes, body: bytes) -> Iterator[Item]:
        try:
            yield from self._message(time, kind, body)
        except WireError as error:
            yield Unread(time, f"not a message of PostgreSQL: {error}")

    def _message(self, time: int, kind: bytes, body: bytes) -> Iterator[Item]:
        match kind:
            case b"t":
                self._of_statement = True
            case b"T":
                self._columns = rows.parse_row_description(body)
            case b"D":
                self._rows.append(self._row(body))
                self._bytes += len(body)
                if len(self._rows) >= ROWS or self._bytes >= TABLE_BYTES:
                    yield from self._held(time, more=True)
            case b"d":
                self._copied += body
                if len(self._copied) >= COPY_BYTES:
                    yield from self._held(time, more=True)
            case b"C" | b"I" | b"s":
                tag = {b"I": "(nothing to do)", b"s": "(suspended)"}.get(kind) or _text(body)
                yield from self._ended(time, tag)
                yield Done(time, tag)
            case b"E" | b"N":
                yield from self._held(time, more=True)
                yield Said(time, wire.report_fields(body))
            case b"A":
                channel, pos = wire.cstring(body, 4)
                yield Notified(time, channel, wire.cstring(body, pos)[0])
            case b"Z":
                yield from self._held(time, more=False)
                self._columns, self._of_statement = None, False

    def _ended(self, time: int, tag: str) -> Iterator[Item]:
        """The rows that are left; a result without rows is shown by its columns."""
        if self._columns is not None and not self._rows and tag == "SELECT 0":
            yield Table(time, tuple(one.name for one in self._columns), (), more=False)
        yield from self._held(time, more=tag == "(suspended)")
        if tag != "(suspended)":
            self._columns, self._of_statement = None, False

    def _held(self, time: int, *, more: bool) -> Iterator[Item]:
        if self._rows:
            found, self._rows, self._bytes = tuple(self._rows), [], 0
            fits = self._columns is not None and all(len(row) == len(self._columns) for row in found)
            names = tuple(one.name for one in self._columns) if fits and self._columns is not None else None
            yield Table(time, names, found, more)
        if self._copied:
            copied, self._copied = bytes(self._copied), bytearray()
            yield Copied(time, copied)

    def _row(self, body: bytes) -> tuple[Cell, ...]:
        cells, columns = wire.data_row(body), self._columns
        if columns is None or len(columns) != len(cells):
            return tuple(None if cell is None else _guessed(cell) for cell in cells)
        return tuple(
            None if cell is None else _cell(cell, column, self._of_statement)
            for cell, column in zip(cells, columns, strict=True)
        )


def _text(body: bytes) -> str:
    return body.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _guessed(cell: bytes) -> str | bytes:
    """A cell whose format nobody told: text if it reads as such."""
    try:
        text = cell.decode()
    except UnicodeDecodeError:
        return cell
    return text if "\0" not in text else cell


def _cell(cell: bytes, column: rows.Column, guess: bool) -> str | bytes:
    if guess:
        text = _guessed(cell)
        if isinstance(text, str) and text.isprintable():
            return text
    elif column.format == 0:
        return cell.decode("utf-8", "backslashreplace")
    form = _NUMBERS.get(column.type_oid)
    if form and len(cell) == struct.calcsize(form):
        return str(struct.unpack(form, cell)[0])
    if column.type_oid == oids.JSONB and cell[:1] == b"\x01":
        return cell[1:].decode("utf-8", "backslashreplace")
    if column.type_oid == UUID and len(cell) == 16:
        return str(uuid.UUID(bytes=cell))
    return _guessed(cell) if column.type_oid in _TEXTS else cell


UUID = 2950
_TEXTS = oids.TEXTS | {oids.JSON, oids.XML}
_NUMBERS = {16: "!?", 20: "!q", 21: "!h", 23: "!i", 26: "!I", 700: "!f", 701: "!d"}
