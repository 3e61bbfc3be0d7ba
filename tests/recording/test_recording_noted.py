"""What is noted goes out with the next event, in one box with it, and is read like any other."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from tests.recording.tapes import AUDITOR, SID, Clock, begin, reading

from gatebook.recording import grec
from gatebook.recording.grec import Segment
from gatebook.recording.reading import Tail, unlock
from gatebook.recording.recorder import NOTED_BYTES
from gatebook.recording.recovery import recover


def boxes(folder: Path) -> int:
    data = (folder / SID / "0.spool").read_bytes()
    return len(list(grec.frames(data, data.index(b"\n") + 1)))


def request(recorder, seq: int, text: str = "SELECT 1") -> None:
    recorder.request(seq, text, verb="sql.select", reach="read", ruling="allow", rule="r", noted=True)


def test_a_request_its_answer_and_the_bytes_share_boxes_and_are_read_apart(tmp_path: Path) -> None:
    told: list[Segment] = []
    recorder = begin(tmp_path, told)
    for seq in range(1, 4):
        request(recorder, seq)
        recorder.response(b"row %d" % seq)
        recorder.answer(seq, "SELECT 1", 1, {}, noted=True)
    assert boxes(tmp_path) == 3
    recorder.close("done")
    found = reading(tmp_path, told)
    events = list(found.events())
    assert [event.kind for event in events] == list("qsaqsaqsax")
    assert all(one.time < two.time for one, two in pairwise(events))
    assert (found.faults, found.complete) == ([], True)
    assert (told[0].events, told[0].t0) == (10, events[0].time)


def test_what_is_noted_is_in_the_spool_after_the_next_tick(tmp_path: Path) -> None:
    told: list[Segment] = []
    recorder = begin(tmp_path, told)
    request(recorder, 1)
    assert boxes(tmp_path) == 0
    recorder.tick()
    assert boxes(tmp_path) == 1
    recover(tmp_path, told.append)  # as after a crash
    assert [event.kind for event in reading(tmp_path, told).events()] == ["q"]


def test_so_much_may_be_noted_and_no_more(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [])
    request(recorder, 1, "x" * NOTED_BYTES)
    assert boxes(tmp_path) == 1
    recorder.close()


def test_a_recording_that_ends_has_what_was_noted(tmp_path: Path) -> None:
    told: list[Segment] = []
    recorder = begin(tmp_path, told)
    request(recorder, 1)
    recorder.close("done")
    assert [event.kind for event in reading(tmp_path, told).events()] == ["q", "x"]


def test_a_tail_reads_on_behind_boxes_of_several_events(tmp_path: Path) -> None:
    clock = Clock()
    recorder = begin(tmp_path, [], clock=clock)
    tail = Tail(tmp_path / SID, unlock(tmp_path / SID, [AUDITOR]), from_start=True)
    kinds = []
    for seq in range(1, 6):
        request(recorder, seq)
        recorder.response(b"row")
        recorder.answer(seq, "SELECT 1", 1, {}, noted=True)
        kinds += [event.kind for event in tail.news()]
        clock.now += 2_500_000
    recorder.close("done")
    while not tail.ended:
        kinds += [event.kind for event in tail.news()]
    assert kinds == list("qsa" * 5 + "x")
