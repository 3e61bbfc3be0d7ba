"""A command's streams in lines, whose they are is said once, and again where another has its turn, or time passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from gatebook.recording.answers import Content, Form
from gatebook.recording.terminal import plain

PAUSE_MICROSECONDS = 2_000_000
LINE_CHARACTERS = 4_096  # of one line that is shown as one

# Form, request, time and text; a line of text has time 0 where nothing is said before it.
Flow: TypeAlias = tuple[Form, int, int, str]


class Flowing:
    """Owned by one reader. Holds the beginning of one line."""

    def __init__(self) -> None:
        self._form: Form | None = None
        self._seq = self._latest = 0
        self._line = ""

    def feed(self, item: Content) -> Iterator[Flow]:
        """What is complete by an item of a stream."""
        text = str(item.data)
        if item.form is Form.STREAM:
            yield from self.rest()
            yield item.form, item.seq, item.time, text
            return
        if (item.form, item.seq) != (self._form, self._seq) or item.time - self._latest > PAUSE_MICROSECONDS:
            yield from self.rest()
            yield item.form, item.seq, item.time, ""
        self._form, self._seq, self._latest = item.form, item.seq, item.time
        *lines, self._line = (self._line + text).split("\n")
        yield from ((item.form, item.seq, 0, plain(line).removesuffix("\r")) for line in lines)
        while len(self._line) >= LINE_CHARACTERS:
            head, self._line = self._line[:LINE_CHARACTERS], self._line[LINE_CHARACTERS:]
            yield item.form, item.seq, 0, plain(head)

    def rest(self) -> Iterator[Flow]:
        """The beginning of a line; what follows says anew whose it is."""
        if self._form is not None and self._line:
            yield self._form, self._seq, 0, plain(self._line).removesuffix("\r")
        self._form, self._line = None, ""
