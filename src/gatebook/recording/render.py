r"""A recording for people: lines of text for a terminal, and JSON Lines for programs.

Whatever a client or a server wrote is hostile here: every character that does not print as itself (control characters, escapes,
bidi marks, line ends inside a cell) is written out, as ``\x1b``. A terminal sees no byte that is not printable but the line
ends made here. JSON Lines are ASCII; each has ``t`` (seconds since the first), ``at`` (µs since 1970), ``k`` and ``d``.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, assert_never

from gatebook.recording.answers import FLOWING, TRAILERS, Content, Form, Garbled, Headed
from gatebook.recording.flowing import Flowing
from gatebook.recording.laid_out import laid_out
from gatebook.recording.results import (
    About,
    Answer,
    Asked,
    Cell,
    Copied,
    Done,
    End,
    Item,
    Notified,
    Said,
    Table,
    Unread,
)
from gatebook.recording.terminal import plain

CELL_CHARACTERS = 120  # of a cell in a table; JSON has all of it
CONTENT_CHARACTERS = 16_384  # of a piece of content; JSON has all of it
CONTENT_BYTES = 65_536  # of a content; of what comes behind them, only how much it is
STREAMED = (Form.EVENT, Form.MESSAGES, *FLOWING)  # each is shown for itself
BINARY_BYTES = 48  # of a content that is no text
MARGIN = "    "
REQUEST, COPIED = "  > ", "  < "  # so that no line of a request, a copy or an answer passes for one made here


def safe(text: str) -> str:
    r"""Text of which every character prints as itself, the others written out."""
    return "".join(each if each.isprintable() else _written_out(each) for each in text)


def _written_out(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or character.encode("unicode_escape").decode()


# Lines ------------------------------------------------------------------------------------------------------------------


class Lines:
    """Text of one recording, item by item; times are given since the first."""

    def __init__(self) -> None:
        self._start = 0
        self._flowing = Flowing()

    def of(self, item: Item) -> list[str]:
        """The lines that are complete by an item; each is fit for a terminal, without its end."""
        self._start = self._start or item.time
        if isinstance(item, Content) and item.form in FLOWING:
            return [self._flow(*one) for one in self._flowing.feed(item)]
        return [*self.rest(), *self._lines(item)]

    def rest(self) -> list[str]:
        """The beginning of a line whose end did not come."""
        return [self._flow(*one) for one in self._flowing.rest()]

    def _flow(self, form: Form, seq: int, time: int, text: str) -> str:
        """A line of a command's stream, or of what is said about it; the first of several says whose they are."""
        if form is Form.STREAM or time:
            return f"{self._when(time)}  #{seq}  {safe(text) if form is Form.STREAM else form}"
        return (REQUEST if form is Form.STDIN else COPIED) + safe(text)

    def _lines(self, item: Item) -> Iterator[str]:
        match item:
            case About():
                yield f"{self._when(item.time)}  {_utc(item.time)}  {_pairs(item.facts)}"
            case Asked():
                yield ""
                yield f"{self._when(item.time)}  #{item.seq}  {_decision(item.facts)}"
                yield from (REQUEST + safe(line) for line in str(item.facts.get("text", "")).split("\n"))
            case Table():
                yield from _table(item)
            case Done(_, tag):
                yield MARGIN + safe(tag)
            case Said(_, fields):
                yield from _said(fields)
            case Notified():
                yield f"{MARGIN}notification on {safe(item.channel)}: {safe(item.payload)}"
            case Copied(_, data):
                text = data.decode("utf-8", "backslashreplace").removesuffix("\n")
                yield from (COPIED + safe(line) for line in text.split("\n"))
            case Headed():
                yield f"{self._when(item.time)}  #{item.seq}  answer {status_of(item.status)}"
                yield from (f"{COPIED}{safe(name)}: {safe(value)}" for name, value in item.fields)
            case Content():
                yield f"{self._when(item.time)}  #{item.seq}  {extent(item)}"
                yield from _content(item)
            case Garbled():
                yield f"{self._when(item.time)}  #{item.seq}  unreadable: {safe(item.why)}"
            case Answer():
                yield f"{self._when(item.time)}  #{item.seq}  {_ending(item)}"
            case End(time, why):
                yield ""
                yield f"{self._when(time)}  the session ended: {safe(why)}"
            case Unread(time, why):
                yield f"{self._when(time)}  unreadable: {safe(why)}"
            case _:
                assert_never(item)

    def _when(self, time: int) -> str:
        return f"+{max(0, time - self._start) / 1e6:.3f}s"


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _pairs(facts: dict[str, Any]) -> str:
    return "  ".join(f"{safe(str(name))}: {safe(str(value))}" for name, value in facts.items() if value not in ("", None))


def _decision(facts: dict[str, Any]) -> str:
    said = {name: safe(str(facts.get(name) or "")) for name in ("verb", "step", "ruling", "rule", "reason")}
    step = "" if said["step"] == "run" else f" ({said['step']})"
    why = f": {said['reason']}" if said["reason"] and said["ruling"] in ("block", "approve") else ""
    return f"{said['verb']}{step}  {said['ruling']} by {said['rule']}{why}"


def _ending(item: Answer) -> str:
    facts = item.facts
    words = [safe(str(facts.get("status", "")))]
    if item.milliseconds >= 0:
        words.append(f"{item.milliseconds} ms")
    masked = facts.get("masked")
    if isinstance(masked, dict) and masked:
        words.append("masked " + ", ".join(f"{safe(str(name))} {safe(str(count))}" for name, count in sorted(masked.items())))
    return " · ".join(words)


def status_of(status: int) -> str:
    """A status with the words that go with it."""
    if status == TRAILERS:
        return "trailers"
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def extent(item: Content) -> str:
    """What a piece of content is, and which of its bytes."""
    if item.form in STREAMED:
        return f"{item.form}, {item.size:,} bytes"
    of = f" of {safe(item.media)}" if item.media else ""
    if item.at == 0 and not item.more:
        return f"content, {item.size:,} byte{'' if item.size == 1 else 's'}{of}"
    return f"content{of}, bytes {item.at:,} to {item.at + item.size - 1:,}{', more follow' if item.more else ''}"


def _content(item: Content) -> Iterator[str]:
    if item.at >= CONTENT_BYTES and item.form not in STREAMED:
        return
    text, left = readable(item, CONTENT_CHARACTERS)
    yield from (COPIED + safe(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n"))
    if left:
        yield f"{MARGIN}({left:,} more {'bytes' if isinstance(item.data, bytes) else 'characters'})"


def readable(item: Content, most: int) -> tuple[str, int]:
    """A piece of content as a person reads it, and how much of it is left out: JSON laid out, what is no text in hex."""
    data = item.data
    if isinstance(data, bytes):
        return data[:BINARY_BYTES].hex(" "), max(0, len(data) - BINARY_BYTES)
    if item.form is Form.JSON:
        text, taken = laid_out(data, most)
        return text, len(data) - taken
    if item.form in FLOWING:
        data = plain(data)
        return data[:most], max(0, len(data) - most)
    text = data.rstrip("\r\n") if item.form in STREAMED else data
    return text[:most], max(0, len(text) - most)


def _said(fields: dict[str, str]) -> Iterator[str]:
    severity = fields.get("V") or fields.get("S") or "ERROR"
    yield f"{MARGIN}{safe(severity)} {safe(fields.get('C', ''))}: {safe(fields.get('M', ''))}"
    for letter, name in (("D", "DETAIL"), ("H", "HINT")):
        if fields.get(letter):
            yield f"{MARGIN}{name}: {safe(fields[letter])}"


def _table(table: Table) -> Iterator[str]:
    width = max((len(row) for row in table.rows), default=len(table.columns or ()))
    headings = table.columns if table.columns is not None else [f"({number})" for number in range(1, width + 1)]
    shown = [[_clip(safe(heading)) for heading in headings], *([_shown(cell) for cell in row] for row in table.rows)]
    widths = [max(_columns(row[place]) for row in shown if place < len(row)) for place in range(width)]
    yield MARGIN + _padded(shown[0], widths)
    yield MARGIN + "-+-".join("-" * one for one in widths)
    yield from (MARGIN + _padded(row, widths) for row in shown[1:])
    count = len(table.rows)
    yield f"{MARGIN}({count} row{'' if count == 1 else 's'}{', more follow' if table.more else ''})"


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return " | ".join(cell + " " * (wide - _columns(cell)) for cell, wide in zip(row, widths, strict=False)).rstrip()


def _shown(cell: Cell) -> str:
    if cell is None:
        return "∅"
    return _clip(safe(cell) if isinstance(cell, str) else f"\\x{cell.hex()}")


def _clip(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(text) + sum(unicodedata.east_asian_width(one) in "WF" for one in text if not one.isascii())


# JSON Lines -------------------------------------------------------------------------------------------------------------


class JsonLines:
    """JSON of one recording, a line for each item."""

    def __init__(self) -> None:
        self._start = 0

    def rest(self) -> list[str]:
        """Nothing waits."""
        return []

    def of(self, item: Item) -> list[str]:
        """The one line of an item, ASCII, without its end."""
        self._start = self._start or item.time
        kind, what = _plain(item)
        since = round((item.time - self._start) / 1e6, 6)
        return [json.dumps({"t": since, "at": item.time, "k": kind, "d": what}, separators=(",", ":"))]


def _plain(item: Item) -> tuple[str, Any]:
    match item:
        case About(_, facts):
            return "m", facts
        case Asked(_, _, facts):
            return "q", facts
        case Table():
            columns = None if item.columns is None else [_text(name) for name in item.columns]
            return "r", {"columns": columns, "rows": [[_cell(cell) for cell in row] for row in item.rows], "more": item.more}
        case Done(_, tag):
            return "c", {"tag": tag}
        case Said(_, fields):
            return "e", fields
        case Notified():
            return "n", {"channel": item.channel, "payload": item.payload}
        case Copied(_, data):
            return "d", _cell(data)
        case Headed():
            return "h", {"seq": item.seq, "status": item.status, "fields": [list(field) for field in item.fields]}
        case Content():
            shown = {"hex": item.data.hex()} if isinstance(item.data, bytes) else {"text": item.data}
            placed = {"seq": item.seq, "form": str(item.form), "type": item.media, "from": item.at, "bytes": item.size}
            return "p", placed | shown | {"more": item.more}
        case Garbled():
            return "u", {"why": item.why, "seq": item.seq}
        case Answer():
            return "a", {**item.facts, "ms": item.milliseconds}
        case End(_, why):
            return "x", {"why": why}
        case Unread(_, why):
            return "u", {"why": why}
    assert_never(item)


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _cell(cell: Cell) -> Any:
    """Text as a string, NULL as null, a binary value as an object with its bytes in hex."""
    return {"hex": cell.hex()} if isinstance(cell, bytes) else cell
