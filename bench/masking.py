"""How fast rows are covered, ordinary ones and the worst: ``python bench/masking.py [MEGABYTES]``. Prints one table.

``MB/s`` is a row of one cell of 100 kB, which is read to its end. ``longest`` is one row of that many megabytes (5 without an
argument), during which nothing else happens in the gateway; ``cell`` says whether it was read or would be too much work.
"""

from __future__ import annotations

import struct
import sys
import time

from gatebook.masking.detectors import NAMES
from gatebook.protocols.postgres.rows import Column, Cover, RowCover

TEXT, JSON, BYTEA = 25, 114, 17
ROWS: dict[str, tuple[int, bytes]] = {
    "prose": (TEXT, b"the quick brown fox jumps over the lazy dog. "),
    "a dump": (TEXT, b"2020-01-01 00:00:00.123456+00\t1234567\tfoo\t"),
    "addresses": (TEXT, b"bob@example.com, "),
    "no cards, spaces": (TEXT, b"4242 4242 4242 4241 "),
    "no cards, undivided": (TEXT, b"4242424242424241 "),
    "cards": (TEXT, b"4242 4242 4242 4242 "),
    "no phones": (TEXT, b"+12345678901234567890123 "),
    "accounts": (TEXT, b"DE44 5001 0517 5407 3249 31 "),
    "no secrets": (TEXT, b"token:aaaaaaaaaaaaaaa1 "),
    "no addresses": (TEXT, b"\xff\xfe@ab.cd "),
    "numbers in JSON": (JSON, b"4242424242424242,"),
    "escapes in JSON": (JSON, b'"\\u0040",'),
    "hex": (BYTEA, b"\\x3432343234323432 "),
}


def row(oid: int, piece: bytes, size: int) -> bytes:
    """A DataRow's body of one cell."""
    cell = piece * (size // len(piece))
    if oid == JSON:
        cell = b"[" + cell[:-1] + b"]"
    return struct.pack("!Hi", 1, len(cell)) + cell


def seconds(oid: int, body: bytes) -> tuple[float, bool]:
    """How long one row takes, and whether it was read."""
    cover = RowCover([Column("c", 0, 0, oid, 0)], [Cover(None, False)], NAMES, b"k")
    start = time.perf_counter()
    cover.cover(body)
    return time.perf_counter() - start, "unread" not in cover.masked


def main() -> None:
    """Measure each kind of row."""
    size = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 5_000_000
    print(f"{'row':22}{'MB/s':>8}{'longest':>10}  cell")
    for name, (oid, piece) in ROWS.items():
        short, _ = seconds(oid, row(oid, piece, 100_000))
        longest, read = seconds(oid, row(oid, piece, size))
        print(f"{name:22}{0.1 / short:8.1f}{longest:8.2f} s  {'read' if read else 'unread'}")


if __name__ == "__main__":
    main()
