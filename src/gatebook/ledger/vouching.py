"""What the book says of one session's recording: the hash of each segment, found in the write-ahead logs as they lie there.

Whether the book itself is sound is for the verifier to say. A session's entries come after its opening, so a search begins in
the last file whose first entry is older; it goes on from where it stopped, since pages ask again every second.
"""

from __future__ import annotations

import json
import mmap
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

from gatebook.ledger import folders
from gatebook.ledger.wal import HEADER, LONGEST, NAME

REMEMBERED = 64  # sessions
_WHOSE = {"rec.segment": "sid", "rec.recovered": "target_sid"}


@dataclass(frozen=True, slots=True)
class Vouched:
    """A segment as the book has it."""

    sha256: str
    last: bool


@dataclass(slots=True)
class _Search:
    """How far each log was searched: file and offset; and what was found, by number of segment."""

    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    found: dict[int, Vouched] = field(default_factory=dict)


class Vouching:
    """Finds segments in the logs of a folder. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._searches: OrderedDict[str, _Search] = OrderedDict()
        self._lock = Lock()

    def segments(self, session: str, opened_at: int) -> dict[int, Vouched]:
        """What the book has by now of this session's recording, by number. ``opened_at`` in µs. Raises OSError, LedgerError."""
        with self._lock:
            search = self._searches.setdefault(session, _Search())
            self._searches.move_to_end(session)
            if len(self._searches) > REMEMBERED:
                self._searches.popitem(last=False)
            if not any(one.last for one in search.found.values()):
                for name, place in folders.logs(self._folder).items():
                    self._search(search, name, place / "wal", session, opened_at)
            return dict(search.found)

    def _search(self, search: _Search, log: str, wal: Path, session: str, opened_at: int) -> None:
        files = sorted(path.name for path in wal.iterdir() if NAME.fullmatch(path.name)) if wal.is_dir() else []
        name, offset = search.places.get(log) or (_first(wal, files, opened_at), 0)
        for one in files:
            if one >= name:
                offset = _scan(wal / one, offset if one == name else 0, session.encode(), search.found)
                search.places[log] = (one, offset)


def _first(wal: Path, files: list[str], opened_at: int) -> str:
    """The last file whose first entry was written before then; the first of all where there is none."""
    older = files[:1]
    for one in files[1:]:
        with (wal / one).open("rb") as file:
            body = _frame(file.read(HEADER.size + LONGEST), 0)
        if body is None or _time(body) > opened_at:
            break
        older = [one]
    return older[0] if older else ""


def _scan(path: Path, offset: int, session: bytes, found: dict[int, Vouched]) -> int:
    """Take what a file has from an offset on; where its whole entries end."""
    if path.stat().st_size == 0:
        return offset
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while (body := _frame(data, offset)) is not None:
            offset += HEADER.size + len(body)
            if session in body and b'"type":"rec.' in body:
                _take(body, session.decode(), found)
    return offset


def _frame(data: bytes | mmap.mmap, offset: int) -> bytes | None:
    if offset + HEADER.size > len(data):
        return None
    length, crc = HEADER.unpack_from(data, offset)
    body = data[offset + HEADER.size : offset + HEADER.size + length]
    return body if 0 < length <= LONGEST and len(body) == length and crc32(body) == crc else None


def _take(body: bytes, session: str, found: dict[int, Vouched]) -> None:
    fields: dict[str, Any] = json.loads(body)
    whose = _WHOSE.get(fields["type"])
    if whose and fields[whose] == session:
        found.setdefault(fields["n"], Vouched(fields["sha256"], fields["last"]))


def _time(body: bytes) -> int:
    return int(json.loads(body)["time"])
