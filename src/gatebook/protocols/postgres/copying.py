"""COPY … TO STDOUT, covered on its way to the client: rows taken apart by the options that the server wrote them with.

The data comes as CopyData messages. The server puts one row into each, but its protocol does not promise that, so ``CopyCover``
takes bytes cut anywhere, keeps at most one unfinished row, and gives whole rows. A row of cells becomes the body of a DataRow
and goes through ``rows.RowCover``: the same rules, styles and detectors as in any other answer. What was not changed is passed
on as the bytes that came.

Closed: only the form is accepted that the server's own writer has (src/backend/commands/copyto.c). A row with another number
of columns, a quote in the midst of a cell or bytes behind the trailer end the copy with WireError.

Text has a hole in it: a value may read like the NULL string unless that is ``\\N``. Such a cell counts as a value, so that no
copy answers whether a covered value is the one its NULL option names; then NULLs of that column are covered too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct

from gatebook.errors import WireError
from gatebook.protocols.postgres import native, wire
from gatebook.protocols.postgres.native import Run
from gatebook.protocols.postgres.oids import DYNAMIC, UNTYPED
from gatebook.protocols.postgres.reading import CopyPlan
from gatebook.protocols.postgres.rows import Column, Cover, RowCover, rule

ROW_BYTES = wire.SERVER_BYTES  # one row must fit in memory, in a message or over several
SIGNATURE = b"PGCOPY\n\xff\r\n\0"
TRAILER = b"\xff\xff"
_I16 = Struct("!h")
_I32 = Struct("!i")
_HEAD = Struct("!bH")
_BINARY_HEAD = len(SIGNATURE) + 8  # with flags and the length of an extension
Cells = list[bytes | None]


def formats(body: bytes) -> tuple[bool, int]:
    """Of a CopyInResponse or CopyOutResponse: whether it is binary, and its number of columns. Raises WireError."""
    if len(body) < _HEAD.size:
        raise WireError(f"COPY response of {len(body)} bytes")
    overall, count = _HEAD.unpack_from(body)
    if overall not in (0, 1) or body[_HEAD.size :] != _I16.pack(overall) * count:
        raise WireError(f"COPY response of format {overall} with {len(body)} bytes for its {count} columns")
    return overall == 1, count


class CopyCover:
    """Covers one copy's data. Owned by one answer; ``masked`` counts what was covered, as RowCover's does.

    ``types`` are the columns' type OIDs, UNTYPED where nobody could tell.
    """

    def __init__(
        self,
        plan: CopyPlan,
        types: Sequence[int],
        covers: Sequence[Cover],
        detectors: frozenset[str],
        key: bytes,
        limit: int = ROW_BYTES,
    ) -> None:
        binary = plan.format == "binary"
        columns = [_column(oid, binary) for oid in types]
        rows = RowCover(columns, covers, detectors, key)
        names = RowCover([_column(UNTYPED, binary)] * len(types), [Cover(None, False)] * len(types), detectors, key)
        written = [(one.type_oid, one.format, rule(one, how, how.key or key)) for one, how in zip(columns, covers, strict=True)]
        marks = (plan.format, plan.delimiter, plan.null, plan.quote, plan.escape)
        self._compiled = native.rows(detectors, written, key, marks)
        self.masked = names.masked = rows.masked
        self._limit = limit
        self._data = bytearray()
        form: type[_Text | _Csv | _Binary] = _FORMS[plan.format]
        self._form = form(plan, len(types), rows, names)

    @property
    def runs(self) -> bool:
        """Whether ``run`` may cover anything now: only from the beginning of an ordinary row on."""
        return self._compiled is not None and not self._data and self._form.ordinary

    def run(self, data: bytes, at: int) -> Run:
        """Cover the CopyData messages of whole rows from there on, as far as the compiled twin can."""
        assert self._compiled is not None, "without it nothing runs"  # noqa: S101
        return native.run(self._compiled, data, at, wire.SERVER_BYTES, self.masked)

    def feed(self, data: bytes) -> bytes:
        """The rows that are whole with these bytes, covered. Raises WireError when the data is not such a copy."""
        self._data += data
        start, pieces = 0, []
        while (end := self._form.end(self._data, start)) >= 0:
            pieces.append(self._form.cover(bytes(self._data[start:end])))
            start = end
        del self._data[:start]
        if len(self._data) > self._limit:
            raise WireError(f"COPY sent a row of over {self._limit} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """The server says that this was all. Raises WireError if it was not."""
        if self._data or not self._form.complete:
            raise WireError(f"COPY ended {len(self._data)} bytes into a row")


def _column(oid: int, binary: bool) -> Column:
    """In text, a type that nobody could tell is treated like one that CREATE TYPE made."""
    return Column("", 0, 0, oid if binary else oid or DYNAMIC, int(binary))


class _Lines:
    """What text and csv share: rows are lines, the first of which may be a header.

    ``end`` of each form says where the row that begins at ``start`` ends, -1 while it is not whole.
    """

    complete = True

    def __init__(self, plan: CopyPlan, count: int, rows: RowCover, names: RowCover) -> None:
        self._plan, self._columns = plan, count
        self._rows, self._next = rows, names if plan.header else rows
        self._looked = 0  # bytes of the unfinished row that were searched for its end
        self._plain = count == 0

    @property
    def ordinary(self) -> bool:
        """Whether no header is due."""
        return self._next is self._rows

    def cover(self, row: bytes) -> bytes:
        """One line, with its end."""
        rows, self._next = self._next, self._rows
        if not self._columns:
            if row != b"\n":
                raise WireError("COPY sent a row with columns, described as none")
            return row
        if self._bare(row) and rows.clean(row):
            self._check(row.count(self._plan.delimiter) + 1)
            return row
        raw, cells = self._apart(row)
        self._check(len(raw))
        body = _packed(cells)
        covered = rows.cover(body)
        if covered is body:
            return row
        shown = wire.data_row(covered)
        pieces = [old if now == was else self._written(now, old) for old, was, now in zip(raw, cells, shown, strict=True)]
        return self._plan.delimiter.join(pieces) + b"\n"

    def _check(self, count: int) -> None:
        if count != self._columns:
            raise WireError(f"COPY sent a row of {count} columns, described as {self._columns}")

    def _bare(self, row: bytes) -> bool:
        """Whether the row's cells stand in it just as they are."""
        raise NotImplementedError

    def _apart(self, row: bytes) -> tuple[list[bytes], Cells]:
        """The cells as they are written, and what they mean."""
        raise NotImplementedError

    def _written(self, cell: bytes | None, old: bytes) -> bytes:
        """A cell as the server would write it, in the place of another."""
        raise NotImplementedError


_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PAIR = b"\0"  # stands for an escaped escape while the others are replaced; no text of the server holds it


class _Text(_Lines):
    """Backslashes stand before what would end a cell or a line, so a line feed always ends a row."""

    def __init__(self, plan: CopyPlan, count: int, rows: RowCover, names: RowCover) -> None:
        super().__init__(plan, count, rows, names)
        mark = re.escape(plan.delimiter)
        self._cell = re.compile(rb"((?:[^\\\r\n%b]++|\\[^\r\n])*+)(?:%b|\n)" % (mark, mark))

    def end(self, data: bytearray, start: int) -> int:
        """Behind the next line feed."""
        found = data.find(b"\n", start + self._looked)
        self._looked = 0 if found >= 0 else len(data) - start
        return found + 1 if found >= 0 else -1

    def _bare(self, row: bytes) -> bool:
        return b"\\" not in row and b"\r" not in row

    def _apart(self, row: bytes) -> tuple[list[bytes], Cells]:
        raw = _matched(self._cell, row)
        return raw, [self._value(cell) for cell in raw]

    def _value(self, cell: bytes) -> bytes | None:
        if cell == self._plan.null == rb"\N":
            return None
        if b"\\" not in cell:
            return cell
        if _PAIR in cell:
            return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), cell)
        cell = cell.replace(rb"\\", _PAIR)  # a call for each escape would take a second for a few megabytes of them
        for letter, character in _ESCAPES.items():
            cell = cell.replace(b"\\" + letter, character)
        return cell.replace(b"\\", b"").replace(_PAIR, b"\\")

    def _written(self, cell: bytes | None, old: bytes) -> bytes:
        if cell is None:
            return self._plan.null
        cell = cell.replace(b"\\", rb"\\")
        for letter, character in _ESCAPES.items():
            cell = cell.replace(character, b"\\" + letter)
        return cell.replace(self._plan.delimiter, b"\\" + self._plan.delimiter)


class _Csv(_Lines):
    """Cells in quotes may hold anything, line feeds too; a quote, and an escape, within has an escape before it."""

    def __init__(self, plan: CopyPlan, count: int, rows: RowCover, names: RowCover) -> None:
        super().__init__(plan, count, rows, names)
        mark, quote, escape = re.escape(plan.delimiter), re.escape(plan.quote), re.escape(plan.escape)
        self._apart_escape = plan.escape != plan.quote
        inside = rb"(?:[^%b%b]++|%b[%b%b])*+" % (quote, escape, escape, quote, escape)
        self._cell = re.compile(rb"(%b%b%b|[^\r\n%b%b]*+)(?:%b|\n)" % (quote, inside, quote, mark, quote, mark), re.DOTALL)
        open_ = rb"(?:[^%b%b]++|%b.)*+" % (quote, escape, escape) if self._apart_escape else rb"[^%b]*+" % quote
        self._inside = re.compile(open_, re.DOTALL)
        self._outside = re.compile(rb"(?:[^\n%b]++|%b%b%b)*+" % (quote, quote, open_, quote), re.DOTALL)
        self._escaped = re.compile(rb"%b(.)" % escape, re.DOTALL)
        self._needs_quotes = re.compile(rb"[\r\n%b%b]" % (mark, quote))
        self._quoted = False

    def end(self, data: bytearray, start: int) -> int:
        """Behind the next line feed outside of quotes."""
        at = start + self._looked
        while True:
            if self._quoted:
                at = _past(self._inside, data, at)
                if data[at : at + 1] != self._plan.quote:  # an escape at the end belongs to the byte that is to come
                    break
                at, self._quoted = at + 1, False
            at = _past(self._outside, data, at)
            if at == len(data):
                break
            if data[at : at + 1] == b"\n":
                self._looked = 0
                return at + 1
            at, self._quoted = at + 1, True
        self._looked = at - start
        return -1

    def _bare(self, row: bytes) -> bool:
        return self._plan.quote not in row and b"\r" not in row

    def _apart(self, row: bytes) -> tuple[list[bytes], Cells]:
        raw = _matched(self._cell, row)
        return raw, [self._value(cell) for cell in raw]

    def _value(self, cell: bytes) -> bytes | None:
        quote, escape = self._plan.quote, self._plan.escape
        if cell[:1] != quote:
            return None if cell == self._plan.null else cell
        if not self._apart_escape:
            return cell[1:-1].replace(quote + quote, quote)
        if _PAIR in cell:
            return self._escaped.sub(rb"\1", cell[1:-1])
        return cell[1:-1].replace(escape + escape, _PAIR).replace(escape + quote, quote).replace(_PAIR, escape)

    def _written(self, cell: bytes | None, old: bytes) -> bytes:
        if cell is None:
            return self._plan.null
        if cell in (self._plan.null, rb"\.") or old[:1] == self._plan.quote or self._needs_quotes.search(cell):
            quote, escape = self._plan.quote, self._plan.escape
            if self._apart_escape:
                cell = cell.replace(escape, escape + escape)
            return quote + cell.replace(quote, escape + quote) + quote
        return cell


def _past(pattern: re.Pattern[bytes], data: bytearray, at: int) -> int:
    """Behind what such a pattern, which always matches, takes from there on."""
    found = pattern.match(data, at)
    return found.end() if found is not None else at


def _matched(cell: re.Pattern[bytes], row: bytes) -> list[bytes]:
    """Cells, one behind the other up to the end of the line. Raises WireError."""
    raw: list[bytes] = []
    at = 0
    while at < len(row):
        found = cell.match(row, at)
        if found is None:
            raise WireError(f"COPY sent a row that breaks off at byte {at}, in column {len(raw) + 1}")
        raw.append(found[1])
        at = found.end()
    return raw


def _packed(cells: Cells) -> bytes:
    """The body of a DataRow."""
    pieces = [_I16.pack(len(cells))]
    for cell in cells:
        pieces += [_I32.pack(-1)] if cell is None else [_I32.pack(len(cell)), cell]
    return b"".join(pieces)


class _Binary:
    """A head, rows that are written as the body of a DataRow is, and a trailer."""

    def __init__(self, _plan: CopyPlan, count: int, rows: RowCover, _names: RowCover) -> None:
        self._columns, self._rows = count, rows
        self._headed = self.complete = False
        self._looked = 0  # bytes of the unfinished row, up to the length of a cell that is not whole
        self._left = -1  # cells of it behind those

    @property
    def ordinary(self) -> bool:
        """Whether a row is due, neither head nor end."""
        return self._headed and not self.complete

    def end(self, data: bytearray, start: int) -> int:
        """Behind the head, the trailer, or the last cell of a row."""
        if not self._headed:
            return start + _BINARY_HEAD if len(data) - start >= _BINARY_HEAD else -1
        at = start + self._looked
        if self._left < 0:
            if len(data) < at + 2:
                return -1
            self._left = max(self._count(data, at), 0)
            at += 2
        while self._left:
            size = self._size(data, at)
            if size < 0 or at + size > len(data):
                self._looked = at - start
                return -1
            at += size
            self._left -= 1
        self._looked, self._left = 0, -1
        return at

    def _count(self, data: bytearray, at: int) -> int:
        (count,) = _I16.unpack_from(data, at)
        if self.complete or count not in (self._columns, -1):
            raise WireError(f"COPY sent a row of {count} columns, described as {self._columns}")
        return int(count)

    @staticmethod
    def _size(data: bytearray, at: int) -> int:
        """Bytes of a cell with its length; -1 while that is not known."""
        if len(data) < at + 4:
            return -1
        (length,) = _I32.unpack_from(data, at)
        if length < -1:
            raise WireError(f"COPY sent a cell of {length} bytes")
        return 4 + max(int(length), 0)

    def cover(self, row: bytes) -> bytes:
        """The head and the trailer pass as they are, if they are what they should be."""
        if not self._headed:
            if row != SIGNATURE + bytes(8):
                raise WireError("COPY sent another head than that of its binary format, without flags or extension")
            self._headed = True
            return row
        if row == TRAILER:
            self.complete = True
            return row
        return self._rows.cover(row)


_FORMS: Mapping[str, type[_Text | _Csv | _Binary]] = {"text": _Text, "csv": _Csv, "binary": _Binary}


# The messages ---------------------------------------------------------------------------------------------------------------

SERVER_KINDS = (
    b"G",
    b"H",
    b"d",
    b"c",
)  # CopyInResponse, CopyOutResponse, CopyData, CopyDone; CopyBoth is for replication alone


@dataclass(slots=True)
class Copying:
    """The copies of one action. ``waits`` while it may still ask for data, ``taking`` while the server reads the client's."""

    waits: bool
    taking: bool = False
    cover: CopyCover | None = None
    masked: dict[str, int] = field(default_factory=dict)

    def from_server(self, kind: bytes, body: bytes, plan: CopyPlan | None, cover: Callable[[int], CopyCover]) -> bytes:
        """One message of the server: its body as the client may see it. ``cover`` is for so many columns. Raises WireError."""
        if kind in (b"G", b"H"):
            binary, count = formats(body)
            if plan is None or plan.inward != (kind == b"G") or binary != (plan.format == "binary") or self._busy:
                raise WireError("the target began a COPY that was not asked for")
            self.taking = plan.inward
            self.cover = None if plan.inward else cover(count)
            return body
        if self.cover is None:
            raise WireError(f"the target sent {kind!r} outside of a COPY to the client")
        if kind == b"d":
            return self.cover.feed(body)
        self.cover.close()
        self._keep()
        return body

    @property
    def _busy(self) -> bool:
        return self.taking or self.cover is not None

    def from_client(self, kind: bytes, again: bool) -> bool:
        """Whether one message of the client goes on to the server while it takes data. Raises WireError.

        The server passes over Flush and Sync there: drivers send them before they know. ``again`` says that the same action
        may ask for more.
        """
        if kind in (b"H", b"S"):
            return False
        if kind not in (b"d", b"c", b"f"):
            raise WireError(f"message {kind!r} while the target waits for the data of a COPY")
        if kind != b"d":
            self.taking, self.waits = False, again
        return True

    def ended(self) -> None:
        """A command is complete. Raises WireError if it cannot be."""
        if self._busy:
            raise WireError("the target ended a command in the midst of its COPY")

    def failed(self) -> None:
        """An error ended the action."""
        self.taking = self.waits = False

    def count_into(self, counts: dict[str, int]) -> None:
        """Add what was covered since this was asked last."""
        self._keep()
        if self.masked:
            counted(counts, self.masked)
            self.masked = {}

    def _keep(self) -> None:
        if self.cover is not None:
            counted(self.masked, self.cover.masked)
            self.cover = None


def counted(into: dict[str, int], more: Mapping[str, int]) -> None:
    """Add up what was covered, by kind."""
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def copies_in(plans: Iterable[CopyPlan | None]) -> Copying:
    """For an action with these copies."""
    return Copying(any(plan is not None and plan.inward for plan in plans))
