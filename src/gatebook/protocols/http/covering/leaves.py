"""One value of JSON, covered so that it stays JSON: by its rule whole, else where detectors find something in it.

Whatever is covered becomes a string, a number too: a number that stands for another could be taken for the real one. ``null``
stays, since it is no value. A member's name and its value are looked at together, as ``"password":"…"``, in one spelling
whatever the escapes were. A string that is a whole document of JSON by itself is read as one, at its own place.
"""

from __future__ import annotations

import json
import re

from gatebook.errors import WireError
from gatebook.masking.detectors import OverworkError
from gatebook.masking.fields import Place
from gatebook.masking.rules import Style
from gatebook.masking.styles import COVERED
from gatebook.protocols.http.covering.json_walk import Hit, Look, read_string
from gatebook.protocols.http.covering.native import MakeWalk, walk
from gatebook.protocols.http.covering.plan import UNREAD, Counts, Plan, Rule, count
from gatebook.protocols.http.covering.text import TextCover

NESTED = 3  # documents inside of strings of documents
LONG = 65_536  # bytes of a string that is looked through piece by piece
WHOLE = b'"' + COVERED + b'"'
_PACKED = b'"release"'  # the name of what may hold others packed
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_HALF = re.compile(r"[\ud800-\udfff]")
_DOCUMENT = re.compile(r"\s*[\[{]")


class Leaves:
    """Covers the values of one content. Shares the counts with its coverer; ``level`` is how deep in strings it stands."""

    def __init__(self, plan: Plan, masked: Counts, make: MakeWalk = walk, level: int = 0) -> None:
        self._plan = plan
        self.masked = masked
        self._make = make
        self._level = level
        self._rules: dict[Place, Rule | None] = {}

    def covered(self, data: bytes, hits: list[Hit]) -> bytes:
        """The data with what the hits say, the same object if that changes nothing. Raises WireError."""
        pieces: list[bytes] = []
        last = 0
        for hit in hits:
            new = self._shown(hit, data[hit.start : hit.end])
            if new is not None:
                pieces += (data[last : hit.start], new)
                last = hit.end
        return b"".join((*pieces, data[last:])) if pieces else data

    def _shown(self, hit: Hit, written: bytes) -> bytes | None:
        match hit.look:
            case Look.GONE:
                return b""
            case Look.NEW:
                return hit.name
            case Look.NAME:
                return self._name(written, self.masked)
            case Look.RULED:
                return self._ruled(written, hit)
            case Look.UNREAD:
                rule = self._plan.rule(hit.place)
                count(self.masked, UNREAD if rule is None else rule.style.value)
                return WHOLE
        return self._number(written, hit) if written[:1] != b'"' else self._string(written, hit)

    # By rule ----------------------------------------------------------------------------------------------------------

    def _ruled(self, written: bytes, hit: Hit) -> bytes | None:
        rule = self._rules.get(hit.place)
        if rule is None:
            rule = self._rules[hit.place] = self._plan.rule(hit.place)
        assert rule is not None, "the walk says so of ruled places only"  # noqa: S101
        if written == b"null":
            return None
        count(self.masked, rule.style.value)
        first = written[:1]
        if first == b'"':
            if rule.base64 and self._plan.packed is not None and hit.name == _PACKED:
                packed = self._plan.packed.shown(
                    read_string(written).encode("utf-8", "surrogatepass"), self._plan, rule, self.masked
                )
                if packed is not None:
                    return b'"' + packed + b'"'
            covered = rule.cover(read_string(written).encode("utf-8", "surrogatepass"))
            if covered.isalnum() or covered == COVERED:
                return b'"' + covered + b'"'
            return json.dumps(covered.decode("utf-8", "replace"), ensure_ascii=False).encode()
        if first in b"{[tf" or rule.style is Style.TOKEN:
            return WHOLE  # a hash of two words, or of a container, could be guessed; a token would come back as text
        return b'"' + rule.cover(written) + b'"'

    # By detectors -----------------------------------------------------------------------------------------------------

    def _name(self, written: bytes, counts: Counts) -> bytes | None:
        if len(written) > LONG:
            raise WireError("a name in JSON that is too long to look through")
        plain = _plain(written)
        covered = self._plan.looked(plain, counts, WHOLE)
        return None if covered is plain else _sound(covered)

    def _number(self, written: bytes, hit: Hit) -> bytes | None:
        covered = self._beside(hit.name, written)
        return None if covered is None else _sound(b'"' + covered + b'"')

    def _string(self, written: bytes, hit: Hit) -> bytes | None:
        text = read_string(written)
        if b"\\" in written and self._level < NESTED and _DOCUMENT.match(text):
            nested = self._nested(text, hit)
            if nested is not None:
                return None if nested == text else _written(json.dumps(nested, ensure_ascii=False))
        plain = _plain(written)
        if len(plain) > LONG:
            return self._long(plain, hit)
        covered = self._beside(hit.name, plain)
        return None if covered is None else _sound(covered)

    def _beside(self, name: bytes, plain: bytes) -> bytes | None:
        """A value covered as it stands beside its name; None where nothing is found."""
        head = b""
        if name:
            head = (self._name(name, {}) or _plain(name)) + b":"
        text = head + plain
        try:
            covered = self._plan.look(text, self.masked)
        except OverworkError:
            count(self.masked, UNREAD)
            return WHOLE
        if covered is text:
            return None
        return covered[len(head) :] if covered.startswith(head) else WHOLE

    def _long(self, plain: bytes, hit: Hit) -> bytes | None:
        """A string that is looked through piece by piece; whether it is a secret as a whole its beginning tells."""
        if self._beside(hit.name, plain[:_BEGINNING] + b'"') is not None:
            count(self.masked, UNREAD)
            return WHOLE
        pieces = TextCover(self._plan)
        inner = pieces.feed(plain[1:-1]) + pieces.finish()
        for name, number in pieces.masked.items():
            count(self.masked, name, number)
        return None if not pieces.masked else _sound(b'"' + inner + b'"')

    def _nested(self, text: str, hit: Hit) -> str | None:
        """A string that is a document, covered as one; None if it is none."""
        data = text.encode("utf-8", "surrogatepass")
        inner = Leaves(self._plan, {}, self._make, self._level + 1)
        try:
            _, hits = self._make(self._plan, inner.masked, hit.place, hit.name).feed(data, looks=True, final=True)
            covered = inner.covered(data, hits)
        except WireError:
            return None
        for name, number in inner.masked.items():
            count(self.masked, name, number)
        return covered.decode("utf-8", "surrogatepass")


_BEGINNING = 256  # bytes of a long string; what is a secret as a whole shows by then


def _plain(written: bytes) -> bytes:
    """A string in its one spelling: nothing escaped that need not be."""
    if b"\\" not in written:
        return written
    return json.dumps(read_string(written), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _sound(covered: bytes) -> bytes:
    """A covered string, if it still is one; halves of pairs go back to being escapes, since UTF-8 has none."""
    if not _STRING.fullmatch(covered):
        return WHOLE
    try:
        return covered if covered.isascii() else _written(covered.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return WHOLE


def _written(text: str) -> bytes:
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()
