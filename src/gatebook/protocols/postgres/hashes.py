"""The hashes of an approved write's rows, taken out of its answer (``bonds.py`` says what they are)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from gatebook.errors import WireError
from gatebook.protocols.postgres.bonds import HASH_CHARACTERS, HELD_ROWS, Bond, digest_of

_U16 = Struct("!H")
_FIELD_BYTES = 18  # of a column's description behind its name
_HASH_BYTES = 4 + HASH_CHARACTERS


@dataclass(slots=True)
class Hashes:
    """What came of one write's hashes. ``shows`` says that its client asked for rows itself."""

    bond: Bond
    key: bytes = field(repr=False)
    shows: bool
    found: list[str] = field(default_factory=list)

    def take(self, body: bytes) -> bytes | None:
        """A DataRow without its hash; None where that is all that it holds. Raises WireError."""
        count, cell = int.from_bytes(body[:2]), body[-_HASH_BYTES:]
        if count < 1 or len(cell) != _HASH_BYTES or int.from_bytes(cell[:4]) != HASH_CHARACTERS or len(self.found) > HELD_ROWS:
            raise WireError("the target sent a row without its hash")
        self.found.append(cell[4:].decode("ascii", "replace"))
        return _U16.pack(count - 1) + body[2:-_HASH_BYTES] if self.shows else None

    def described(self, body: bytes) -> bytes:
        """A RowDescription without the hash; empty where that is its only column. Raises WireError."""
        count, at = int.from_bytes(body[:2]), 2
        for _ in range(count - 1):
            at = body.find(b"\0", at) + 1 + _FIELD_BYTES
        if count < 1 or at > len(body) or body.find(b"\0", at) + 1 + _FIELD_BYTES != len(body):
            raise WireError("the target described rows without their hash")
        return _U16.pack(count - 1) + body[2:at] if self.shows else b""

    def same(self) -> bool:
        """Whether these are the rows that people saw."""
        return digest_of(self.key, self.found) == self.bond.digest
