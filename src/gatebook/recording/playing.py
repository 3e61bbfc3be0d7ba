"""A window of a recording for people: steps, each a request with what came of it, bounded whatever the recording holds.

A step begins with a request and has everything up to the next one, in the order in which it passed; an answer that belongs to
an earlier request (clients may send several ahead) says so by its number. What HTTP answers stands with its own request, also
where several are answered at a time. A window has so many steps and so many characters; what is more is counted, not kept. One
pass, segment by segment: memory does not grow with the recording.

A window begins at the recording's start, or at a ``Mark``: the place of a request before which everything was answered, so that
no message is cut there. Texts are as they were recorded: whoever shows them escapes them.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from gatebook.recording.answers import FLOWING, Content, Form, Garbled, Headed
from gatebook.recording.grec import Event
from gatebook.recording.reading import Piece, Recording
from gatebook.recording.render import STREAMED, readable
from gatebook.recording.results import (
    About,
    Answer,
    Asked,
    Cell,
    Copied,
    Done,
    End,
    Item,
    Notified,
    Results,
    Said,
    Table,
    Unread,
    is_sent,
)

STEPS = 50  # of a window
ROWS = 200  # of an answer that are shown
COLUMNS = 64
HEAD_FIELDS = 100
CELL_CHARACTERS = 500
TEXT_CHARACTERS = 20_000  # of a request, of a piece of a COPY and of an error
OUTPUTS = 200  # of a step: tables, notices, pieces of a COPY, events, messages
DECODED_BYTES = 1 << 22  # of one answer that is coded
UNDER_WAY = 1_000  # requests whose answers are put to them
CHARACTERS = 1_500_000  # of a window
PAUSE_MICROSECONDS = 2_000_000  # of a command, after which what it says is another output
SEGMENT_BYTES = 1 << 26  # of one segment's content
READ_BYTES = 1 << 27  # of all that one window looks through
LATEST_SEGMENTS = 16  # that are looked through for the last steps of a live session
RULINGS = ("allow", "mask", "approve", "block")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a recording: the event of a segment, both from 0."""

    segment: int
    event: int

    def __str__(self) -> str:
        return f"{self.segment}-{self.event}"

    @classmethod
    def read(cls, text: str) -> Mark:
        """From its text; the start where that is none."""
        segment, _, event = text.partition("-")
        if segment.isascii() and event.isascii() and segment.isdecimal() and event.isdecimal() and len(text) <= 20:
            return cls(int(segment), int(event))
        return START


START = Mark(0, 0)


@dataclass(slots=True)
class Shown:
    """Rows of one answer: at most ``ROWS`` of them, and how many ``more`` there are."""

    columns: tuple[str, ...] | None
    rows: list[list[str | None]]
    more: int = 0
    more_columns: int = 0


@dataclass(slots=True)
class Passed:
    """Content of the answer to request ``seq``, as it is read; of ``size`` bytes, where so much is ``left`` out."""

    time: int
    seq: int
    form: Form
    media: str
    text: str
    size: int
    left: int = 0
    latest: int = 0  # when the last of it came

    def add(self, item: Content) -> None:
        """More of the same content."""
        room = max(0, TEXT_CHARACTERS - len(self.text)) if isinstance(item.data, str) and self.form is not Form.BINARY else 0
        if isinstance(item.data, str):
            self.text += item.data[:room]
        self.left += len(item.data) - room if len(item.data) > room else 0
        self.size += item.size


@dataclass(frozen=True, slots=True)
class Broken:
    """A segment that is missing or damaged, or part of one."""

    segment: int
    why: str


Output: TypeAlias = Shown | Said | Notified | Copied | Done | Headed | Passed | Garbled | Answer | End | Unread | Broken


@dataclass(slots=True)
class Step:
    """A request and what followed; ``asked`` is None before the first. ``vouched``: its segment is as the ledger has it."""

    at: int
    asked: Asked | None
    mark: Mark
    vouched: bool
    outputs: list[Output] = field(default_factory=list)
    left_out: int = 0  # outputs that are not shown
    matches: bool = True
    kept: bool = False  # it is among the window's steps

    @property
    def ruling(self) -> str:
        """What was decided."""
        return str(self.asked.facts.get("ruling", "")) if self.asked else ""

    @property
    def text(self) -> str:
        """The request's text, or the beginning of it."""
        return str(self.asked.facts.get("text", ""))[:TEXT_CHARACTERS] if self.asked else ""

    @property
    def more_text(self) -> int:
        """Characters of it that are left out."""
        return max(0, len(str(self.asked.facts.get("text", ""))) - TEXT_CHARACTERS) if self.asked else 0


@dataclass(slots=True)
class Window:
    """Some steps. ``next`` is where the following begin; ``stopped`` says that the looking ended before the recording did."""

    steps: list[Step] = field(default_factory=list)
    about: dict[str, object] = field(default_factory=dict)
    start: int = 0  # µs, of the recording's first event that was seen
    next: Mark | None = None
    stopped: bool = False
    vouched: int = 0  # segments that were read and are as the ledger has them
    pending: int = 0  # not in the ledger yet
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which steps: those ruled so (empty: all), and those with this text in request, result, error or rule."""

    ruling: str = ""
    text: str = ""

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.ruling or self.text)


def window(recording: Recording, mark: Mark = START, wanted: Wanted | None = None, steps: int = STEPS) -> Window:
    """The window that begins at ``mark``. Raises nothing for what is damaged: that is shown in its place."""
    return _Player(recording, wanted or Wanted(), steps).play(mark)


def latest(recording: Recording, steps: int = STEPS) -> Mark:
    """Where the last ``steps`` requests of a live session begin, as far back as a few segments go."""
    last = max(recording.numbers(), default=0)
    places: list[Mark | None] = []
    for n in range(last, max(-1, last - LATEST_SEGMENTS), -1):
        places = [*_places(recording, n), *places][-steps:]
        if len(places) == steps:
            break
    if len(places) < steps and last < LATEST_SEGMENTS:
        return START
    return next((one for one in places if one), START)


def _places(recording: Recording, n: int) -> Iterator[Mark | None]:
    """The requests of one segment; a mark for each before which everything seen in it was answered, or that cuts nothing."""
    asked: set[int] = set()
    answered = False
    piece = next(recording.pieces(n, SEGMENT_BYTES), None)
    if piece is None or piece.n != n:
        return
    results = Results()
    apart = False  # answers of HTTP are in nobody's way
    for place, event in enumerate(piece.events):
        apart = apart or event.kind in _APART
        for item in results.feed(event) if event.kind not in _BYTES else ():
            if isinstance(item, Asked):
                yield Mark(n, place) if apart or (answered and not asked) else None
                if is_sent(item):
                    asked.add(item.seq)
            elif isinstance(item, Answer):
                asked.discard(item.seq)
                answered = True


_APART = ("h", "p")
_BYTES = ("s", *_APART)


class _Player:
    """One pass over a recording, collecting one window."""

    def __init__(self, recording: Recording, wanted: Wanted, steps: int) -> None:
        self._recording, self._wanted, self._most = recording, wanted, steps
        self._needle = wanted.text.casefold()
        self._results = Results(DECODED_BYTES)
        self._window = Window()
        self._step: Step | None = None
        self._open: set[int] = set()  # requests that are not answered yet
        self._of: dict[int, Step] = {}  # the steps of requests, for what is said to them later
        self._characters = self._read = 0

    def play(self, mark: Mark) -> Window:
        found = self._window
        for piece in self._recording.pieces(mark.segment, SEGMENT_BYTES):
            if not self._piece(piece, mark.event if piece.n == mark.segment else 0):
                return found
        time = self._step.at if self._step else 0
        for item in self._results.rest(time):
            self._take(item, Mark(0, 0), vouched=True)
        if not (self._recording.live or self._recording.complete):
            self._break(Broken(max(self._recording.numbers(), default=-1) + 1, "the recording has no end: the last is missing"))
        self._finish()
        return found

    def _piece(self, piece: Piece, skipped: int) -> bool:
        """Take a segment; False once the window is over."""
        counted = False
        for place, event in enumerate(piece.events):
            if not counted and not piece.fault:
                counted = True
                self._window.vouched += piece.vouched
                self._window.pending += not piece.vouched
            self._window.start = self._window.start or event.time
            self._read += len(event.data)
            if place >= skipped and not self._event(event, Mark(piece.n, place), piece.vouched):
                return False
        if piece.fault:
            self._break(Broken(piece.n, piece.fault))
        self._window.notes += piece.notes
        return True

    def _break(self, broken: Broken) -> None:
        """Say what is missing in its place; what comes next begins anew."""
        self._window.broken.append(broken)
        self._results, self._open = Results(DECODED_BYTES), set()
        self._put(broken, self._step.at if self._step else self._window.start, vouched=False)

    def _event(self, event: Event, mark: Mark, vouched: bool) -> bool:
        for item in self._results.feed(event):
            if isinstance(item, Asked):
                self._finish()
                full = len(self._window.steps) >= self._most or self._characters >= CHARACTERS
                late = len(self._window.steps) >= 2 * self._most  # a client that never waits for an answer
                if late or (not self._open and (full or self._read >= READ_BYTES)):
                    self._window.next, self._window.stopped = mark, not full
                    return False
            self._take(item, mark, vouched)
        if self._read >= 4 * READ_BYTES:  # an answer without end: nothing of it is kept any more, but it takes time
            self._window.stopped = True
            self._finish()
            return False
        return True

    def _take(self, item: Item, mark: Mark, vouched: bool) -> None:
        match item:
            case About():
                self._window.about |= item.facts
            case Asked():
                if is_sent(item):
                    self._open.add(item.seq)
                self._step = Step(item.time, item, mark, vouched)
                self._step.matches = self._wanted_ruling(self._step) and (not self._needle or self._has(_texts(item)))
                self._characters += min(len(str(item.facts.get("text", ""))), TEXT_CHARACTERS)
                if len(self._of) >= UNDER_WAY:
                    del self._of[next(iter(self._of))]
                self._of[item.seq] = self._step
            case Table():
                self._rows(item, vouched)
            case Headed() | Garbled():
                self._put(_cut(item), item.time, vouched, self._step_of(item.seq, item.time, vouched))
            case Content():
                self._content(item, vouched)
            case Answer():
                self._open.discard(item.seq)
                step = self._of.pop(item.seq, None)
                apart = step is not None and any(isinstance(one, Headed | Passed) for one in step.outputs)
                self._put(item, item.time, vouched, step if apart else None)
            case Copied() | Said() | Notified() | Done() | End() | Unread():
                self._put(_cut(item), item.time, vouched)
            case _:
                assert_never(item)

    def _rows(self, table: Table, vouched: bool) -> None:
        """Add to the rows of the same answer, which came in several tables where they are many."""
        step = self._begun(table.time, vouched)
        last = step.outputs[-1] if step.outputs else None
        names = None if table.columns is None else tuple(name[:CELL_CHARACTERS] for name in table.columns[:COLUMNS])
        if not isinstance(last, Shown) or last.columns != names or not last.rows:
            more = max(0, max((len(row) for row in table.rows), default=len(table.columns or ())) - COLUMNS)
            last = Shown(names, [], more_columns=more)
            if not self._put(last, table.time, vouched):
                return
        for row in table.rows:
            if self._needle and not step.matches:
                step.matches = self._wanted_ruling(step) and self._has(_plain(cell) for cell in row)
            if len(last.rows) < ROWS and self._characters < CHARACTERS:
                cells = [None if cell is None else _clipped(cell) for cell in row[:COLUMNS]]
                self._characters += sum(len(cell or "") for cell in cells)
                last.rows.append(cells)
            else:
                last.more += 1

    def _step_of(self, seq: int, time: int, vouched: bool) -> Step:
        """The step of a request; where that was before this window, the one that is at hand."""
        step = self._of.get(seq)
        if step is None:
            return self._begun(time, vouched)
        step.vouched = step.vouched and vouched
        return step

    def _content(self, item: Content, vouched: bool) -> None:
        """Content of one answer is one output, though it came in several pieces; each event is one."""
        step = self._step_of(item.seq, item.time, vouched)
        self._read += item.size
        if self._needle and not step.matches and isinstance(item.data, str):
            step.matches = self._wanted_ruling(step) and self._needle in item.data.casefold()
        if item.form in FLOWING:
            self._flow(item, vouched, step)
            return
        last = next((one for one in reversed(step.outputs) if isinstance(one, Passed) and one.seq == item.seq), None)
        if last is None or not item.at or item.form in STREAMED or last.form is not item.form:
            text, left = readable(item, TEXT_CHARACTERS)
            self._put(Passed(item.time, item.seq, item.form, item.media, text, item.size, left), item.time, vouched, step)
        else:
            before = len(last.text)
            last.add(item)
            self._characters += len(last.text) - before
            self._keep(step)

    def _flow(self, item: Content, vouched: bool, step: Step) -> None:
        """What a stream carries is one output until another has its turn, or a pause."""
        text, left = readable(item, TEXT_CHARACTERS)
        last = step.outputs[-1] if step.outputs else None
        same = isinstance(last, Passed) and (last.seq, last.form) == (item.seq, item.form) and item.form is not Form.STREAM
        if not isinstance(last, Passed) or not same or item.time - last.latest > PAUSE_MICROSECONDS:
            fresh = Passed(item.time, item.seq, item.form, "", text, item.size, left, item.time)
            self._put(fresh, item.time, vouched, step)
            return
        before = len(last.text)
        last.latest = item.time
        last.add(replace(item, data=text))
        self._characters += len(last.text) - before
        self._keep(step)

    def _put(self, output: Output, time: int, vouched: bool, step: Step | None = None) -> bool:
        """Whether there was room."""
        step = step or self._begun(time, vouched)
        if self._needle and not step.matches:
            step.matches = self._wanted_ruling(step) and self._has(_texts(output))
        if step is not self._step:
            self._keep(step)
        always = isinstance(output, Broken | End | Answer)
        if not always and (len(step.outputs) >= OUTPUTS or self._characters >= CHARACTERS):
            step.left_out += 1
            return False
        if len(step.outputs) >= 2 * OUTPUTS:
            step.left_out += 1
            return False
        self._characters += sum(len(text) for text in _texts(output))
        step.outputs.append(output)
        return True

    def _begun(self, time: int, vouched: bool) -> Step:
        if self._step is None:
            self._step = Step(time, None, START, vouched, matches=self._wanted.everything)
        return self._step

    def _finish(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            self._keep(step)

    def _keep(self, step: Step) -> None:
        """Put a step that is wanted in its place among the others."""
        if step is self._step or step.kept or not (step.matches or any(isinstance(one, Broken) for one in step.outputs)):
            return
        step.kept = True
        insort(self._window.steps, step, key=lambda one: (one.mark.segment, one.mark.event))

    def _wanted_ruling(self, step: Step) -> bool:
        return not self._wanted.ruling or step.ruling == self._wanted.ruling

    def _has(self, texts: Iterator[str]) -> bool:
        return any(self._needle in text.casefold() for text in texts)


def _texts(item: Output | Asked) -> Iterator[str]:
    """The words of an item in which people look for something."""
    match item:
        case Asked():
            yield from (str(item.facts.get(name, "")) for name in ("text", "verb", "rule", "reason"))
        case Said():
            yield from item.fields.values()
        case Notified():
            yield from (item.channel, item.payload)
        case Copied():
            yield item.data.decode("utf-8", "backslashreplace")
        case Headed():
            yield str(item.status)
            yield from (f"{name}: {value}" for name, value in item.fields)
        case Passed():
            yield item.text
        case Done():
            yield item.tag
        case End() | Unread() | Broken() | Garbled():
            yield item.why
        case Answer():
            yield str(item.facts.get("status", ""))
        case Shown():
            yield from item.columns or ()


_Cut: TypeAlias = Copied | Said | Notified | Done | End | Unread | Headed | Garbled


def _cut(item: _Cut) -> _Cut:
    """The same, no longer than is shown."""
    match item:
        case Said():
            return Said(item.time, {letter: _limited(text) for letter, text in list(item.fields.items())[:40]})
        case Notified():
            return Notified(item.time, _limited(item.channel), _limited(item.payload))
        case Copied():
            return Copied(item.time, item.data[:TEXT_CHARACTERS])
        case Done():
            return Done(item.time, _limited(item.tag))
        case End():
            return End(item.time, _limited(item.why))
        case Headed():
            fields = tuple((name[:CELL_CHARACTERS], _limited(value)) for name, value in item.fields[:HEAD_FIELDS])
            return Headed(item.time, item.seq, item.status, fields)
        case Unread() | Garbled():
            return item
    assert_never(item)


def _limited(text: str, most: int = TEXT_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _clipped(cell: str | bytes) -> str:
    if isinstance(cell, bytes):
        return _limited(f"\\x{cell[:CELL_CHARACTERS].hex()}", CELL_CHARACTERS)
    return _limited(cell, CELL_CHARACTERS)


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else "" if cell is None else cell.hex()
