"""Text, by detectors, as it comes: line by line, since nothing that they find goes over the end of a line.

Two things do. A private key has many lines: from its beginning on it is held until its end comes, and one that is too long is
covered at once and swallowed to its end. And a secret key of AWS may stand on the line below its access key.

A line that is very long is covered in windows. It may be cut only where that changes nothing: where both halves by themselves
give what the window gives as a whole. Where there is no such place, the window is covered whole, unread, to the next space.
"""

from __future__ import annotations

import codecs
import html
import re

from gatebook.errors import WireError
from gatebook.masking.detectors import UNREAD as UNREAD_TEXT
from gatebook.masking.detectors import OverworkError
from gatebook.protocols.http.covering.plan import UNREAD, Counts, Plan, count

BLOCK = 16_384  # bytes that are looked through together
LINE = 32_768  # bytes; a longer line is cut
AHEAD = 4_096  # bytes behind a cut that are looked at with what stands before it
WIDE = "text that holds NUL, as in UTF-16, which its readers may guess and its type does not say"
TRIES = 8  # places where a cut is tried
KEY_BYTES = 32_768  # of a private key that is held

_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_IN_KEY = re.compile(rb"(?:[A-Za-z0-9+/=\s:,.()]|-(?!----)|\\++[nrt/])*+")
_KEY_COVER = b"<private-key>"
_PAIR = re.compile(rb"A(?:KIA|SIA)[A-Z0-9]{16}[\\\"';:,|\s]{1,6}\Z")
_PLACES = re.compile(rb"[\s,;<>&{}()]")


class TextCover:
    """Covers one text. Holds back the line that is not complete, and a private key that has not ended."""

    def __init__(self, plan: Plan) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._keys = "private-key" in plan.names
        self._held = b""
        self._swallows = False  # inside of a private key that is covered already
        self._torn = False  # inside of something that was covered unread

    def feed(self, data: bytes) -> bytes:
        """The lines that are complete, covered."""
        return self._fed(data, final=False)

    def finish(self) -> bytes:
        """What was held back."""
        return self._fed(b"", final=True)

    def _fed(self, data: bytes, *, final: bool) -> bytes:
        if b"\0" in data:
            raise WireError(WIDE)
        self._held += data
        out: list[bytes] = []
        while self._held:
            before = len(self._held)
            if self._swallows:
                self._swallow(final=final)
                if self._swallows:
                    break
            if self._torn:
                self._drop()
            end = self._whole(final=final)
            if end:
                piece, self._held = self._held[:end], self._held[end:]
                out.append(self._lines(piece))
            elif len(self._held) >= LINE + AHEAD and not self._key_held():
                out.append(self._cut())
            elif self._key_held() and len(self._held) >= KEY_BYTES:
                out.append(self._key())
            if len(self._held) == before:
                break
        return b"".join(out)

    def _key_held(self) -> bool:
        return self._keys and _BEGIN.match(self._held) is not None

    def _whole(self, *, final: bool) -> int:
        """How much is complete lines, without a private key that is not complete and half of a pair."""
        if final:
            return len(self._held)
        end = self._held.rfind(b"\n") + 1
        begun = self._open_key(end)
        if begun >= 0:
            return begun
        tail = self._held[max(0, end - _PAIR_BYTES) : end]
        return self._held.rfind(b"\n", 0, end - len(tail) + len(tail.rstrip())) + 1 if _PAIR.search(tail) else end

    def _open_key(self, end: int) -> int:
        """Where a private key begins that does not end before there; -1 without one."""
        if not self._keys or b"-----BEGIN " not in self._held:
            return -1
        begun = [found.start() for found in _BEGIN.finditer(self._held)]
        if not begun or begun[-1] >= end:
            return -1
        ended = _END.search(self._held, begun[-1])
        return -1 if ended is not None and ended.end() <= end else begun[-1]

    def _key(self) -> bytes:
        begun = _BEGIN.match(self._held)
        assert begun is not None, "a key is held"  # noqa: S101
        count(self.masked, "private-key")
        self._held = self._held[begun.end() :]
        self._swallows = True
        self._swallow(final=False)
        return _KEY_COVER

    def _swallow(self, *, final: bool) -> None:
        """Drop what belongs to a private key."""
        inside = _IN_KEY.match(self._held)
        at = inside.end() if inside else 0
        rest = self._held[at:]
        if len(rest) < _MARKER_BYTES and not final and (not rest or rest.startswith(_GOES_ON) or b"-----".startswith(rest)):
            self._held = rest
            return
        ended = _END.match(rest)
        self._held = rest[ended.end() :] if ended else rest
        self._swallows = False

    def _drop(self) -> None:
        place = _PLACES.search(self._held)
        if place is None:
            self._held = b""
        else:
            self._held = self._held[place.start() :]
            self._torn = False

    def _lines(self, piece: bytes) -> bytes:
        """Complete lines, a block at a time; a private key is one by itself."""
        if len(piece) <= BLOCK:
            return self._block(piece)
        out: list[bytes] = []
        at = 0
        while at < len(piece):
            end = len(piece) if len(piece) - at <= BLOCK else piece.rfind(b"\n", at, at + BLOCK) + 1
            if end <= at:
                end = piece.find(b"\n", at) + 1 or len(piece)
            if self._keys and (begun := _BEGIN.search(piece, at, end)):
                if begun.start() > at:
                    out.append(self._block(piece[at : begun.start()]))
                at = begun.start()
                ended = _END.search(piece, at)
                end = ended.end() if ended else len(piece)
            out.append(self._block(piece[at:end]))
            at = end
        return b"".join(out)

    def _block(self, block: bytes) -> bytes:
        found: Counts = {}
        try:
            covered = self._look(block, found)
        except OverworkError:
            return self._one_by_one(block)
        for name, number in found.items():
            count(self.masked, name, number)
        return covered

    def _one_by_one(self, block: bytes) -> bytes:
        """A block that was made to be slow: each line has its own work."""
        out: list[bytes] = []
        for line in block.splitlines(keepends=True):
            try:
                out.append(self._look(line, self.masked))
            except OverworkError:
                count(self.masked, UNREAD)
                out.append(self._marked(UNREAD_TEXT.encode()) + line[len(line.rstrip(b"\r\n")) :])
        return b"".join(out)

    def _cut(self) -> bytes:
        """The beginning of a line that is too long, up to a place where a cut changes nothing."""
        window = self._held[: LINE + AHEAD]
        if not self._plan.suspects(window) and not self._marks(window):
            self._held = self._held[LINE:]
            return window[:LINE]
        places = [found.end() for found in _PLACES.finditer(window, LINE - AHEAD, LINE)][-TRIES:] or [LINE]
        try:
            whole = self._look(window, {})
            for place in reversed(places):
                found: Counts = {}
                first = self._look(window[:place], found)
                if first + self._look(window[place:], {}) == whole:
                    for name, number in found.items():
                        count(self.masked, name, number)
                    self._held = self._held[place:]
                    return first
        except OverworkError:
            pass
        count(self.masked, UNREAD)
        self._held = self._held[LINE:]
        self._torn = True
        return self._marked(UNREAD_TEXT.encode())

    def _look(self, text: bytes, counts: Counts) -> bytes:
        return self._plan.look(text, counts)

    def _marks(self, text: bytes) -> bool:
        """Whether something in the text hides what it says."""
        return False

    def _marked(self, mark: bytes) -> bytes:
        """What stands there for something else, fit for this type."""
        return mark


_MARKER_BYTES = 80  # what an end may take, and then it is seen
_GOES_ON = (b"-----", b"\\")
_PAIR_BYTES = 32


class MarkupCover(TextCover):
    """The same for HTML and XML: references of characters are read, and what covers a value is no tag."""

    def _look(self, text: bytes, counts: Counts) -> bytes:
        plain = _REFERENCE.sub(_meant, text) if b"&" in text else text
        aside = plain.translate(_ASIDE)
        covered = self._plan.look(aside, counts)
        if covered is aside:
            return text
        return self._marked(covered).translate(_BACK)

    def _marks(self, text: bytes) -> bool:
        return b"&" in text

    def _marked(self, mark: bytes) -> bytes:
        return mark.replace(b"<", b"&lt;").replace(b">", b"&gt;")


# Tags stand aside while detectors look, so that what these put in can be told from them. The two control characters are in no
# valid XML or HTML; where they stand all the same they become spaces.
_ASIDE = bytes.maketrans(b"<>\x0e\x0f", b"\x0e\x0f  ")
_BACK = bytes.maketrans(b"\x0e\x0f", b"<>")
_LETTERS = rb"commat|period|colon|equals|plus|hyphen|dash|lowbar|sol|num|nbsp"
_REFERENCE = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|" + _LETTERS + rb");?")


def _meant(found: re.Match[bytes]) -> bytes:
    """What a reference stands for; those of characters that mean something in markup stay."""
    written = found[0].decode()
    text = html.unescape(written if written.endswith(";") else written + ";")
    if text == "\xa0":
        return b" "
    if text in ("‐", "–"):
        return b"-"
    return text.encode() if len(text) == 1 and text.isascii() and text.isprintable() and text not in "<>&\"'" else found[0]


class UnnamedCover(TextCover):
    """The same for a content that says no type: it must be UTF-8."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    def _fed(self, data: bytes, *, final: bool) -> bytes:
        try:
            self._utf8.decode(data, final)
        except UnicodeDecodeError:
            raise WireError("content without a type that is not UTF-8") from None
        return super()._fed(data, final=final)
