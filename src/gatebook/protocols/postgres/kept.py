"""How much the named things of a session may hold: their texts and parameters stay until they are closed.

The unnamed statement and portal are not counted, since there is one of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatebook.errors import WireError
from gatebook.protocols.postgres.expected import Portal, Prepared

NAMED_BYTES = 16_777_216
NAMED_THINGS = 10_000


class Kept:
    """Owned by one session. Adds up what is named, and counts again only when that is too much, since things are closed too."""

    def __init__(self) -> None:
        self._most = 0

    def add(self, name: str, thing: Prepared | Portal, prepared: Mapping[str, Prepared], portals: Mapping[str, Portal]) -> None:
        """Something was named, and stands in its mapping. Raises WireError past the limits."""
        if len(prepared) > NAMED_THINGS or len(portals) > NAMED_THINGS:
            raise WireError(f"{len(prepared)} prepared statements and {len(portals)} portals are open; close some")
        self._most += _size(thing) if name else 0
        if self._most > NAMED_BYTES:
            texts = {id(one.reading.text): _size(one) for key, one in prepared.items() if key}  # PREPAREs of one text share it
            self._most = sum(texts.values()) + sum(_size(one) for key, one in portals.items() if key)
        if self._most > NAMED_BYTES:
            raise WireError(
                f"prepared statements and portals hold {self._most} bytes, of {NAMED_BYTES} that may be; close some"
            )


def without(prepared: Mapping[str, Prepared], name: str) -> dict[str, Prepared]:
    """What DEALLOCATE or DISCARD of this name, or of all ("*"), leaves: the unnamed statement is not theirs."""
    return {key: one for key, one in prepared.items() if (not key if name == "*" else key != name)}


def _size(thing: Prepared | Portal) -> int:
    if isinstance(thing, Prepared):
        return len(thing.reading.text)
    return sum(len(value) for value in thing.action.parameters if value)
