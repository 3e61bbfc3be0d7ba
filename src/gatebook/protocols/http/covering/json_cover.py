"""JSON, covered as it streams: the walk says what is whole and what to look at, the leaves cover it."""

from __future__ import annotations

import codecs
import re

from gatebook.errors import WireError
from gatebook.masking.fields import TOP, Place
from gatebook.protocols.http.covering.leaves import Leaves
from gatebook.protocols.http.covering.native import MakeWalk, passes, walk
from gatebook.protocols.http.covering.plan import Counts, Plan

_MARK = codecs.BOM_UTF8
# What some servers put in front, so that no script of another site can run the answer.
_GUARD = re.compile(rb"(?:\xef\xbb\xbf)?(?:[)\]}',]{3,6}[ ]?\r?\n|for *\(;;\);|while *\(1\);)?")
_GUARD_BYTES = 24
_GUARD_STARTS = (b"\xef", b")", b"f", b"w")


class JsonCover:
    """Covers one content of JSON. Values of any size and documents one after the other."""

    def __init__(self, plan: Plan, top: Place = TOP, make: MakeWalk = walk) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._top, self._make = top, make
        self._walk = make(plan, self.masked, top, b"")
        self._leaves = Leaves(plan, self.masked, make)
        self._held = b""
        self._begun = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    @property
    def between(self) -> bool:
        """Whether all that was fed were whole documents."""
        return self._walk.between and not self._held.strip()

    def anew(self) -> JsonCover:
        """Another one for another content of the kind."""
        return JsonCover(self._plan, self._top, self._make)

    def passes(self, data: bytes) -> bool:
        """Whether a content that is whole goes on as it is, by any coverer of this kind; no where that is not sure."""
        return self._make is walk and passes(self._plan, data)

    def feed(self, data: bytes) -> bytes:
        """What is whole of the content now, covered. Raises WireError."""
        return self._fed(data, final=False)

    def finish(self) -> bytes:
        """The end of it. Raises WireError when it is not complete."""
        return self._fed(b"", final=True)

    def _fed(self, data: bytes, *, final: bool) -> bytes:
        try:
            self._utf8.decode(data, final)
        except UnicodeDecodeError:
            raise WireError("JSON that is not UTF-8") from None
        data = self._held + data if self._held else data
        front = b""
        if not self._begun:
            if not final and len(data) < _GUARD_BYTES and (not data or data.startswith(_GUARD_STARTS)):
                self._held = data
                return b""
            self._begun = True
            found = _GUARD.match(data)
            front = found[0] if found else b""
            data = data[len(front) :]
        if not final and self._walk.waits(data):
            self._held = data
            return front
        end, hits = self._walk.feed(data, looks=self._walk.looks(data), final=final)
        self._held = data[end:]
        return front + self._leaves.covered(data[:end], hits)
