"""What sessions of one process learnt of the catalog, for the first questions of the sessions after them.

The question about everything that masking needs to know of a relation costs the server more to plan than a short session costs
in all. Which relation a name stands for, and under which settings, is each session's own to ask: search_path, temporary tables
and its own transaction decide that. What holds of a relation by its number does not: that is the same for all of one server's
database. So a session asks by a short question which relations its names are, and takes what is known of these numbers.

What keeps it as true as asking itself (decision 0019):

- only what was learnt outside of a transaction is shared, and only outside of one it is used: nobody sees what is uncommitted;
- everything is cleared when relays forget what they know (``Stale``), and what was asked before that is not kept after it;
- a session takes part until its first ``Stale`` or change of a definition: then it asks for itself, and such a change clears
  what is shared;
- a server is told from others behind the same address by when it was started.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gatebook.errors import WireError

if TYPE_CHECKING:
    from gatebook.protocols.postgres.catalog import Known

KEPT_COLUMNS = 200_000  # of relations, in all
KEPT_PLACES = 200  # roles with their search_paths


class Facts:
    """Relations by server and number. ``clear`` it at least as often as relays are told that time has passed.

    Shared by the relays of one event loop. ``most`` columns are kept in all.
    """

    def __init__(self, most: int = KEPT_COLUMNS) -> None:
        self.generation = 0
        self._most = most
        self._known: dict[tuple[str, int], Known] = {}
        self._namesakes: dict[tuple[str, str], frozenset[str]] = {}
        self._columns = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, server: str, oid: int) -> Known | None:
        """What is known of this relation of this server's database."""
        return self._known.get((server, oid))

    def keep(self, server: str, known: Iterable[Known], generation: int) -> None:
        """Take in what was asked for in this generation; what was asked before the last ``clear`` is too old."""
        for one in known if generation == self.generation else ():
            kept = self._known.get((server, one.oid))
            if kept is not None and kept.derived is None and one.derived is not None:
                self._known[server, one.oid] = one
            size = len(one.columns) + len(one.under) + 1
            if self._columns + size <= self._most and kept is None:
                self._known[server, one.oid] = one
                self._columns += size

    def find_namesakes(self, server: str, place: str) -> frozenset[str] | None:
        """The names that somebody's own functions and operators share with the server's, by this role and search_path."""
        return self._namesakes.get((server, place))

    def keep_namesakes(self, server: str, place: str, names: frozenset[str] | None, generation: int) -> None:
        """Take them in, as ``keep`` does."""
        if names is not None and generation == self.generation and len(self._namesakes) < KEPT_PLACES:
            self._namesakes[server, place] = names

    def clear(self) -> None:
        """Count nothing as known any more."""
        self.generation += 1
        self._known.clear()
        self._namesakes.clear()
        self._columns = 0


def names(values: str, settings: str) -> str:
    """One SELECT without a table: which relation each name is, on which server, and what goes for the session."""
    return _NAMES.replace("%VALUES%", values).replace("%SETTINGS%", settings)


_NAMES = """
SELECT 'n' AS kind, n, pg_catalog.to_regclass(given::pg_catalog.text)::pg_catalog.oid::pg_catalog.int8, 0, '', '', ''
FROM (VALUES %VALUES%) AS asked(n, given)
UNION ALL
SELECT 'z', 0, '0'::pg_catalog.int8, 0, pg_catalog.to_char(
    pg_catalog.timezone('UTC'::pg_catalog.text, pg_catalog.pg_postmaster_start_time()), 'J SSSSS US'::pg_catalog.text),
  pg_catalog.current_database()::pg_catalog.text, ''
UNION ALL
SELECT 's', 0, '0'::pg_catalog.int8, 0, '', pg_catalog.current_setting('search_path'),
  pg_catalog.concat_ws(pg_catalog.chr(10), %SETTINGS%)
"""


def placed(rows: Iterable[Sequence[bytes | None]]) -> tuple[str, dict[int, int], str, str]:
    """Rows of the short question: the server, each name's relation by the name's number, search_path and settings.

    Raises WireError.
    """
    server = search_path = settings = ""
    oids: dict[int, int] = {}
    for row in rows:
        try:
            kind, number, oid, _, first, second, third = ((cell or b"").decode("utf-8") for cell in row)
            if kind == "n":
                oids[int(number)] = int(oid or 0)
            elif kind == "z":
                server = f"{first}\0{second}"
            else:
                search_path, settings = second, third
        except ValueError:
            raise WireError(f"the target answered a catalog question with a row of {len(row)} cells that do not fit") from None
    return server, oids, search_path, settings
