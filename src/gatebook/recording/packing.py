"""Events of a recording, compressed: at once where there are many bytes, else when their segment is finished.

What is compressed are events, each behind its head, in any number of zstd frames one behind the other; so what a spool holds
compressed goes into its segment as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import zstandard

from gatebook.errors import RecordingError

LEAST_BYTES = 16_384  # of an event that is compressed by itself; smaller ones wait for their segment, and do better together
_PIECE = 1 << 20  # bytes read at once of what is unpacked
# Level 1, the session being live, with a hash table that stays in the core's nearest cache and matches that pay at this speed:
# on rows a tenth less work than the level's own, and no larger.
_LEVEL = zstandard.ZstdCompressionParameters.from_level(1, window_log=18, hash_log=13, min_match=7)


class _Packer(threading.local):
    """A compressor with its tables for each thread."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(compression_params=_LEVEL).compress


_packer = _Packer()


def pack(front: bytes, data: bytes) -> bytes:
    """Both, compressed, one behind the other; they need not be joined for it."""
    compress = _packer.compress
    return compress(front) + compress(data)


def joined(pieces: Iterable[tuple[bytes, bool]]) -> bytes:
    """Pieces of events in their order, all compressed: those that are not yet (False), together with their neighbours."""
    found: list[bytes] = []
    plain: list[bytes] = []
    for piece, packed in pieces:
        if not packed:
            plain.append(piece)
            continue
        if plain:
            found.append(_packer.compress(b"".join(plain)))
            plain = []
        found.append(piece)
    if plain or not found:
        found.append(_packer.compress(b"".join(plain)))
    return b"".join(found)


def unpacked(data: bytes, limit: int, before: int = 0) -> bytes:
    """The events as they were. Raises RecordingError, also where they and those ``before`` have more bytes than ``limit``."""
    reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
    found: list[bytes] = []
    size = before
    try:
        while piece := reader.read(min(_PIECE, limit + 1)):
            found.append(piece)
            size += len(piece)
            if size > limit:
                raise RecordingError(f"it holds more than {limit} bytes")
    except zstandard.ZstdError:
        raise RecordingError("it cannot be decompressed") from None
    return b"".join(found)
