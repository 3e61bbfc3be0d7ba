"""Header blocks (RFC 7541): read by hpack, written plainly.

Ours use the standard's own table and no other. A table of what was sent before would save bytes, and cost five times the CPU,
memory for each connection, and a secret that a later guess could be compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from hpack import Decoder, HPACKError, OversizedHeaderListError, hpack, table

from gatebook.protocols.http.checks import HEAD_BYTES
from gatebook.protocols.http.h2_frames import BrokenConnectionError, Code
from gatebook.protocols.http.message import Fields

CRUMBS = 512  # fields of a block: more than FIELDS, since a cookie may come in pieces, and each of them is paid for
TABLE_BYTES = 4_096  # of what a peer sent before: the least that everybody expects
NO_TABLE = b"\x20"  # said once, at the beginning of the first block

# Whoever passes these on is asked to put them into no table either (RFC 7541 §7.1.3).
_SECRET = frozenset(
    b"authorization proxy-authorization cookie set-cookie x-api-key x-auth-token x-amz-security-token sec-websocket-key".split()
)
# Two changes of the table's size may stand before the fields (RFC 7541 §4.2); hpack works off any number.
_RESIZES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*+[\x00-\x7f]){3}")
_STATIC = list(enumerate(table.HeaderTable.STATIC_TABLE, 1))
_EXACT = {(name, value): bytes((0x80 | number,)) for number, (name, value) in _STATIC}
_NAMES = {name: number for number, (name, _) in reversed(_STATIC)}

# They would log every field at level DEBUG, credentials too. A level outlasts a dictConfig, as ``disabled`` does not.
for _log in (hpack.log, table.log):
    _log.setLevel(60)


class Reader:
    """Takes a peer's blocks apart, in the order in which they came."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=HEAD_BYTES)
        self._decoder.max_allowed_table_size = TABLE_BYTES

    def read(self, block: bytes) -> Fields:
        """The fields of a block, as they were sent. Raises BrokenConnectionError: later blocks could not be read either."""
        if _RESIZES.match(block):
            raise BrokenConnectionError("a header block that changes the table's size again and again", Code.ENHANCE_YOUR_CALM)
        try:
            fields = tuple([(name, value) for name, value in self._decoder.decode(block, raw=True)])
        except OversizedHeaderListError:
            raise BrokenConnectionError(f"a head of more than {HEAD_BYTES} bytes", Code.ENHANCE_YOUR_CALM) from None
        except HPACKError:
            raise BrokenConnectionError("a header block that cannot be decompressed", Code.COMPRESSION_ERROR) from None
        if len(fields) > CRUMBS:
            raise BrokenConnectionError(f"a head of {len(fields)} fields", Code.ENHANCE_YOUR_CALM)
        return fields


def block_of(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The block that says these fields."""
    pieces: list[bytes] = []
    for field in fields:
        exact = _EXACT.get(field)
        if exact is not None:
            pieces.append(exact)
            continue
        name, value = field
        size = len(value)
        pieces += (_named(name), bytes((size,)) if size < 127 else _number(size, 127, 0), value)
    return b"".join(pieces)


@lru_cache(maxsize=1_024)
def _named(name: bytes) -> bytes:
    """The beginning of a literal field that enters no table (RFC 7541 §6.2.2, and §6.2.3 for secrets)."""
    first = 0x10 if name in _SECRET else 0
    known = _NAMES.get(name)
    if known is not None:
        return _number(known, 15, first)
    return bytes((first,)) + _number(len(name), 127, 0) + name


def _number(value: int, most: int, first: int) -> bytes:
    """An integer whose first byte has room up to ``most`` (RFC 7541 §5.1)."""
    if value < most:
        return bytes((first | value,))
    out = bytearray((first | most,))
    value -= most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
