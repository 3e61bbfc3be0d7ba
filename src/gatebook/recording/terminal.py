"""A command's streams out of a recording, as a terminal shows them again: in time, or as an asciicast for other players.

Whatever a command wrote is hostile to the terminal of whoever replays it. ``Harmless`` lets through text, and of what commands
a terminal only what moves the cursor, colours, clears and scrolls; what names windows, reads or writes the clipboard, asks the
terminal for an answer, or switches on reports of the mouse is left out.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from gatebook.errors import RecordingError, WireError
from gatebook.protocols.terminals import Kind, framed, frames
from gatebook.recording.grec import NUMBER, Event

COLUMNS, LINES = 80, 24  # of a terminal that nobody told the size of
RESET = "\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1l\x1b[?1049l\x1b[r\x1b(B"  # what a session may have left behind
_LONGEST = 64  # characters of what commands a terminal
_TEXT = (Kind.OUTPUT, Kind.ERRORS)
_SIZE = re.compile(rb"([0-9]{1,5})x([0-9]{1,5})")

_PLAIN = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\r(?=\n)|[\x00\x07\x0e\x0f]"
)
_MOVES = "ABCDEFGHIJKLMPSTX@Zadefmr`su"  # finals of commands that show something and answer nothing
_MODES = frozenset(("1", "6", "7", "12", "25", "47", "1047", "1048", "1049"))
_SEQUENCE = re.compile(r"\x1b\[([0-9;:]*)([@-~])|\x1b\[\?([0-9;]*)([hl])|\x1b([()][0AB]|[78DEM=>])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)?\Z")
_WORDS = re.compile(r"\x1b[\]PX^_]")  # begin what a terminal reads until it is told to stop
_STOP = re.compile(r"\x07|\x1b\\|\x9c")
_SHOWN = ("\n", "\r", "\t", "\b")


def plain(text: str) -> str:
    """Text without what commands a terminal, for readers who see lines; what is left of it that does not print stays."""
    return _PLAIN.sub("", text)


class Harmless:
    """Output that a terminal may be given. Owned by one stream; what is not complete waits for its rest, and not for long."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._words = False

    def feed(self, data: bytes) -> str:
        """What of it is harmless."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        out: list[str] = []
        at = 0
        while at < len(text):
            if self._words:
                found = _STOP.search(text, at)
                if found is None:
                    self._held = "\x1b" if text.endswith("\x1b") else ""
                    break
                at, self._words = found.end(), False
            elif text[at] == "\x1b":
                step, piece = self._command(text, at)
                if not step:
                    self._held = text[at:]
                    break
                out.append(piece)
                at += step
            else:
                end = text.find("\x1b", at)
                end = len(text) if end < 0 else end
                out += [one for one in text[at:end] if one.isprintable() or one in _SHOWN]
                at = end
        return "".join(out)

    def _command(self, text: str, at: int) -> tuple[int, str]:
        """How many characters command the terminal, and what of them goes on; 0 where more must come to tell."""
        if _WORDS.match(text, at):
            self._words = True
            return 2, ""
        found = _SEQUENCE.match(text, at)
        if found is None:
            begun = len(text) - at < _LONGEST and _BEGUN.match(text, at)
            return (0, "") if begun else (_past(text, at), "")
        _, final, modes, _, _ = found.groups()
        if (final is not None and final not in _MOVES) or (modes is not None and not set(modes.split(";")) <= _MODES):
            return len(found[0]), ""
        return len(found[0]), found[0]


def _past(text: str, at: int) -> int:
    """How long something is that commands a terminal and is not known."""
    found = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[ -/]*[0-~]?)?").match(text, at)
    return max(1, len(found[0])) if found else 1


@dataclass(frozen=True, slots=True)
class Shown:
    """Something that a terminal shows, ``at`` µs: text, or its new size ("80x24")."""

    at: int
    text: str
    resized: bool = False


def shown(events: Iterable[Event], seq: int) -> Iterator[Shown]:
    """What the terminal of request ``seq`` showed. Raises RecordingError where that has none."""
    streams: dict[Kind, Harmless] = {kind: Harmless() for kind in _TEXT}
    found = False
    for event in events:
        if event.kind != "p" or len(event.data) < NUMBER.size or NUMBER.unpack_from(event.data)[0] != seq:
            continue
        data = event.data[NUMBER.size :]
        if not framed(data):
            continue
        found = True
        try:
            for kind, piece in frames(data):
                if kind is Kind.RESIZE and (size := _SIZE.fullmatch(piece)):
                    yield Shown(event.time, f"{int(size[1])}x{int(size[2])}", resized=True)
                elif kind in streams and (text := streams[kind].feed(piece)):
                    yield Shown(event.time, text)
        except WireError:
            continue
    if not found:
        raise RecordingError(f"request {seq} has no terminal in this recording; `gatebook sessions show` lists requests")


def asciicast(pieces: Iterator[Shown], title: str) -> Iterator[str]:
    """The lines of an asciicast (version 2) of what a terminal showed; raises RecordingError as ``shown`` does."""
    before: list[Shown] = []
    size = (COLUMNS, LINES)
    for piece in pieces:  # a client tells its size first, or never
        before.append(piece)
        if piece.resized:
            width, height = piece.text.split("x")
            size = (int(width), int(height))
        if piece.resized or not piece.text.isspace():
            break
    start = before[0].at if before else 0
    stamp = int(datetime.fromtimestamp(start / 1e6, UTC).timestamp())
    yield json.dumps({"version": 2, "width": size[0], "height": size[1], "timestamp": stamp, "title": title})
    for piece in (*before, *pieces):
        yield json.dumps([round((piece.at - start) / 1e6, 6), "r" if piece.resized else "o", piece.text])
