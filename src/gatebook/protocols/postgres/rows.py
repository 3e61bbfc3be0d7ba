"""Rows of an answer, covered on their way to the client.

A cell is treated by its column's rule, its type and its format. A rule's column, and one whose lineage is uncertain, is covered
whole: a text-like type gets the covered text, JSON a JSON string, every other type NULL, since a word in the place of a number
would break the driver that reads it. In all other columns the detectors look for values: text is covered in place, where that
leaves the type readable, else the cell becomes NULL. A binary value of a type that is not understood here never passes.

Most rows hold nothing: one scan over the whole body says so, and the body goes on as the same object. Bytes whose meaning hides
the text (hex of bytea, binary numbers, escapes of JSON) are taken apart for it.

Looking costs time in which every other session waits, and who writes the rows decides how much. So each row has so much work
and no more (``detectors.Work``); cells that would need more are covered whole, unread.

What this file refuses to know: which column a rule means, and why a column is uncertain (``lineage.py``). A value that is split
over several cells is not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.masking.checks import is_card
from gatebook.masking.detectors import LONG_CELL, LONG_LINE, PIECE, TAKEN_APART, OverworkError, Scan, Work, scan
from gatebook.masking.rules import Style
from gatebook.masking.styles import COVERED, cover_value
from gatebook.masking.table import Detector
from gatebook.protocols.postgres import native, wire
from gatebook.protocols.postgres.binary_forms import elements, readable, whole_number
from gatebook.protocols.postgres.json_forms import sound_json, still_json, unescaped
from gatebook.protocols.postgres.native import Run
from gatebook.protocols.postgres.oids import (
    ARRAYS,
    BYTEA,
    CHAR,
    DYNAMIC,
    ELEMENTS,
    INT8,
    JSON,
    JSONB,
    LEXEMES,
    NUMERIC,
    RECORDS,
    RIGID,
    TEXTS,
    UNTYPED,
    XML,
)

_U16 = Struct("!H")
_I32 = Struct("!i")
_COLUMN = Struct("!IhIhiH")
NULL = -1


@dataclass(frozen=True)
class Column:
    """One column of a RowDescription.

    ``attnum`` is 0 without a table and negative for system columns; ``format`` is 0 for text, 1 for binary.
    """

    name: str
    table_oid: int
    attnum: int
    type_oid: int
    format: int


@dataclass(frozen=True)
class Cover:
    """How a column is covered: by a rule's style, ``whole`` where lineage is uncertain, else by detectors alone.

    ``mask_set`` is the set whose tokens stand in the place of values, and ``key`` the key of those, once it is known.
    """

    style: Style | None
    whole: bool
    mask_set: str = ""
    key: bytes = field(default=b"", repr=False)


def parse_row_description(body: bytes) -> tuple[Column, ...]:
    """Read the body of a RowDescription. Raises WireError."""
    if len(body) < 2:
        raise WireError(f"RowDescription of {len(body)} bytes")
    (count,) = _U16.unpack_from(body)
    columns: list[Column] = []
    at = 2
    for _ in range(count):
        end = body.find(b"\0", at)
        if end < 0 or end + 1 + _COLUMN.size > len(body):
            raise WireError(f"RowDescription ends inside column {len(columns) + 1} of {count}")
        table_oid, attnum, type_oid, _, _, form = _COLUMN.unpack_from(body, end + 1)
        if form > 1:
            raise WireError(f"column {len(columns) + 1} has format {form}, expected 0 or 1")
        columns.append(Column(body[at:end].decode("utf-8", "surrogateescape"), table_oid, attnum, type_oid, form))
        at = end + 1 + _COLUMN.size
    if at != len(body):
        raise WireError(f"RowDescription has {len(body) - at} bytes behind its {count} columns")
    return tuple(columns)


# The detectors that may find something in a row; None for a row that is too large to be asked as one, so each cell is.
Suspects: TypeAlias = tuple[Detector, ...] | None
# A treatment takes a cell that is not NULL and the detectors that may hold, and gives the cell to show, None for NULL.
Treatment: TypeAlias = Callable[[bytes, Suspects], bytes | None]


class RowCover:
    """Covers the rows of one result. Owned by one answer; ``masked`` counts what was covered.

    Its keys are the names of detectors; those of styles for columns of a rule; ``uncertain`` for columns covered whole;
    ``unread`` for binary values of types that are not understood, and for what would be too much work to read.
    """

    def __init__(self, columns: Sequence[Column], covers: Sequence[Cover], detectors: frozenset[str], key: bytes) -> None:
        assert len(columns) == len(covers), "one cover for each column"  # noqa: S101
        self.masked: dict[str, int] = {}
        self._scan = scan(detectors)
        self._cells = _Cells(self._scan, detectors, self.masked)
        self._count = _U16.pack(len(columns))
        self._columns = tuple(columns)
        self._always: list[Treatment | None] = []  # what each column needs in every row
        self._suspected: list[Treatment | None] = []  # what it needs in a row where a detector may find something
        pairs = list(zip(columns, covers, strict=True))
        for column, cover in pairs:
            always, suspected = self._cells.treatments(column, cover, cover.key or key)
            self._always.append(always)
            self._suspected.append(always or suspected)
        self._walks = any(self._always)
        self._scans = any(treatment is not None for treatment in self._suspected)
        self._hides = any(_may_hide(column) for column in columns)
        rules = [(one.type_oid, one.format, rule(one, how, how.key or key)) for one, how in pairs]
        self.compiled = native.rows(detectors, rules, key)

    @property
    def runs(self) -> bool:
        """Whether ``run`` may cover anything now."""
        return self.compiled is not None

    def run(self, data: bytes, at: int) -> Run:
        """Cover the DataRow messages that stand whole from there on, as far as the compiled twin can."""
        assert self.compiled is not None, "without it nothing runs"  # noqa: S101
        return native.run(self.compiled, data, at, wire.SERVER_BYTES, self.masked)

    def cover(self, body: bytes) -> bytes:
        """One DataRow's body with what has to be covered; the same object if that is nothing.

        Raises WireError for a row of another number of columns, and for lengths that lie in a row that is rewritten; in any
        other they change nothing, since the scan reads all of its bytes.
        """
        if body[:2] != self._count:
            raise WireError(f"row of {int.from_bytes(body[:2])} columns, described as {int.from_bytes(self._count)}")
        self._cells.work = Work()
        try:
            suspects: Suspects = self._scan.suspects(body, self._cells.work) if self._scans else ()
        except OverworkError:
            return self._rewritten(body, self._suspected, None)
        hidden = self._hides and b"\\" in body and (b"\\x" in body or b"\\u00" in body or b"\\/" in body)
        if suspects or hidden:
            return self._rewritten(body, self._suspected, suspects)
        return self._rewritten(body, self._always, ()) if self._walks else body

    def clean(self, line: bytes) -> bool:
        """Whether cells that stand in these bytes just as they are need nothing."""
        return len(line) <= LONG_LINE and not (self._walks or b"\\" in line or (self._scans and self._scan.suspects(line)))

    def _rewritten(self, body: bytes, treatments: list[Treatment | None], suspects: Suspects) -> bytes:
        pieces: list[bytes] = []
        at, last, size = 2, 0, len(body)
        for number, treatment in enumerate(treatments):
            if at + 4 > size:
                raise WireError(f"row ends at byte {size}, inside the length of column {number + 1}")
            (length,) = _I32.unpack_from(body, at)
            start, at = at, at + 4
            if length == NULL:
                continue
            if not 0 <= length <= size - at:
                raise WireError(f"column {number + 1}: length {length} outside 0..{size - at}")
            at += length
            if treatment is not None:
                cell = body[start + 4 : at]
                shown = self._shown(treatment, cell, suspects, number)
                if shown is not cell:
                    pieces += (body[last:start], _cell(shown))
                    last = at
        if at != size:
            raise WireError(f"row has {size - at} bytes behind its {len(treatments)} columns")
        return b"".join((*pieces, body[last:])) if pieces else body

    def _shown(self, treatment: Treatment, cell: bytes, suspects: Suspects, number: int) -> bytes | None:
        try:
            return treatment(cell, suspects)
        except OverworkError:
            self.masked["unread"] = self.masked.get("unread", 0) + 1
            return whole(self._columns[number], cell, Style.REDACT, b"")


def named_style(cover: Cover) -> tuple[str, Style]:
    """What a column that is covered by a rule, or whole, is counted as, and its style."""
    if cover.whole or cover.style is None:
        return "uncertain", Style.REDACT
    return cover.style.value, cover.style


def rule(column: Column, cover: Cover, key: bytes) -> native.Rule | None:
    """A column's rule as the compiled twin takes it."""
    if not cover.whole and cover.style is None:
        return None
    name, style = named_style(cover)
    return name, style.value, lambda cell: whole(column, cell, style, key)


def _cell(value: bytes | None) -> bytes:
    return _I32.pack(NULL) if value is None else _I32.pack(len(value)) + value


def _may_hide(column: Column) -> bool:
    """Whether the text form may hold hex of bytea, or escapes of JSON, that a scan of the row does not see through."""
    element = ARRAYS.get(column.type_oid, column.type_oid)
    return (column.format == 0 and (element >= DYNAMIC or element in RECORDS or element == BYTEA)) or element == JSON


class _Cells:
    """What is done to the cells of one result. Shares the counts with its RowCover."""

    def __init__(self, scan: Scan, names: frozenset[str], masked: dict[str, int]) -> None:
        self._scan = scan
        self._names = names
        self._masked = masked
        self.work = Work()

    def treatments(self, column: Column, cover: Cover, key: bytes) -> tuple[Treatment | None, Treatment | None]:
        """What a column's cells need always, and what only in a row that may hold something."""
        if cover.whole or cover.style is not None:
            return self._by_rule(column, cover, key), None
        if not self._names or column.type_oid in RIGID:
            return None, None
        return self._binary(column.type_oid) if column.format else (None, self._textual(column.type_oid))

    def _count(self, name: str) -> None:
        self._masked[name] = self._masked.get(name, 0) + 1

    # Covered whole ----------------------------------------------------------------------------------------------------

    def _by_rule(self, column: Column, cover: Cover, key: bytes) -> Treatment:
        name, style = named_style(cover)

        def treat(cell: bytes, _: Suspects) -> bytes | None:
            self._count(name)
            return whole(column, cell, style, key)

        return treat

    # By detectors -----------------------------------------------------------------------------------------------------

    def _textual(self, oid: int) -> Treatment:
        element = ARRAYS.get(oid, oid)
        if oid in (JSON, JSONB):
            return self._json
        if oid == XML:
            return self._xml
        if element == BYTEA or oid >= DYNAMIC or oid in RECORDS:
            return self._hex
        return self._text if element in TEXTS or oid in LEXEMES else self._or_null

    def _binary(self, oid: int) -> tuple[Treatment | None, Treatment | None]:
        """Treatments of the binary form: always, and where something may hold."""
        if oid in TEXTS or oid == BYTEA:
            return None, self._text
        if oid in (JSON, XML):
            return None, self._json if oid == JSON else self._xml
        if oid == JSONB:
            return None, self._jsonb
        if oid in (INT8, NUMERIC):
            number = self._int8 if oid == INT8 else self._numeric
            return (number if "card" in self._names else None), None
        if oid in ARRAYS:
            return self._array_of(ARRAYS[oid])
        return self._untyped if oid == UNTYPED else self._unread, None

    def _covered(self, cell: bytes, suspects: Suspects) -> bytes:
        if suspects is None or len(cell) > LONG_CELL:
            return self._read(cell)
        return self._scan.cover(cell, suspects, self._masked, self.work)

    def _read(self, data: bytes) -> bytes:
        """Covered, by whatever detectors may hold in exactly this."""
        return self._scan.cover(data, self._scan.suspects(data, self.work), self._masked, self.work)

    def _sound(self, covered: bytes) -> bytes:
        self.work.spend(len(covered) * TAKEN_APART)
        return sound_json(covered)

    def _text(self, cell: bytes, suspects: Suspects) -> bytes:
        covered = self._covered(cell, suspects)
        if covered is cell or cell.lstrip()[:1] not in (b"{", b"["):
            return covered
        self.work.spend(len(cell) * TAKEN_APART)
        return still_json(cell, covered)

    def _or_null(self, cell: bytes, suspects: Suspects) -> bytes | None:
        return cell if self._covered(cell, suspects) is cell else None

    def _xml(self, cell: bytes, suspects: Suspects) -> bytes:
        """A finding covers the document, since ``<name>`` in it would be a tag."""
        return cell if self._covered(cell, suspects) is cell else COVERED

    def _json(self, cell: bytes, suspects: Suspects) -> bytes:
        if b"\\u00" in cell or b"\\/" in cell:
            self.work.spend(cell.count(b"\\") * PIECE)
            plain = unescaped(cell)
            covered = self._read(plain)
            return cell if covered is plain else self._sound(covered)
        covered = self._covered(cell, suspects)
        return cell if covered is cell else self._sound(covered)

    def _jsonb(self, cell: bytes, suspects: Suspects) -> bytes | None:
        if cell[:1] != b"\x01":
            return self._unread(cell, suspects)
        text = cell[1:]
        covered = self._json(text, suspects)
        return cell if covered is text else b"\x01" + covered

    def _hex(self, cell: bytes, suspects: Suspects) -> bytes:
        """Text that may hold ``\\x…``: what the hex stands for is covered, and the rest as text."""
        if b"\\x" in cell:
            cell = _changed(cell, _HEX.sub(self._within_hex, cell))
        return self._covered(cell, suspects)

    def _within_hex(self, found: re.Match[bytes]) -> bytes:
        self.work.spend(PIECE)
        data = bytes.fromhex(found[1].decode())
        covered = self._read(data)
        return found[0] if covered is data else b"x" + covered.hex().encode()

    def _int8(self, cell: bytes, suspects: Suspects) -> bytes | None:
        if len(cell) != 8:
            return self._unread(cell, suspects)
        return self._unless_card(cell, b"%d" % int.from_bytes(cell, signed=True))

    def _numeric(self, cell: bytes, suspects: Suspects) -> bytes | None:
        digits = whole_number(cell)
        return self._unread(cell, suspects) if digits is None else self._unless_card(cell, digits)

    def _unless_card(self, cell: bytes, digits: bytes) -> bytes | None:
        if 13 <= len(digits) <= 19 and digits.isdigit() and is_card(digits):
            self._count("card")
            return None
        return cell

    def _unread(self, _cell: bytes, _suspects: Suspects) -> bytes | None:
        self._count("unread")
        return None

    def _untyped(self, cell: bytes, suspects: Suspects) -> bytes | None:
        """By what the bytes look like: readable ones are text, and what could be a number or an array is treated as one."""
        if readable(cell):
            return self._json(cell, suspects) if cell[:1] in (b"{", b"[", b'"') else self._text(cell, suspects)
        digits, element = whole_number(cell), int.from_bytes(cell[8:12])
        if len(cell) == 8 or digits is not None:
            return self._int8(cell, suspects) if digits is None else self._unless_card(cell, digits)
        if element in ELEMENTS and elements(cell, element) is not None:
            always, suspected = self._array_of(element)
            treatment = always or suspected
            return treatment(cell, suspects) if treatment else cell
        if cell[:1] == b"\x01" and readable(cell[1:]):
            return self._jsonb(cell, suspects)
        return cell if len(cell) < 8 or len(cell) == 16 else self._unread(cell, suspects)

    def _array_of(self, element: int) -> tuple[Treatment | None, Treatment | None]:
        if element in RIGID:
            return None, None
        always, suspected = self._binary(element)
        return (self._array(element, always) if always else None), (self._array(element, suspected) if suspected else None)

    def _array(self, element: int, treatment: Treatment) -> Treatment:
        def treat(cell: bytes, suspects: Suspects) -> bytes | None:
            self.work.spend(len(cell) * TAKEN_APART)
            split = elements(cell, element)
            if split is None:
                return self._unread(cell, suspects)
            head, values = split
            shown = [value if value is None else treatment(value, suspects) for value in values]
            if all(new is old for new, old in zip(shown, values, strict=True)):
                return cell
            gaps = any(value is None for value in shown)
            return head[:4] + _I32.pack(gaps) + head[8:] + b"".join(map(_cell, shown))

        return treat


_HEX = re.compile(rb"(?<=\\)x((?:[0-9a-f]{2}){4,})")


def _changed(old: bytes, new: bytes) -> bytes:
    return old if old == new else new


def whole(column: Column, cell: bytes, style: Style, key: bytes) -> bytes | None:
    """A whole cell covered so that a driver can still read its type; None for NULL, where that needs no value at all."""
    oid, binary = column.type_oid, column.format == 1
    if oid == CHAR:
        return b"*"
    if oid in TEXTS or (oid >= DYNAMIC and not binary):
        return cover_value(cell, style, key)
    covered = cover_value(cell, style, key) if style is Style.HASH else COVERED
    if oid == XML:
        return covered
    if oid in (JSON, JSONB):
        return b"\x01" * (binary and oid == JSONB) + b'"' + covered + b'"'
    return None
