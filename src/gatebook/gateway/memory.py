"""How the C library's allocator hands memory out, and gives it back. Where it is another one than glibc's, nothing is done.

Each side of a TLS connection has 256 KiB of uvloop's to read to, of which a page or two is ever written. Left to itself, glibc
maps what is large by itself only until the first of it is freed, and from then on takes it from its heap: there such a place
has pages that something else wrote, and keeps them until the connection ends. So from ``LARGE_BYTES`` on all is mapped by
itself, and given back when it is freed; what is read at once is kept below that (``reads.py``), since mapping costs more than
copying. Smaller values that are freed leave holes in the heap, whose pages are given back where they are many.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

LARGE_BYTES = 262_144  # as uvloop takes for a side of TLS
KEPT_BYTES = 1_048_576  # at the heap's end, for what comes next: else large values would grow and shrink it each time
FREE_BYTES = 8_388_608  # inside the heap, before it is worth the milliseconds to give them back
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


class _Found(ctypes.Structure):
    """``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    )


_libc = ctypes.CDLL(None)
_is_glibc = hasattr(_libc, "mallinfo2")
if _is_glibc:
    _libc.mallinfo2.restype = _Found


def settle() -> None:
    """Have this process, and those forked from it, take memory so."""
    if _is_glibc:
        _libc.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        _libc.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def _free() -> int:
    """Bytes inside the heap that nobody has, those already given back among them."""
    return int(_libc.mallinfo2().fordblks) if _is_glibc else 0


def _give_back() -> None:
    _libc.malloc_trim(0)


class Heap:
    """What of it was free at the last look. Owned by one process."""

    def __init__(self, free: Callable[[], int] = _free, give_back: Callable[[], object] = _give_back) -> None:
        self._free, self._give_back = free, give_back
        self._known = 0

    def look(self) -> None:
        """Give back what became free, where that is much."""
        free = self._free()
        if free >= self._known + FREE_BYTES:
            self._give_back()
            self._known = free
        else:
            self._known = min(free, self._known)
