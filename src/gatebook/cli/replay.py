"""``gatebook sessions replay`` and ``tail``: what passed through a session, for whoever has a recipient's identity.

The recording is checked against the ledger's logs as they lie there; whether the ledger itself is sound, ``gatebook
ledger verify`` says. That somebody reads is written down before anything is shown, in a log of this command's own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gatebook.cli.common import complain
from gatebook.config import Config
from gatebook.errors import GatebookError, LedgerError, RecordingError
from gatebook.gateway.book import operator
from gatebook.ledger import aside
from gatebook.ledger.entries import clip
from gatebook.ledger.keys import key_path
from gatebook.ledger.vouching import Vouching
from gatebook.masking.detectors import cover_text
from gatebook.model import Entry
from gatebook.recording import terminal
from gatebook.recording.reading import Known, Recording, Tail, load_identity, unlock
from gatebook.recording.render import JsonLines, Lines
from gatebook.recording.results import Results

LONGEST_PAUSE_SECONDS = 3.0  # of a replay in time; a session may have been idle for hours
POLL_SECONDS = 0.2
WHY_BYTES = 256

IdentityOption = Annotated[
    Path, typer.Option("--identity", "-i", metavar="FILE", help="The age identity of one of the recording's recipients.")
]
LinesOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines, exact and complete.")]
SpeedOption = Annotated[
    float | None,
    typer.Option("--speed", min=0.01, help="Keep the session's time, so many times faster; pauses end after 3 seconds."),
]
PlayOption = Annotated[
    int | None,
    typer.Option("--play", metavar="SEQ", min=1, help="Show the terminal of this request again, in its time (--speed)."),
]
CastOption = Annotated[
    int | None,
    typer.Option("--cast", metavar="SEQ", min=1, help="Print the terminal of this request as an asciicast, for other players."),
]
WhyOption = Annotated[str, typer.Option("--why", metavar="REASON", help="Why you look: it stands in the ledger, with who.")]
FromStartOption = Annotated[bool, typer.Option("--from-start", help="Show what was recorded before, too.")]


class Screen:
    """Prints events as they come, all at once or in their time."""

    def __init__(self, *, as_json: bool, speed: float | None = None) -> None:
        self._lines: Lines | JsonLines = JsonLines() if as_json else Lines()
        self._results, self._speed, self._last = Results(), speed, 0

    def show(self, event: Any) -> None:
        """Print what is complete by this event."""
        if self._speed is not None and self._last:
            time.sleep(min(max(0, event.time - self._last) / 1e6 / self._speed, LONGEST_PAUSE_SECONDS))
        self._last = event.time
        for item in self._results.feed(event):
            self._print(item)

    def end(self) -> None:
        """Print what the end left incomplete."""
        for item in self._results.rest(self._last):
            self._print(item)
        for line in self._lines.rest():
            print(line, flush=True)

    def _print(self, item: Any) -> None:
        for line in self._lines.of(item):
            print(line, flush=self._speed is not None)


def replay(
    config: Config, session: str, opened_at: int, show: Callable[[Recording], None], *, live: bool, identity: Path, why: str
) -> None:
    """Show a recording and check it; raises RecordingError with every fault, after all that counts was shown."""
    place = _place(config, session)
    key = unlock(place, load_identity(identity))
    _write_down(config, session, why)
    recording = Recording(place, key, _known(config.ledger.folder, session, opened_at), live=live)
    show(recording)
    sys.stdout.flush()
    for note in recording.notes:
        complain(GatebookError(f"note: {note}"))
    if not recording.complete and not live:
        recording.faults.append("the recording has no end: its last segments are missing")
    if recording.faults:
        raise RecordingError("\n".join(f"this recording is not whole: {fault}" for fault in recording.faults))
    where = "so far, as the ledger has it" if live else "whole, as the ledger has it"
    count = len(recording.known)
    print(f"The recording is {where}: {count} segment{'' if count == 1 else 's'}.", file=sys.stderr)


def lines(recording: Recording, *, as_json: bool, speed: float | None) -> None:
    """Print all of a recording."""
    screen = Screen(as_json=as_json, speed=speed)
    for event in recording.events():
        screen.show(event)
    screen.end()


def play(recording: Recording, seq: int, speed: float) -> None:
    """Show a request's terminal again, in its time, on this one. Raises GatebookError where this is none."""
    if not sys.stdout.isatty():
        raise GatebookError("--play needs a terminal; --cast prints it as an asciicast")
    last = 0
    try:
        for piece in terminal.shown(recording.events(), seq):
            if last:
                time.sleep(min(max(0, piece.at - last) / 1e6 / speed, LONGEST_PAUSE_SECONDS))
            last = piece.at
            if not piece.resized:
                print(piece.text, end="", flush=True)
    finally:
        print(terminal.RESET, flush=True)


def cast(recording: Recording, seq: int, title: str) -> None:
    """Print a request's terminal as an asciicast."""
    for line in terminal.asciicast(terminal.shown(recording.events(), seq), title):
        print(line)


def tail(
    config: Config, session: str, *, is_live: Callable[[], bool], identity: Path, as_json: bool, from_start: bool, why: str
) -> None:
    """Print a live session as it goes on, until it ends."""
    place = _place(config, session)
    follower = Tail(place, unlock(place, load_identity(identity)), from_start=from_start)
    _write_down(config, session, why)
    screen = Screen(as_json=as_json)
    while True:
        live = is_live()
        for event in follower.news():
            screen.show(event)
        sys.stdout.flush()
        if follower.ended or not live:
            screen.end()
            return
        time.sleep(POLL_SECONDS)


def _known(folder: Path, session: str, opened_at: int) -> dict[int, Known]:
    """What the ledger has of a session's recording, by number of segment. Raises LedgerError."""
    try:
        found = Vouching(folder).segments(session, opened_at)
    except OSError as error:
        raise LedgerError(f"the ledger cannot be read: {error.strerror}") from error
    return {number: Known(one.sha256, one.last) for number, one in found.items()}


def _write_down(config: Config, session: str, why: str) -> None:
    """Who reads, and why, before anything is shown. Raises LedgerError; a copy of the files has no key, and it is said."""
    if not key_path(config.home).exists():
        complain(GatebookError("note: this reading is not in the book: the ledger's key is not here"))
        return
    fields = {"target_sid": session, "by": operator(), "why": clip(cover_text(why), WHY_BYTES)}
    aside.write(config, Entry(kind="recording.read", fields=fields))


def _place(config: Config, session: str) -> Path:
    if config.recording is None:
        raise GatebookError("the configuration has no section recording: nothing is recorded")
    place = config.recording.folder / session
    if not place.is_dir():
        raise GatebookError(f"session {session} was not recorded: there is nothing at {place}")
    return place
