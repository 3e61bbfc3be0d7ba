"""Header blocks of SPDY/3: names and values, compressed with a dictionary, in one zlib stream for each direction."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from struct import Struct

from gatebook.errors import WireError

BLOCK_BYTES = 32_768  # of a block once it is no longer compressed
FIELDS = 32
_U32 = Struct(">I")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z:]{1,256}")

_WORDS = b"""
    options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
    allow authorization cache-control connection content-base content-encoding content-language content-length
    content-location content-md5 content-range content-type date etag expect expires from host if-match
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
    keep-alive origin
"""
_TEXT = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritativ"
    b"e Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 I"
    b"nternal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    b" 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    b"l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    b"iso-8859-1,utf-,*,enq=0."
)
# SPDY/3, section 2.6.10.1.
DICTIONARY = b"".join(_U32.pack(len(word)) + word.replace(b"_", b" ") for word in _WORDS.split()) + _TEXT


class Inflater:
    """Reads one side's blocks, in order."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zdict=DICTIONARY)

    def read(self, packed: bytes) -> dict[str, str]:
        """A block's fields; raises WireError."""
        try:
            block = self._stream.decompress(packed, BLOCK_BYTES + 1)
        except zlib.error:
            raise WireError("headers that are not compressed as SPDY/3 has it") from None
        if len(block) > BLOCK_BYTES or self._stream.unconsumed_tail:
            raise WireError(f"headers of more than {BLOCK_BYTES} bytes")
        if self._stream.eof or self._stream.unused_data:
            raise WireError("headers that end their compression")
        return _fields(block)


class Deflater:
    """Writes blocks for one side."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(9, zdict=DICTIONARY)

    def write(self, fields: Mapping[str, str]) -> bytes:
        """A block."""
        pieces = [_U32.pack(len(fields))]
        for name, value in fields.items():
            for text in (name.encode(), value.encode()):
                pieces += (_U32.pack(len(text)), text)
        return self._stream.compress(b"".join(pieces)) + self._stream.flush(zlib.Z_SYNC_FLUSH)


def _fields(block: bytes) -> dict[str, str]:
    count, at = _number(block, 0)
    if count > FIELDS:
        raise WireError(f"{count} headers, of which {FIELDS} may be")
    found: dict[str, str] = {}
    for _ in range(count):
        name, at = _string(block, at)
        value, at = _string(block, at)
        if not _NAME.fullmatch(name) or name.decode() in found:
            raise WireError("headers of which a name is none, or stands twice")
        try:
            found[name.decode()] = value.decode("ascii")
        except UnicodeDecodeError:
            raise WireError("headers of which a value is no text") from None
    if at != len(block):
        raise WireError("headers that are longer than they say")
    return found


def _number(block: bytes, at: int) -> tuple[int, int]:
    if len(block) - at < _U32.size:
        raise WireError("headers that are shorter than they say")
    (number,) = _U32.unpack_from(block, at)
    return number, at + _U32.size


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(block, at)
    if len(block) - at < size:
        raise WireError("headers that are shorter than they say")
    return block[at : at + size], at + size
