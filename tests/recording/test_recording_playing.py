"""Windows of a recording: bounded, in order, found again by a mark, and honest about what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.recording.tapes import Clock, begin, reading
from tests.recording.test_recording_render import READY, describe, done, row

from gatebook.protocols.postgres import wire
from gatebook.recording import playing
from gatebook.recording.grec import Segment
from gatebook.recording.playing import START, Broken, Mark, Shown, Wanted, Window, latest, window
from gatebook.recording.recorder import Recorder
from gatebook.recording.results import Answer, Said

TEXT = 25


class Tape:
    """A session being recorded; ``cut`` ends a segment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told, self.clock, self.seq = folder, list[Segment](), Clock(), 0
        self.recorder: Recorder = begin(folder, self.told, clock=self.clock)
        self.recorder.about(subject="billing-agent")

    def ask(self, text: str, ruling: str = "allow", **more: str) -> None:
        self.seq += 1
        facts = {"verb": "sql.select", "reach": "read", "rule": f"{ruling}s"} | more
        self.recorder.request(self.seq, text, ruling=ruling, **facts)

    def answer(self, *cells: str, seq: int = 0) -> None:
        data = describe(("n", TEXT, 0)) + b"".join(row(cell.encode()) for cell in cells) + done(f"SELECT {len(cells)}")
        self.recorder.response(data)
        self.recorder.answer(seq or self.seq, f"SELECT {len(cells)}", len(cells), {})
        self.recorder.response(READY)

    def ran(self, text: str, *cells: str) -> None:
        self.ask(text)
        self.answer(*cells)

    def cut(self) -> None:
        self.clock.now += 6_000_000
        self.recorder.tick()

    def end(self) -> None:
        self.recorder.close("left")

    def window(self, mark: Mark = START, **wanted: str) -> Window:
        return window(reading(self.folder, self.told), mark, Wanted(**wanted))


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def texts(found: Window) -> list[str]:
    return [step.text for step in found.steps]


def tables(found: Window) -> list[Shown]:
    return [one for step in found.steps for one in step.outputs if isinstance(one, Shown)]


def test_a_window_ends_after_its_steps_and_the_next_begins_where_it_ended(tape: Tape) -> None:
    wanted = [f"SELECT {number}" for number in range(130)]
    for number, text in enumerate(wanted):
        tape.ran(text, str(number))
        if number % 20 == 19:
            tape.cut()
    tape.end()
    seen, mark, windows = [], START, 0
    while mark is not None:
        found = tape.window(mark)
        assert found.broken == []
        assert [one.rows[0][0] for one in tables(found)] == [text.split()[1] for text in texts(found)]
        seen += texts(found)
        mark, windows = found.next, windows + 1  # type: ignore[assignment]
    assert (seen, windows) == (wanted, 3)


def test_requests_that_are_sent_ahead_keep_their_answers_and_cut_no_message(tape: Tape) -> None:
    for _ in range(playing.STEPS + 10):
        tape.ask("SELECT 1")
        tape.ask("SELECT 2")
        tape.answer("one", seq=tape.seq - 1)
        tape.answer("two")
    tape.end()
    every, mark = [], START
    while mark is not None:
        found = tape.window(mark)
        every, mark = [*every, *found.steps], found.next  # type: ignore[assignment]
    assert [step.asked.seq for step in every if step.asked] == list(range(1, tape.seq + 1))
    answers = [one.seq for step in every for one in step.outputs if isinstance(one, Answer)]
    assert answers == list(range(1, tape.seq + 1))


def test_a_client_that_never_waits_gets_windows_too(tape: Tape) -> None:
    for number in range(3 * playing.STEPS):
        tape.ask(f"SELECT {number}")
    tape.end()
    found = tape.window()
    assert len(found.steps) == 2 * playing.STEPS
    assert found.next is not None


def test_rows_cells_and_columns_past_what_is_shown_are_counted(tape: Tape) -> None:
    tape.ask("SELECT many")
    wide = [(f"c{number}", TEXT, 0) for number in range(70)]
    line = row(*(b"x" * 700 for _ in wide))
    tape.recorder.response(describe(*wide) + line * 450 + done("SELECT 450"))
    tape.recorder.answer(1, "SELECT 450", 450, {})
    tape.end()
    (table,) = tables(tape.window())
    assert len(table.rows) + table.more == 450
    assert len(table.rows) <= playing.ROWS
    assert (len(table.columns or ()), table.more_columns) == (playing.COLUMNS, 6)
    assert table.rows[0][0] == "x" * 500 + "… (200 more characters)"


def test_a_window_holds_so_many_characters_and_no_more(tape: Tape) -> None:
    for _ in range(40):
        tape.ran("SELECT '" + "y" * 60_000 + "'", *("z" * 400 for _ in range(300)))
    tape.end()
    found, mark, steps = tape.window(), START, 0
    shown = sum(len(cell or "") for table in tables(found) for line in table.rows for cell in line)
    assert shown <= playing.CHARACTERS
    while mark is not None:
        found = tape.window(mark)
        steps, mark = steps + len(found.steps), found.next  # type: ignore[assignment]
    assert steps == 40


def test_one_finds_by_ruling_text_result_error_and_rule(tape: Tape) -> None:
    tape.ran("SELECT name FROM customers", "Ada", "Grace")
    tape.ask("DELETE FROM customers", "block", rule="no-delete")
    tape.recorder.response(wire.message(b"E", b"SERROR\0C42501\0Mnot allowed here\0\0"))
    tape.ran("SELECT 2", "two")
    tape.end()
    assert texts(tape.window(ruling="block")) == ["DELETE FROM customers"]
    assert texts(tape.window(text="grace")) == ["SELECT name FROM customers"]
    assert texts(tape.window(text="ALLOWED HERE")) == ["DELETE FROM customers"]
    assert texts(tape.window(text="no-delete")) == ["DELETE FROM customers"]
    assert texts(tape.window(text="customers", ruling="allow")) == ["SELECT name FROM customers"]
    assert tape.window(text="nowhere").steps == []


def test_a_row_that_is_not_shown_is_found_all_the_same(tape: Tape) -> None:
    tape.ran("SELECT many", *(f"row {number}" for number in range(500)))
    tape.end()
    assert texts(tape.window(text="row 499")) == ["SELECT many"]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["damaged", "missing"])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_what_is_damaged_or_missing_is_said_in_its_place_and_the_rest_is_shown(
    tape: Tape, harm: Callable[[Path], None], n: int
) -> None:
    for number in range(3):
        tape.ran(f"SELECT {number}", str(number))
        tape.cut()
    tape.end()
    harm(tape.folder / tape.told[0].sid / f"{n}.seg")
    found = tape.window()
    assert [one.segment for one in found.broken][:1] == [n]
    assert (
        texts(found)[-3:]
        == [one for one in ("", "SELECT 0", "SELECT 1", "SELECT 2") if one != f"SELECT {n}"][-len(found.steps) :][-3:]
    )
    said = [one for step in found.steps for one in step.outputs if isinstance(one, Broken)]
    assert said == found.broken
    assert [one.rows for one in tables(found)] == [[[str(number)]] for number in range(3) if number != n]


def test_a_recording_whose_end_is_missing_says_so(tape: Tape) -> None:
    tape.ran("SELECT 1", "1")
    tape.cut()
    tape.end()
    (tape.folder / tape.told[0].sid / "1.seg").unlink()
    found = window(reading(tape.folder, tape.told[:1]))
    assert [one.why for one in found.broken] == ["the recording has no end: the last is missing"]


def test_a_file_with_a_far_number_costs_nothing(tape: Tape) -> None:
    tape.ran("SELECT 1", "1")
    tape.end()
    (tape.folder / tape.told[0].sid / "999999999.seg").write_bytes(b"x")
    found = tape.window()
    assert [one.segment for one in found.broken] == [1, 999999999]


def test_a_segment_too_large_for_a_page_is_left_out_and_said(tape: Tape, tmp_path: Path) -> None:
    tape.recorder.response(b"N" + (1 << 26).to_bytes(4, "big") + bytes(1 << 26))
    tape.ran("SELECT 1", "1")
    tape.end()
    assert [one.why for one in tape.window().broken if one.segment == 0] == [
        f"it holds more than {playing.SEGMENT_BYTES} bytes"
    ]


def test_a_live_session_is_shown_from_its_last_requests_on(tape: Tape) -> None:
    for number in range(90):
        tape.ran(f"SELECT {number}", str(number))
        if number % 7 == 6:
            tape.cut()
    live = reading(tape.folder, tape.told[:-1], live=True)
    found = window(live, latest(live))
    assert texts(found)[-1] == "SELECT 89"
    assert 40 <= len(found.steps) <= playing.STEPS
    assert [one.rows[0][0] for one in tables(found)] == [text.split()[1] for text in texts(found)]
    assert found.broken == []
    assert found.pending >= 1
    tape.end()


def test_a_short_live_session_is_shown_whole(tape: Tape) -> None:
    tape.ask("DELETE FROM x", "block")
    tape.ran("SELECT 1", "1")
    live = reading(tape.folder, tape.told, live=True)
    assert latest(live) == START
    tape.end()


@pytest.mark.parametrize("text", ["", "-", "x-1", "1-x", "1", "٣-١", "-1-0", "9" * 30 + "-0"])
def test_a_mark_that_is_none_is_the_start(text: str) -> None:
    assert Mark.read(text) == START


def test_texts_of_errors_are_cut(tape: Tape) -> None:
    tape.ask("SELECT 1")
    tape.recorder.response(wire.message(b"E", b"SERROR\0C42501\0M" + b"e" * 100_000 + b"\0\0"))
    tape.end()
    (said,) = [one for step in tape.window().steps for one in step.outputs if isinstance(one, Said)]
    assert said.fields["M"].endswith("… (80,000 more characters)")
