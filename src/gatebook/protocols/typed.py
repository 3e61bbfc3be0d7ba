"""What is typed at a terminal, line by line, for a replay: as far as the terminal showed it.

Nobody here can know whether the far terminal echoes. So a line is recorded, covered, once its characters have come back in the
output, and what is typed at a prompt that hides it, a password, is recorded as so many bytes. A guess: output that happens to
hold the same characters in the same order right behind a hidden line passes for its echo.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.terminals import Kind, frame

LINE_BYTES = 4_096
LINES = 64  # that wait for their echo
BEHIND_BYTES = 128  # of output behind the end of a line, beside four times the line, in which its echo may still come
ECHO_BYTES = 64  # of output that may be the echo of what was just typed
_ENDS = re.compile(rb"[\r\n\x03\x04]")
_KEYS = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)|[\x00-\x1f\x7f]", re.DOTALL)  # that show nothing of themselves
_UNREAD = b"<unread>"


@dataclass(slots=True)
class _Line:
    """A line, whole or not. ``wanted`` are its characters, of which so many came back."""

    data: bytes = b""
    wanted: bytes = b""
    back: int = 0
    spent: int = 0  # bytes of output since it ended that were not its echo
    ended: bool = False

    def add(self, data: bytes) -> None:
        self.data += data
        self.wanted = _KEYS.sub(b"", self.data)

    @property
    def seen(self) -> bool:
        return self.back >= len(self.wanted)

    @property
    def left(self) -> int:
        """How many bytes of output may still be something else than its echo."""
        return BEHIND_BYTES + 4 * len(self.wanted) - self.spent

    @property
    def hopeless(self) -> bool:
        return self.ended and self.left < 0

    def look(self, data: bytes, at: int) -> int:
        """Take what comes back of it out of the output, from a place on; where the looking ended."""
        before, start = self.back, at
        stop = len(data) if not self.ended else at + self.left + len(self.wanted) - self.back
        while not self.seen and (place := data.find(self.wanted[self.back : self.back + 1], at, max(stop, at))) >= 0:
            self.back, at = self.back + 1, place + 1
        if self.ended:
            self.spent += (at if self.seen else len(data)) - start - (self.back - before)
        return at


class Typed:
    """Owned by one terminal's tunnel. Each method gives the frames that a replay is told now."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lines: deque[_Line] = deque([_Line()])

    @property
    def waits(self) -> bool:
        """Whether a line has ended whose echo has not come."""
        return self._lines[0].ended

    def typed(self, data: bytes) -> bytes:
        """The client typed this."""
        at = 0
        while at < len(data):
            found = _ENDS.search(data, at)
            end = min(found.end() if found else len(data), at + LINE_BYTES - len(self._lines[-1].data))
            line = self._lines[-1]
            line.add(data[at:end])
            at = end
            if len(line.data) >= LINE_BYTES or (found and end == found.end()):
                line.ended = True
                self._lines.append(_Line())
        shown = self._settled()
        while len(self._lines) > LINES:
            shown += self._shown(self._lines.popleft())
        return shown

    def is_echo(self, data: bytes) -> bool:
        """Whether this output is what was typed last, coming back: then the client knows it."""
        line = self._lines[0]
        return len(data) <= ECHO_BYTES and not line.seen and line.wanted.startswith(data, line.back)

    def answered(self, data: bytes) -> bytes:
        """The terminal shows this."""
        at = 0
        for line in self._lines:
            end = line.look(data, at)
            at = end if line.seen else at
        return self._settled()

    def idle(self) -> bytes:
        """Nothing came for some time: a line whose echo has not come has none."""
        shown = b""
        while self._lines[0].ended:
            shown += self._shown(self._lines.popleft())
        return shown

    def finish(self) -> bytes:
        """Nothing will be typed."""
        shown = self.idle()
        line, self._lines = self._lines[0], deque([_Line()])
        return shown + (self._shown(line) if line.data else b"")

    def _settled(self) -> bytes:
        """The lines of which it is known whether they came back. They do so in order: one before another that did, did not."""
        known = [place for place, line in enumerate(self._lines) if line.ended and line.seen]
        count = known[-1] + 1 if known else 0
        shown = b"".join(self._shown(self._lines.popleft()) for _ in range(count))
        while self._lines[0].hopeless:
            shown += self._shown(self._lines.popleft())
        return shown

    def _shown(self, line: _Line) -> bytes:
        if not line.seen:
            return frame(Kind.UNSEEN, b"%d" % len(line.data))
        return frame(Kind.INPUT, self._plan.looked(line.data, {}, _UNREAD))
