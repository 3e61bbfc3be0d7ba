"""Find sensitive values in bytes and cover them: the engine over ``table.TABLE``.

A replacement holds no quote, backslash, comma, brace, space or control character, so that JSON strings, arrays, CSV and COPY
text stay what they are, and no detector finds it again. What is covered is bytes that the table recognizes as they stand; a
value that a statement turned around, encoded or cut is for rules, not for detectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from gatebook.masking.table import TABLE, VIEWS, Detector

NAMES: frozenset[str] = frozenset(detector.name for detector in TABLE)
LONG = 256  # bytes; after a match that long was checked in vain, the search goes on behind it, so that time stays linear

ROUNDS = 4  # a finding may stand right behind another that had to go first; bounded, so that a chain of them costs no more

WORK = 16 * 1024 * 1024  # for one row or report: what it costs stays below a second, in which every other session waits
SWEEP = 16  # times the cost of asking the hints: what a detector costs in bytes that were made to be slow
TAKEN_APART = 8  # work for a byte of JSON or of an array that is read piece by piece
PIECE = 64  # work for one escape or one hex string, however short
LONG_LINE = 1_048_576  # bytes; a longer line is taken apart, since a row knows when it has looked enough
LONG_CELL = 65_536  # bytes; which detectors may hold in such a cell is asked of it alone, since its neighbours' cost much here
LOG_CHARACTERS = 16_384  # of a text that is too much work; nothing shows more of a text in a log
TORN_CHARACTERS = 1024  # the end of such a part: a value may be cut in two there
UNREAD = "<unread>"  # stands for what was not looked at

_STARS = bytes(byte if byte in b"\r\n" else 0x2A for byte in range(256))

_PATTERNS = {detector.name: re.compile(detector.pattern, re.DOTALL) for detector in TABLE}
_HEADS = {detector.name: re.compile(detector.heads) for detector in TABLE if detector.heads}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a detector found something."""

    start: int
    end: int
    name: str


class OverworkError(Exception):
    """The work is used up: what is left must be covered unread."""


class Work:
    """How much may still be looked at, in bytes of one look at the hints. Owned by one row or report."""

    def __init__(self, left: int = WORK) -> None:
        self._left = left

    def spend(self, size: int) -> None:
        """Take that much. Raises OverworkError when there is not enough left; then a smaller piece may still be read."""
        if size > self._left:
            raise OverworkError
        self._left -= size


class Scan:
    """A choice of detectors, ready to run. Has no state of its own: one serves everybody."""

    def __init__(self, names: frozenset[str]) -> None:
        if unknown := names - NAMES:
            raise ValueError(f"no such detector: {', '.join(sorted(unknown))}")
        self._detectors = tuple(detector for detector in TABLE if detector.name in names)
        self._gates = tuple(_gate(view, self._detectors) for view in VIEWS)

    def suspects(self, data: bytes, work: Work | None = None) -> tuple[Detector, ...]:
        """The detectors that may find something in the data or in any part of it; usually none, which is the fast way out.

        Raises OverworkError.
        """
        if work is not None and self._detectors:
            work.spend(len(data))
        ranks: set[int] = set()
        for view, gate, hints in self._gates:
            text = view(data)
            if gate(text):
                ranks.update(rank for rank, hint in hints if hint(text))
        return tuple(self._detectors[rank] for rank in sorted(ranks)) if ranks else ()

    def blot(self, data: bytes, suspects: tuple[Detector, ...], work: Work | None = None) -> tuple[bytes, list[Spot]]:
        """The data with a star for each byte of every finding, and where these are; line ends stay, and so does each place.

        Raises OverworkError.
        """
        spots: list[Spot] = []
        for _ in range(ROUNDS):
            before = data
            for detector in suspects:
                if work is not None:
                    work.spend(len(data) * SWEEP)
                data = _blot(detector, data, spots)
            if data is before:
                break
        return data, spots

    def cover(self, data: bytes, suspects: tuple[Detector, ...], counts: dict[str, int], work: Work | None = None) -> bytes:
        """The data with every finding of the suspects replaced, the same object if there is none; ``counts`` grows.

        Raises OverworkError; then nothing of this data is counted.
        """
        found: dict[str, int] = {}
        for _ in range(ROUNDS):
            before = data
            for detector in suspects:
                if work is not None:
                    work.spend(len(data) * SWEEP)
                data = _sweep(detector, data, found)
            if data is before:
                break
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
        return data


_Search = Callable[[bytes], object]
_Gate = tuple[Callable[[bytes], bytes], _Search, tuple[tuple[int, _Search], ...]]


def _gate(view: str, detectors: tuple[Detector, ...]) -> _Gate:
    """A view, one search over it for the hints of all detectors together, and each detector's own by its rank."""
    hints = tuple((rank, hint) for rank, detector in enumerate(detectors) for seen, hint in detector.hints if seen == view)
    if not hints:
        return _nothing, _never, ()
    together = re.compile(b"|".join(hint for _, hint in hints))  # not grouped: ``re`` would no longer skip
    return VIEWS[view], together.search, tuple((rank, re.compile(hint).search) for rank, hint in hints)


def _nothing(data: bytes) -> bytes:
    return b""


def _never(data: bytes) -> None:
    return None


def _found(detector: Detector, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Beginning and end of each finding, and what covers it."""
    search, check = _searcher(detector, data), detector.check
    at = 0
    while found := search(data, at):
        part = check(found)
        if part is None:
            at = found.end() if found.end() - found.start() > LONG else found.start() + 1
            continue
        at = part[1]
        yield part


def _blot(detector: Detector, data: bytes, spots: list[Spot]) -> bytes:
    out: bytearray | None = None
    for start, end, _ in _found(detector, data):
        stars = stars_for(data[start:end])
        if stars != data[start:end]:
            out = bytearray(data) if out is None else out
            out[start:end] = stars
            spots.append(Spot(start, end, detector.name))
    return data if out is None else bytes(out)


def stars_for(text: bytes) -> bytes:
    """A star for each byte that ends no line."""
    return text.translate(_STARS)


def _sweep(detector: Detector, data: bytes, counts: dict[str, int]) -> bytes:
    pieces: list[bytes] = []
    last = 0
    for start, end, cover in _found(detector, data):
        pieces += (data[last:start], cover)
        last = end
    if not pieces:
        return data
    counts[detector.name] = counts.get(detector.name, 0) + len(pieces) // 2
    return b"".join((*pieces, data[last:]))


def _searcher(detector: Detector, data: bytes) -> Callable[[bytes, int], re.Match[bytes] | None]:
    pattern = _PATTERNS[detector.name]
    if not detector.heads:
        return pattern.search
    head, lower = _HEADS[detector.name].search, data.lower()

    def search(data: bytes, at: int) -> re.Match[bytes] | None:
        while place := head(lower, at):
            if found := pattern.match(data, place.start()):
                return found
            at = place.start() + 1
        return None

    return search


@lru_cache(maxsize=64)  # one per choice that a config makes
def scan(names: frozenset[str] = NAMES) -> Scan:
    """The scan for a choice of detectors. Raises ValueError for a name that is none."""
    return Scan(names)


def cover(data: bytes, names: frozenset[str] = NAMES) -> tuple[bytes, dict[str, int]]:
    """The data with every finding replaced, and how many there were by detector; the same object if there were none."""
    chosen = scan(frozenset(names))
    counts: dict[str, int] = {}
    return chosen.cover(data, chosen.suspects(data), counts), counts


def cover_text(text: str, names: frozenset[str] = NAMES) -> str:
    """The same for text on its way into a log, such as a statement. Takes any text, lone surrogates included.

    Of a text that is too much work only the beginning is read and shown, with ``<unread>`` for the rest.
    """
    data = text.encode("utf-8", "surrogatepass")
    chosen, work = scan(frozenset(names)), Work()
    try:
        covered = chosen.cover(data, chosen.suspects(data, work), {}, work)
    except OverworkError:
        covered, _ = cover(text[:LOG_CHARACTERS].encode("utf-8", "surrogatepass"), names)
        return covered.decode("utf-8", "surrogatepass")[:-TORN_CHARACTERS] + UNREAD
    return text if covered is data else covered.decode("utf-8", "surrogatepass")
