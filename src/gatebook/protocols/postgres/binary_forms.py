"""Binary forms of values, taken apart as far as masking needs it (src/backend/utils/adt/numeric.c, arrayfuncs.c)."""

from __future__ import annotations

import re
from struct import Struct

_U16 = Struct("!H")
_I32 = Struct("!i")
_ARRAY = Struct("!iiI")
_BOUNDS = Struct("!ii")
_NUMERIC = Struct("!HhHH")
DIMENSIONS = 6  # of an array, at most (MAXDIM)

_SIGNS = (0, 0x4000, 0xC000, 0xD000, 0xF000)  # of a numeric: plus, minus, not a number, both infinities
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def readable(cell: bytes) -> bool:
    """Whether it is a text: UTF-8 without control characters."""
    return _CONTROLS.search(cell) is None and cell.decode("utf-8", "ignore").encode() == cell


def whole_number(cell: bytes) -> bytes | None:
    """The digits of a binary numeric if it is a whole number, not negative; b"" if it is another; None if it is damaged."""
    if len(cell) < _NUMERIC.size:
        return None
    count, weight, sign, _ = _NUMERIC.unpack_from(cell)
    if len(cell) != _NUMERIC.size + 2 * count:
        return None
    groups = [_U16.unpack_from(cell, place)[0] for place in range(_NUMERIC.size, len(cell), 2)]
    if sign not in _SIGNS or any(group > 9999 for group in groups):
        return None
    if sign or not 3 <= weight <= 4 or any(groups[weight + 1 :]):  # 13 to 19 digits are 4 or 5 groups of 4
        return b""
    groups = (groups + [0] * 5)[: weight + 1]
    return b"".join(b"%04d" % group for group in groups).lstrip(b"0")


def elements(cell: bytes, element: int) -> tuple[bytes, list[bytes | None]] | None:
    """The head of a binary array and its elements; None if it is damaged or holds another type."""
    if len(cell) < _ARRAY.size:
        return None
    dimensions, gaps, oid = _ARRAY.unpack_from(cell)
    end = _ARRAY.size + _BOUNDS.size * dimensions
    if oid != element or not 0 <= dimensions <= DIMENSIONS or gaps not in (0, 1) or end > len(cell):
        return None
    count = min(dimensions, 1)
    for place in range(_ARRAY.size, end, _BOUNDS.size):
        count *= max(_BOUNDS.unpack_from(cell, place)[0], 0)
    values: list[bytes | None] = []
    at = end
    while at + 4 <= len(cell) and len(values) < count:
        (length,) = _I32.unpack_from(cell, at)
        at += 4
        if not -1 <= length <= len(cell) - at:
            return None
        values.append(None if length == -1 else cell[at : at + length])
        at += max(length, 0)
    return (cell[:end], values) if at == len(cell) and len(values) == count else None
