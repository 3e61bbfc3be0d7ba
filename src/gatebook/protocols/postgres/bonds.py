"""What an approved write is held to when it runs: how many rows it changes, and a digest over what those rows were.

People said yes to the rows they saw in a preview. So the write runs with a RETURNING of the gateway's own behind it, which
gives one hash for each row: over what the row was, and over what it becomes, too, unless that is another each time. The
hashes, sorted, are hashed once more under the gateway's key: a bare hash of few values could be guessed. The preview and the
execution ask for them in the same words, so a row that is another by then makes another digest, and the write is undone.

What a row was is known in three ways: ``old``, by RETURNING's own names for it (PostgreSQL 18); ``row``, since a DELETE returns
it anyway, and an INSERT has none; ``key``, by a look at the table by its primary key, which still sees the state before the
statement. Where none of them can be had, the number of rows alone is held to.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gatebook.protocols.postgres.drafts import Apart
from gatebook.protocols.postgres.quoting import identifier

OLD, NEW, KEYED = "gatebook_old", "gatebook_new", "gatebook_was"  # a table whose columns begin so is tried without them
RESERVED = "gatebook_"
HELD_ROWS = 100_000  # changed rows whose hashes are kept until it is known whether the write stands
HASH_CHARACTERS = 64
MODERN = 180_000  # server_version_num from which RETURNING names old and new rows

_SEND = 'pg_catalog.record_send(ROW("{}".*))'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """``digest`` is ``""`` where the number of rows alone is held to; ``after`` says that it covers what rows become.

    ``way`` says how old rows are found, ``keys`` by which columns. Nothing in it is text that a server is sent as it is.
    """

    rows: int
    digest: str = ""
    way: str = ""
    after: bool = False
    keys: tuple[str, ...] = ()

    def conditions(self) -> Mapping[str, str]:
        """As a permit carries it."""
        plain = {"rows": str(self.rows)}
        if self.digest:
            plain |= {
                "digest": self.digest,
                "way": self.way,
                "after": "yes" if self.after else "",
                "keys": "\0".join(self.keys),
            }
        return plain

    @staticmethod
    def of(conditions: Mapping[str, str]) -> Bond | None:
        """What a permit's conditions say, if it has any."""
        if "rows" not in conditions:
            return None
        keys = tuple(name for name in conditions.get("keys", "").split("\0") if name)
        digest, way, after = (conditions.get(name, "") for name in ("digest", "way", "after"))
        return Bond(rows=int(conditions["rows"]), digest=digest, way=way, after=after == "yes", keys=keys)


@dataclass(frozen=True, slots=True)
class Hashing:
    """How each changed row is hashed: what RETURNING begins with, and the expression."""

    begins: str
    hashes: str


def way_of(apart: Apart, version: int, keys: Collection[str]) -> str:
    """How old rows are found on a server of this version; ``""`` where they cannot be."""
    if version >= MODERN:
        return "old"
    if apart.verb == "delete" or (apart.verb == "insert" and not apart.replaces):
        return "row"
    found = apart.verb == "update" and bool(keys) and not apart.sets & {*keys, "*"}
    return "key" if found else ""


def hashing(apart: Apart, table: str, way: str, keys: Collection[str], *, after: bool) -> Hashing:
    """For one write. ``table`` is the qualified and quoted name of what it changes."""
    alias = apart.alias.replace('"', '""')
    if way == "old":
        parts = [_SEND.format(OLD), *([_SEND.format(NEW)] if after else [])]
        return Hashing(f'WITH (OLD AS "{OLD}", NEW AS "{NEW}") ', _hashed(parts))
    if way == "row":
        return Hashing("", _hashed([_SEND.format(alias)] if after or apart.verb == "delete" else ["''::pg_catalog.bytea"]))
    was = f"(SELECT {_SEND.format(KEYED)} {looked_up(apart, table, keys)})"
    return Hashing("", _hashed([was, *([_SEND.format(alias)] if after else [])]))


def looked_up(apart: Apart, table: str, keys: Collection[str]) -> str:
    """FROM and WHERE by which what a row was is found while it is changed."""
    same = (f'"{KEYED}".{identifier(key)} OPERATOR(pg_catalog.=) {identifier(apart.alias)}.{identifier(key)}' for key in keys)
    return f'FROM {table} AS "{KEYED}" WHERE {" AND ".join(same)}'


def _hashed(parts: Collection[str]) -> str:
    return f"pg_catalog.encode(pg_catalog.sha256({' OPERATOR(pg_catalog.||) '.join(parts)}), 'hex')"


def bound_text(apart: Apart, table: str, bond: Bond) -> str:
    """The write as it is sent to be held to a bond with a digest: with one more column, the last, in its answer."""
    how = hashing(apart, table, bond.way, bond.keys, after=bond.after)
    own = f"{apart.outputs}, " if apart.outputs else ""
    return f"{apart.head}\nRETURNING {how.begins}{own}{how.hashes}"


def digest_of(key: bytes, hashes: Collection[str]) -> str:
    """The digest of rows with these hashes."""
    return sealed(key, hashlib.sha256("".join(sorted(hashes)).encode("ascii")).hexdigest())


def sealed(key: bytes, hashed: str) -> str:
    """The same from the hash of them all."""
    return f"hmac-sha256:{hmac.digest(key, f'gatebook preview 1 {hashed}'.encode(), 'sha256').hex()}"
