"""How answers of one session are covered, kept while it means the same: the same rows are described again and again.

A description is found by its exact bytes; the covers of its columns by that very description and statement, under the
catalog's version and the masks of the permit; the plan for its rows by those very covers. A plan counts what it covers for one
answer at a time, and answers come one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gatebook.errors import WireError
from gatebook.masking.rules import MaskSet
from gatebook.protocols.postgres import rows, wire
from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.expected import Running
from gatebook.protocols.postgres.lineage import covers
from gatebook.protocols.postgres.reading import Statement
from gatebook.protocols.relay import Covering

KEPT = 256  # descriptions of a session; one that has more begins anew
KEPT_BYTES = 4096  # of a description; longer ones are read each time
KEPT_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class _Covers:
    columns: tuple[rows.Column, ...]
    statement: Statement | None
    version: int
    masks: frozenset[str]
    found: list[rows.Cover]


class Plans:
    """Owned by one session. ``sets`` gives the mask sets of these names."""

    def __init__(self, catalog: Catalog, covering: Covering, sets: Callable[[frozenset[str]], list[MaskSet]]) -> None:
        self._catalog, self._covering, self._sets = catalog, covering, sets
        self._columns: dict[bytes, tuple[rows.Column, ...]] = {}
        self._covers: dict[int, _Covers] = {}
        self._plans: dict[int, tuple[tuple[rows.Column, ...], list[rows.Cover], rows.RowCover]] = {}

    def columns(self, body: bytes) -> tuple[rows.Column, ...]:
        """What a RowDescription says. Raises WireError."""
        found = self._columns.get(body)
        if found is None:
            found = rows.parse_row_description(body)
            if len(body) <= KEPT_BYTES and len(found) <= KEPT_COLUMNS:
                if len(self._columns) >= KEPT:
                    self._columns, self._covers, self._plans = {}, {}, {}
                self._columns[body] = found
        return found

    def covers(self, columns: tuple[rows.Column, ...], statement: Statement | None, masks: frozenset[str]) -> list[rows.Cover]:
        """How each column of this statement's answer is covered, by what is known now."""
        kept = self._covers.get(id(columns))
        same = kept is not None and kept.columns is columns and kept.statement is statement
        if same and kept is not None and kept.version == self._catalog.version and kept.masks == masks:
            return kept.found
        found = covers(columns, statement, self._catalog, self._sets(masks))
        if len(columns) <= KEPT_COLUMNS and len(self._covers) <= KEPT:
            self._covers[id(columns)] = _Covers(columns, statement, self._catalog.version, masks, found)
        return found

    def called(self, running: Running, statement: Statement | None, body: bytes) -> bytes:
        """The answer to a function call message, covered as a row of its one column, of which there is one."""
        if len(body) < 4 or int.from_bytes(body[:4]) not in (len(body) - 4, wire.NULL):
            raise WireError(f"the target answered a function call with {len(body)} bytes that do not fit")
        columns, running.calls = running.calls, ()
        running.cover = self.rows(columns, self.covers(columns, statement, running.permit.masks))
        covered = running.cover.cover(b"\0\1" + body)[2:]
        running.status, running.rows, running.size = "CALLED", 1, len(covered)
        return covered

    def keyed(self, how: list[rows.Cover]) -> list[rows.Cover]:
        """The covers with the keys of their tokens."""
        keys = self._covering.tokens
        return [replace(one, key=keys[one.mask_set][0]) if keys.get(one.mask_set) else one for one in how]

    def rows(self, columns: tuple[rows.Column, ...], how: list[rows.Cover]) -> rows.RowCover:
        """The plan for rows of these columns, which has counted nothing yet."""
        kept = self._plans.get(id(columns))
        if kept is not None and kept[0] is columns and (kept[1] is how or kept[1] == how):
            kept[2].masked.clear()
            return kept[2]
        made = rows.RowCover(columns, self.keyed(how), self._covering.detectors, self._covering.key)
        if len(columns) <= KEPT_COLUMNS and len(self._plans) <= KEPT:
            self._plans[id(columns)] = columns, how, made
        return made
