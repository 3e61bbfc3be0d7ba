"""What the book says of one session's recording: the hash of each segment, found in the logs as they lie there.

Whether the book itself is sound is for the verifier to say. A session's entries come after its opening, so a search begins in
the bundle that holds that time; it goes on from where it stopped, since pages ask again every second. What no bundle has yet is
read from the write-ahead log, which keeps it until then.
"""

from __future__ import annotations

import json
import mmap
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from gatebook.errors import LedgerError
from gatebook.ledger import folders
from gatebook.ledger.reader import bundle_entries
from gatebook.ledger.tree import WIDTH, tile_name
from gatebook.ledger.wal import HEADER, NAME, frames

REMEMBERED = 64  # sessions
_WHOSE = {"rec.segment": "sid", "rec.recovered": "target_sid"}


@dataclass(frozen=True, slots=True)
class Vouched:
    """A segment as the book has it."""

    sha256: str
    last: bool


@dataclass(slots=True)
class _Search:
    """How far each log was searched: the next entry, and where in the write-ahead log; what was found, by segment's number."""

    places: dict[str, int] = field(default_factory=dict)
    tails: dict[str, tuple[str, int, int]] = field(default_factory=dict)
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
                    _search(search, name, place, session, opened_at)
            return dict(search.found)


def _search(search: _Search, log: str, place: Path, session: str, opened_at: int) -> None:
    entries = place / "tile" / "entries"
    index = search.places[log] if log in search.places else _begin(entries, opened_at)
    while (bundle := _bundle(entries, index // WIDTH)) is not None:
        for body in bundle[index % WIDTH :]:
            _take(body, session, search.found)
        index += WIDTH - index % WIDTH
    search.places[log] = _tail(search, log, place / "wal", index, session)


def _begin(entries: Path, opened_at: int) -> int:
    """The first entry of the last full bundle that begins before then."""
    low, high = 0, 1
    while _begins_before(entries, high, opened_at):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _begins_before(entries, middle, opened_at) else (low, middle)
    return low * WIDTH


def _begins_before(entries: Path, number: int, time: int) -> bool:
    bundle = _bundle(entries, number)
    return bundle is not None and int(json.loads(bundle[0])["time"]) <= time


def _bundle(entries: Path, number: int) -> list[bytes] | None:
    """The entries of a full bundle; None where there is none yet, or it is not whole."""
    try:
        data = (entries / tile_name(number)).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = bundle_entries(data)
    except LedgerError:
        return None
    return found if len(found) == WIDTH else None


def _tail(search: _Search, log: str, wal: Path, index: int, session: str) -> int:
    """Take what the write-ahead log has from this entry on; the next one that it does not have yet."""
    files = sorted(path.name for path in wal.iterdir() if NAME.fullmatch(path.name)) if wal.is_dir() else []
    name, offset, at = search.tails.get(log, ("", 0, 0))
    if name not in files:
        older = [one for one in files if int(one) <= index]
        name, offset, at = (older[-1], 0, int(older[-1])) if older else ("", 0, index)
    for one in files:
        if name and one >= name:
            if one != name:
                offset, at = 0, int(one)
            for body, end in _frames(wal / one, offset):
                offset = end
                if at >= index:
                    _take(body, session, search.found)
                at += 1
            search.tails[log] = (one, offset, at)
    return max(index, at)


def _frames(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Each whole entry of a file from an offset on, with where it ends."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # its entries lie in bundles by now
        return
    with file:
        if path.stat().st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for body in frames(data, offset):
                offset += HEADER.size + len(body)
                yield body, offset


def _take(body: bytes, session: str, found: dict[int, Vouched]) -> None:
    if session.encode() not in body or b'"type":"rec.' not in body:
        return
    fields: dict[str, Any] = json.loads(body)
    whose = _WHOSE.get(fields["type"])
    if whose and fields[whose] == session:
        found.setdefault(fields["n"], Vouched(fields["sha256"], fields["last"]))
