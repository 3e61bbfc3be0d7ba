"""Text that people wait for, covered as it comes: the output of a command, of a shell, what is typed.

Each byte that detectors find becomes a star and every other keeps its place: columns of a terminal stay columns, and an archive
that a command writes keeps its sizes. So what is out already can be looked at again together with what follows, and only the
rest of a finding whose beginning nobody could know is covered: that is how text can go on before its line is complete.

A line goes on once it is complete. An ``eager`` coverer, for terminals, lets all of it go but what may be the beginning of a
finding: its last word, digits, what stands behind a word as ``password``. ``idle`` lets that go, too: then a value that a
program writes in pieces, with pauses, is covered from the piece on by which it can be told. A private key is stars from its
first line on, however it comes.

What this cannot see: a value that is encoded, turned around or cut by what commands terminals.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum, auto

from gatebook.masking.compiled import find
from gatebook.masking.detectors import Spot, scan, stars_for
from gatebook.protocols.http.covering.plan import Counts, Plan, count

BLOCK = 262_144  # bytes that are looked through together
AHEAD = 4_096  # bytes behind them that are looked at, too
CONTEXT = 4_096  # bytes before them, of the same line
LINE = 32_768  # held bytes of one line, of which the beginning goes on
TAIL = 1_024  # bytes that may be held of an eager one's line, or of a long one
CREDENTIAL_BYTES = 8  # of a credential of the gateway's, before its end is waited for

_KEY = "private-key"
_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BEGINS = b"-----BEGIN "
_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_MAY_END = re.compile(rb"-{1,5}|-----(?:E(?:N(?:D(?: [A-Z0-9 ]{0,60}-{0,5})?)?)?)?|\\{1,8}")
_MARKER_BYTES = 80  # the longest of these
_IN_KEY = re.compile(rb"(?:[A-Za-z0-9+/=\s:,.()]|-(?!----)|\\++[nrt/])*+")
_PAIR = re.compile(rb"A(?:KIA|SIA)[A-Z0-9]{16}[\\\"';:,|\s]{1,6}\Z")  # its secret may stand on the next line
_PLACES = re.compile(rb"[\s,;<>&{}()]")
_COMMAND = re.compile(rb"\x1b\[[0-?]{0,32}[ -/]{0,4}[@-~]\Z")  # of a terminal; no finding goes over one
_DIGITS = re.compile(rb"[0-9A-Z+(](?=[A-Z .()/+-]{0,8}[0-9])[0-9A-Z .()/+-]{0,63}\Z")
_NAMES = re.compile(rb"(?:passw|passphr|passcode|pwd|secret|token|key|dential|fied by|authoriz|bearer)[^\n]{0,255}\Z")
_WORDS = bytes(0x20 if byte <= 0x20 or byte == 0x7F else byte for byte in range(256))
_MARKER = re.compile(rb"-----begin[ a-z0-9]{0,60}-{0,5}\Z")


class _Until(Enum):
    SURE = auto()  # what no later byte can change goes on
    IDLE = auto()  # all but the beginning of a credential does
    OVER = auto()  # all does


class LiveCover:
    """Covers one stream. Owned by one tunnel. Nothing is held where there is nothing to cover."""

    def __init__(self, plan: Plan, *, eager: bool) -> None:
        self.masked: Counts = {}
        names = plan.names - {_KEY}
        self._plan = replace(plan, names=names, scan=scan(names))
        self._keys, self._eager = _KEY in plan.names, eager
        self._reads = bool(plan.names or plan.needles)
        self._told = self._held = b""
        self._in_key = self._torn = self._straddles = self._idle = False

    @property
    def held(self) -> bool:
        """Whether ``idle`` may have something to say."""
        return bool(self._held) and not self._idle

    def feed(self, data: bytes, *, at_once: bool = False) -> bytes:
        """What may go on now, covered; with ``at_once`` all of it, since the client knows it already."""
        if not self._reads:
            return data
        self._held += data
        self._idle = at_once
        return self._go(_Until.IDLE if at_once else _Until.SURE)

    def idle(self) -> bytes:
        """Nothing came for some time: what was held back, but for what begins a credential, or may end a key."""
        self._idle = True
        return self._go(_Until.IDLE)

    def finish(self) -> bytes:
        """Nothing will come: all that was held back."""
        return self._go(_Until.OVER)

    def _go(self, until: _Until) -> bytes:
        out: list[bytes] = []
        while self._held:
            if self._in_key:
                piece = self._key_piece(until)
                if piece is None:
                    break
            elif self._torn:
                piece = self._tear()
            else:
                size = min(self._sure(until), BLOCK)
                if size <= 0:
                    break
                piece = self._release(size)
            out.append(piece)
        return b"".join(out)

    def _sure(self, until: _Until) -> int:
        """How many of the held bytes may go on."""
        held = self._held
        if until is _Until.OVER:
            return len(held)
        kept = self._plan.needles.held(self._told + held) if self._plan.needles else 0
        if until is _Until.IDLE:
            return len(held) - (kept if kept >= CREDENTIAL_BYTES else 0)
        end = held.rfind(b"\n") + 1
        if self._eager or len(held) - end > LINE:
            end = len(held) - _unsure(held[max(end, len(held) - TAIL) :])
        return min(end, len(held) - kept)

    def _release(self, size: int) -> bytes:
        """So many of the held bytes, covered in the light of what stands around them."""
        before = len(self._told)
        window = self._told + self._held[: size + AHEAD]
        cut = before + size
        if self._keys and (begun := self._begun(window, before, cut)):
            cut, self._in_key = begun, True
            count(self.masked, _KEY)
        covered, spots = self._plan.blotted(window, self.masked)
        self._held = self._held[cut - before :]
        self._remember(window, before, cut, spots)
        return covered[before:cut]

    def _begun(self, window: bytes, before: int, cut: int) -> int:
        """Where the first line of a private key ends among the bytes that go on, 0 without one."""
        first = max(0, before - _MARKER_BYTES)
        if find(window, _BEGINS, first, cut) < 0:  # far faster than a pattern
            return 0
        for found in _BEGIN.finditer(window, first, cut):
            if found.end() > before:
                return found.end()
        return 0

    def _remember(self, window: bytes, before: int, cut: int, spots: list[Spot]) -> None:
        """Count what was covered, and keep of what is out whatever a finding may need that goes on."""
        start = window.rfind(b"\n", 0, cut) + 1
        if start and _PAIR.search(window[max(0, start - 32) : start]):
            start = max(0, start - 64)
        straddles, begun = False, cut
        for spot in spots:
            if spot.end <= before or spot.start >= cut:
                continue
            if spot.start >= before or not self._straddles:
                count(self.masked, spot.name)
            if spot.end > cut or spot.end == len(window):
                straddles, begun = True, min(begun, spot.start)
        self._straddles = straddles
        self._torn = straddles and cut - begun > CONTEXT
        self._told = b"" if self._in_key else window[max(min(start, begun), cut - CONTEXT) : cut]

    def _tear(self) -> bytes:
        """What belongs to a finding that is longer than what is remembered, up to the next place where it can end."""
        place = _PLACES.search(self._held)
        end = place.start() if place else len(self._held)
        piece, self._held = self._held[:end], self._held[end:]
        if place:
            self._torn = self._straddles = False
            self._told = b""
        return stars_for(piece)

    def _key_piece(self, until: _Until) -> bytes | None:
        """What belongs to a private key; None where more must come to tell."""
        inside = _IN_KEY.match(self._held)
        end = inside.end() if inside else 0
        if until is not _Until.OVER and end == len(self._held):
            end = len(self._held.rstrip(b"-"))
        if end:
            piece, self._held = self._held[:end], self._held[end:]
            return stars_for(piece)
        if ended := _END.match(self._held):
            self._held, self._in_key = self._held[ended.end() :], False
            return ended[0]
        if _MAY_END.fullmatch(self._held):
            if until is not _Until.OVER:
                return None
            piece, self._held = self._held, b""
            return stars_for(piece)
        self._in_key = False
        return b""


def _unsure(line: bytes) -> int:
    """How many bytes at the end of a line may be the beginning of a finding."""
    if not line or _COMMAND.search(line[-48:]):
        return 0
    words = line.translate(_WORDS)
    last = 0 if words[-1:] == b" " else len(words.rpartition(b" ")[2])
    for found in (_DIGITS.search(line[-64:]), _NAMES.search(line[-256:].lower()), _MARKER.search(line[-96:].lower())):
        if found:
            last = max(last, found.end() - found.start())
    return last
