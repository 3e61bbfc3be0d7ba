"""What a recorder leaves on the disk: whole segments, a spool that can be recovered, and an end that is said."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from tests.recording.tapes import ORIGIN, RECIPIENT, SID, Clock, begin

from gatebook.errors import LedgerError, RecordingError
from gatebook.recording.grec import Segment
from gatebook.recording.recorder import BEHIND, SEGMENT_BYTES, Recorder, behind
from gatebook.recording.recovery import recover


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def finished() -> list[Segment]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, clock: Clock, finished: list[Segment]) -> Recorder:
    return begin(tmp_path, finished, clock=clock)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / SID).iterdir())


def test_a_closed_recording_is_segments_and_a_key(tmp_path: Path, recorder: Recorder, finished: list[Segment]) -> None:
    recorder.response(b"covered bytes")
    assert recorder.close("the client went away") == 1
    assert names(tmp_path) == ["0.seg", "key.age"]
    assert (finished[0].events, finished[0].last, finished[0].cut) == (2, True, False)


def test_a_segments_hash_is_that_of_its_file(tmp_path: Path, recorder: Recorder, finished: list[Segment]) -> None:
    recorder.response(b"covered bytes")
    recorder.close()
    data = (tmp_path / SID / "0.seg").read_bytes()
    assert (finished[0].sha256, finished[0].bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_what_was_recorded_is_not_readable_on_the_disk(tmp_path: Path, recorder: Recorder) -> None:
    recorder.response(b"4111 1111 1111 1111")
    spooled = (tmp_path / SID / "0.spool").read_bytes()
    recorder.close("a client's reason")
    files = [path.read_bytes() for path in (tmp_path / SID).iterdir()]
    assert all(b"4111" not in data and b"reason" not in data for data in (spooled, *files))


def test_nobody_else_may_read_the_files(tmp_path: Path, recorder: Recorder) -> None:
    recorder.response(b"covered")
    recorder.close()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / SID).iterdir()} == {0o600}
    assert (tmp_path / SID).stat().st_mode & 0o777 == 0o700


def test_a_segment_ends_at_its_size(recorder: Recorder, finished: list[Segment]) -> None:
    for _ in range(33):
        recorder.response(os.urandom(65_536))
    assert recorder.close() == 3
    assert [(one.n, one.events, one.last) for one in finished] == [(0, 16, False), (1, 16, False), (2, 2, True)]


def test_a_segment_ends_with_so_many_bytes_of_events_however_well_they_compress(
    recorder: Recorder, finished: list[Segment]
) -> None:
    for _ in range(9):
        recorder.response(bytes(1 << 20))
    assert recorder.close() == 3
    assert [(one.events, one.bytes < 65_536) for one in finished] == [(4, True), (4, True), (2, True)]


def test_a_segment_ends_with_its_time(recorder: Recorder, clock: Clock, finished: list[Segment]) -> None:
    recorder.response(b"first")
    clock.now += 5_000_000
    recorder.tick()
    recorder.tick()
    recorder.response(b"second")
    assert recorder.close() == 2
    assert [one.events for one in finished] == [1, 2]
    assert finished[0].t0 <= finished[0].t1 <= finished[1].t0


def test_after_its_close_a_recording_takes_nothing(recorder: Recorder) -> None:
    assert recorder.close() == recorder.close() == 1
    recorder.tick()
    with pytest.raises(RecordingError, match="closed"):
        recorder.response(b"late")


def test_a_ledger_that_fails_fails_the_recording(tmp_path: Path) -> None:
    def refuse(segment: Segment) -> None:
        raise LedgerError("the disk is gone")

    recorder = Recorder.open(SID, tmp_path, [RECIPIENT], ORIGIN, refuse)
    recorder.response(bytes(2_000_000))
    with pytest.raises(RecordingError, match="the disk is gone"):
        recorder.close()
    with pytest.raises(RecordingError):
        recorder.response(b"more")


def test_a_segment_that_the_ledger_refused_is_told_again(tmp_path: Path, finished: list[Segment]) -> None:
    told: list[Segment] = []

    def refuse(segment: Segment) -> None:
        told.append(segment)
        raise LedgerError("not now")

    recorder = Recorder.open(SID, tmp_path, [RECIPIENT], ORIGIN, refuse)
    with pytest.raises(RecordingError):
        recorder.close()
    assert recover(tmp_path, finished.append) == told == finished
    assert recover(tmp_path, finished.append) == []


@pytest.mark.parametrize("recipients", [[], ["age1nonsense"], ["AGE-SECRET-KEY-1"]])
def test_a_recording_that_nobody_could_read_is_not_begun(tmp_path: Path, recipients: list[str]) -> None:
    with pytest.raises(RecordingError):
        Recorder.open(SID, tmp_path, recipients, ORIGIN, lambda segment: None)


@pytest.mark.parametrize("sid", ["../elsewhere", "", f"{SID}/..", f"{SID}\n", SID.replace("a", "A")])
def test_only_a_sessions_id_names_a_folder(tmp_path: Path, sid: str) -> None:
    with pytest.raises(RecordingError, match="not the id"):
        Recorder.open(sid, tmp_path / "in", [RECIPIENT], ORIGIN, lambda segment: None)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_begun_once(tmp_path: Path, recorder: Recorder) -> None:
    with pytest.raises(RecordingError, match="cannot be begun"):
        Recorder.open(SID, tmp_path, [RECIPIENT], ORIGIN, lambda segment: None)
    recorder.close()


def test_recordings_are_behind_while_the_disk_is_slower_than_the_sessions(tmp_path: Path, clock: Clock) -> None:
    goes_on = threading.Event()
    recorder = Recorder.open(SID, tmp_path, [RECIPIENT], ORIGIN, lambda _: goes_on.wait(30) and None, clock)
    said = []
    for _ in range(BEHIND + 2):
        said.append(behind())
        recorder.response(os.urandom(SEGMENT_BYTES))
    assert said == [False] * (BEHIND + 1) + [behind()]
    assert behind()
    goes_on.set()
    recorder.close()
    assert not behind()
