"""CSV and its kin (RFC 4180), where a rule names fields: the first record says what the columns are called.

Every cell of a ruled column is covered, an empty one too, and so is every cell beyond the columns that were named. What stands
behind a closing quote is read differently by everybody, so it is refused.
"""

from __future__ import annotations

import re

from gatebook.errors import WireError
from gatebook.masking.styles import COVERED
from gatebook.protocols.http.covering.plan import Counts, Plan, Rule, count
from gatebook.protocols.http.covering.text import WIDE

RECORD_BYTES = 8_388_608
DELIMITERS = b",;\t|"
UNCERTAIN = "uncertain"
_BOM = b"\xef\xbb\xbf"
_END = rb"(?:\r\n|\n|\r(?!\Z))"
_RECORD = re.compile(rb'(?:"(?:[^"]++|"")*+"|[^"\r\n]++|(?<=[^,;\t|\r\n])")*+' + _END)


class TableCover:
    """Covers one table. The delimiter is what parts the names of its columns most often."""

    def __init__(self, plan: Plan, delimiter: bytes = b"") -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._delimiter = delimiter
        self._cell: re.Pattern[bytes] | None = None
        self._names: list[bytes] = []
        self._rules: list[Rule | None] = []
        self._held = b""
        self._seen = 0

    def feed(self, data: bytes) -> bytes:
        """The records that are complete, covered. Raises WireError."""
        if b"\0" in data:
            raise WireError(WIDE)
        self._held += data
        out: list[bytes] = []
        at = 0
        if b"\n" in data or b"\r" in data:
            while found := _RECORD.match(self._held, at):
                at = found.end()
                out.append(self._record(found[0]))
        self._held = self._held[at:]
        if len(self._held) > RECORD_BYTES:
            raise WireError(f"a record of more than {RECORD_BYTES} bytes")
        return b"".join(out)

    def finish(self) -> bytes:
        """The last record, when nothing ended it."""
        if not self._held:
            return b""
        held, self._held = self._held, b""
        end = b"" if held.endswith((b"\r", b"\n")) else b"\n"
        out, at = b"", 0
        while found := _RECORD.match(held + end + b"\n", at):
            if at >= len(held):
                break
            at = found.end()
            out += self._record(found[0])
        if at < len(held):
            raise WireError("a table whose quotes cannot be told apart")
        return out.removesuffix(end)

    def _record(self, record: bytes) -> bytes:
        line = record.rstrip(b"\r\n")
        end = record[len(line) :]
        if not line:
            return record
        if self._cell is None:
            return self._header(line) + end
        cells = self._cells(line)
        shown = [self._shown(number, cell) for number, cell in enumerate(cells)]
        return self._delimiter.join(shown) + end

    def _header(self, line: bytes) -> bytes:
        names = line.removeprefix(_BOM)
        bare = re.sub(rb'"[^"]*"', b"", names)
        delimiter = self._delimiter or max((bytes((one,)) for one in DELIMITERS), key=bare.count)
        self._delimiter = delimiter
        sign = re.escape(delimiter)
        plain = rb'[^"' + sign + rb"][^" + sign + rb"]*+"
        self._cell = re.compile(rb'(?:"((?:[^"]++|"")*+)"|(' + plain + rb")?)(" + sign + rb"|\Z)")
        self._names = [_bare(cell) for cell in self._cells(names)]
        self._rules = [self._plan.named(name.decode("utf-8", "replace").strip()) for name in self._names]
        shown = [self._plan.looked(cell, self.masked, COVERED) for cell in self._cells(names)]
        return line[: len(line) - len(names)] + delimiter.join(shown)

    def _cells(self, line: bytes) -> list[bytes]:
        assert self._cell is not None, "the header came first"  # noqa: S101
        cells: list[bytes] = []
        at = 0
        while True:
            found = self._cell.match(line, at)
            if found is None:
                raise WireError("a table whose quotes cannot be told apart")
            cells.append(line[at : found.start(3)])
            at = found.end()
            if not found[3]:
                return cells

    def _shown(self, number: int, cell: bytes) -> bytes:
        if number >= len(self._rules):
            count(self.masked, UNCERTAIN)
            return COVERED
        rule = self._rules[number]
        if rule is not None:
            count(self.masked, rule.style.value)
            return self._quoted(rule.cover(_bare(cell)))
        bare = _bare(cell)
        head = self._names[number] + b": "
        covered = self._plan.looked(head + bare, self.masked, b"")
        if covered == head + bare:
            return cell
        return self._quoted(covered[len(head) :] if covered.startswith(head) else COVERED)

    def _quoted(self, text: bytes) -> bytes:
        if any(sign in text for sign in (b'"', b"\r", b"\n", self._delimiter)):
            return b'"' + text.replace(b'"', b'""') + b'"'
        return text


def _bare(cell: bytes) -> bytes:
    """What a cell says."""
    return cell[1:-1].replace(b'""', b'"') if cell.startswith(b'"') and cell.endswith(b'"') and len(cell) > 1 else cell
