"""The line of a terminal that its cursor stands in, as far as that can be told from what is written to it.

One line is enough: shells edit theirs by a few commands (ECMA-48), and put it anew where they lose their place. Whatever is
not known here, a line that reaches the edge, or letters that take no cell or two make the line ``doubtful``, until a new
one begins. ``full`` says that a program has taken the whole screen.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

_PIECE = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f\x9b]+)|\x1b\[(?P<csi>[0-?]{0,32}[ -/]{0,4}[@-~])"
    r"|\x1b\](?P<osc>[^\x07\x1b]{0,2048}(?:\x07|\x1b\\))"
    r"|\x1b(?P<esc>[=>78cDEHMNOZ]|[ -/][0-~])|(?P<one>[\x00-\x1a\x1c-\x1f\x7f\x9b])",
    re.DOTALL,
)
_HELD = 4_096  # characters of a command that has not ended
_MOST = 100  # that one command moves by, or less
_QUIET = ("=", ">", "(B", ")B", "(0", ")0")
_NO_CELL = ("Mn", "Me", "Cf", "Cc", "Cn", "Co", "Cs")
_FULL = frozenset({"?1049", "?1047", "?47"})


class Screen:
    """Owned by one terminal's relay."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.cells: list[str] = []
        self.column = 0
        self.rows = 0  # that it has gone on by
        self.doubtful = self.full = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def text(self, start: int = 0, end: int | None = None) -> str:
        """What stands in the line."""
        return "".join(self.cells[start:end])

    def begin(self) -> None:
        """Another line."""
        self.cells, self.column, self.doubtful = [], 0, False

    def show(self, data: bytes) -> None:
        """The terminal is written this."""
        text = self._rest + self._decoder.decode(data)
        at = 0
        while at < len(text):
            found = _PIECE.match(text, at)
            if found is None:
                if text[at] == "\x1b" and len(text) - at < _HELD and self._may_go_on(text[at:]):
                    break
                self.doubtful = True
                at += 1
                continue
            at = found.end()
            self._take(found)
        self._rest = text[at:]

    @staticmethod
    def _may_go_on(text: str) -> bool:
        return re.fullmatch(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|\][^\x07\x1b]{0,2048}\x1b?|[ -/])?", text, re.DOTALL) is not None

    def _take(self, found: re.Match[str]) -> None:
        if found["text"] is not None:
            for char in found["text"]:
                self._put(char)
        elif found["csi"] is not None:
            self._command(found["csi"])
        elif found["esc"] is not None:
            self.doubtful = self.doubtful or found["esc"] not in _QUIET
        elif found["one"] is not None:
            self._control(found["one"])

    def _put(self, char: str) -> None:
        if unicodedata.east_asian_width(char) in "WF" or unicodedata.category(char) in _NO_CELL or char == "\ufffd":
            self.doubtful = True
        self._reach(self.column)
        self.cells[self.column : self.column + 1] = [char]
        self.column += 1
        if self.column >= self.columns:
            self.doubtful = True
            self.column = min(self.column, self.columns * 64)

    def _reach(self, column: int) -> None:
        self.cells += " " * (column - len(self.cells))

    def _control(self, char: str) -> None:
        match char:
            case "\r":
                self.column = 0
            case "\n" | "\x0b" | "\x0c":
                self.cells = [" "] * self.column
                self.rows += 1
                self.doubtful = False
            case "\b":
                self.column = max(0, self.column - 1)
            case "\t":
                self.column += 8 - self.column % 8
                self.doubtful = self.doubtful or self.column >= self.columns
            case "\x00" | "\x07":
                pass
            case _:
                self.doubtful = True

    def _command(self, said: str) -> None:
        final, parameters = said[-1], said[:-1]
        if final in "hl" and parameters.startswith("?"):
            if _FULL & set(("?" + parameters[1:].replace(";", ";?")).split(";")):
                self.full = final == "h"
                self.doubtful = True
            return
        if final == "m" and not parameters.startswith(("<", ">", "=", "?")):
            return
        if parameters and not (parameters.isdigit() and len(parameters) <= 4):
            self.doubtful = True
            return
        self._move(final, int(parameters or -1))

    def _move(self, final: str, number: int) -> None:
        count = max(1, number)
        if count > _MOST and final in "CDP@":
            self.doubtful = True
            return
        match final:
            case "C":
                self.column += count
                self._reach(min(self.column, self.columns))
            case "D":
                self.column = max(0, self.column - count)
            case "G":
                self.column = count - 1
            case "P":
                del self.cells[self.column : self.column + count]
            case "@":
                self._reach(self.column)
                self.cells[self.column : self.column] = " " * count
                if len(self.cells) > self.columns:
                    del self.cells[self.columns :]
                    self.doubtful = True
            case "K" | "J" if number <= 0:
                del self.cells[self.column :]
            case "K" if number == 1:
                self.cells[: self.column + 1] = " " * min(self.column + 1, len(self.cells))
            case "K" if number == 2:
                self.cells = [" "] * self.column
            case "H" if number == -1:
                self.cells, self.column, self.doubtful = [], 0, False
            case "J" if number in (2, 3):
                self.cells = [" "] * self.column
            case _:
                self.doubtful = True
        self.doubtful = self.doubtful or self.column >= self.columns
        self.column = min(self.column, self.columns * 64)
