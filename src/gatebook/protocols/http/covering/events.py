"""Server-sent events (text/event-stream): each is covered and released as soon as it is whole.

The data of an event is put together from its lines and covered as one message. What did not change goes on as it came.
"""

from __future__ import annotations

import re

from gatebook.errors import WireError
from gatebook.protocols.http.covering.messages import cover_message
from gatebook.protocols.http.covering.plan import Counts, Plan
from gatebook.protocols.http.covering.text import WIDE

EVENT_BYTES = 8_388_608
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\n|\r(?!\Z))")
_ENDS = b"\r\n"
_DATA = b"data"


class EventCover:
    """Covers one stream of events."""

    def __init__(self, plan: Plan) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._held = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """The events that are whole, covered. Raises WireError."""
        if b"\0" in data:
            raise WireError(WIDE)
        self._held += data
        out: list[bytes] = []
        at = 0
        while found := _LINE.match(self._held, at):
            at = found.end()
            out.append(self._line(found[0]))
        self._held = self._held[at:]
        if self._size + len(self._held) > EVENT_BYTES:
            raise WireError(f"an event of more than {EVENT_BYTES} bytes")
        return b"".join(out)

    def finish(self) -> bytes:
        """The last event, which nobody ended."""
        if self._held:
            self._lines.append(self._held)
        self._held = b""
        return self._event()

    def _line(self, line: bytes) -> bytes:
        bare = line.rstrip(_ENDS)
        if self._first:
            self._first = False
            bare = bare.removeprefix(b"\xef\xbb\xbf")
        if bare.startswith(b":") and not self._lines:
            return self._plain(line)
        self._lines.append(line)
        self._size += len(line)
        return b"" if bare else self._event()

    def _event(self) -> bytes:
        lines, self._lines, self._size = self._lines, [], 0
        data = b"\n".join(value for name, value in map(_field, lines) if name == _DATA)
        covered = cover_message(data, self._plan, self.masked) if data else data
        if covered == data:
            return b"".join(line if _field(line)[0] == _DATA else self._plain(line) for line in lines)
        out: list[bytes] = []
        written = False
        for line in lines:
            if _field(line)[0] != _DATA:
                out.append(self._plain(line))
            elif not written:
                end = line[len(line.rstrip(_ENDS)) :] or b"\n"
                out += [b"data: " + one + end for one in covered.split(b"\n")]
                written = True
        return b"".join(out)

    def _plain(self, line: bytes) -> bytes:
        """A line of an event that is no data: an id, a name, a comment."""
        return self._plan.looked(line, self.masked, b":\n") if line.strip() else line


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a line, without the space that may stand before the value."""
    name, _, value = line.rstrip(_ENDS).removeprefix(b"\xef\xbb\xbf").partition(b":")
    return name, value.removeprefix(b" ")
