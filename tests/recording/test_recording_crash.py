"""A crash at any point leaves a recording that is readable up to the last whole event; a full disk ends it in good order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.recording.tapes import ORIGIN, OTHER, RECIPIENT, SID, Clock, begin, reading, said

from gatebook.errors import RecordingError
from gatebook.recording import grec
from gatebook.recording.grec import Segment
from gatebook.recording.recovery import recover

WRITER = Path(__file__).with_name("recording_writer.py")


def start(folder: Path, *limit: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(WRITER), str(folder), RECIPIENT, *limit], stdout=subprocess.PIPE, text=True)


def in_ledger(folder: Path) -> list[Segment]:
    path = folder / "ledger"
    return [Segment(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def numbers(pieces: list[bytes]) -> list[int]:
    return [int(piece.split(b" ")[0]) for piece in pieces]


@pytest.mark.parametrize("events", [1, 53, 180])
def test_a_killed_process_leaves_every_event_that_it_said_was_kept(tmp_path: Path, events: int) -> None:
    with start(tmp_path) as writer:
        assert writer.stdout is not None
        kept = [int(writer.stdout.readline()) for _ in range(events)]
        os.kill(writer.pid, signal.SIGKILL)
        kept += [int(line) for line in writer.stdout if line.endswith("\n")]
    before, told = in_ledger(tmp_path), list[Segment]()
    recover(tmp_path, told.append)
    found = reading(tmp_path, [*before, *told])
    seen = numbers(said(found.events()))
    assert seen == list(range(len(seen)))
    assert len(seen) - len(kept) in (0, 1)
    assert (found.faults, found.complete) == ([], True)
    assert told[-1].last
    assert told[-1].cut
    assert not list((tmp_path / SID).glob("*.spool"))


def spooled(folder: Path, pieces: list[bytes]) -> Path:
    """A spool as a crash leaves it, in a folder of its own."""
    recorder = begin(folder / "live", [])
    for piece in pieces:
        recorder.response(piece)
    shutil.copytree(folder / "live" / SID, folder / "crashed" / SID)
    recorder.close()
    return folder / "crashed" / SID / "0.spool"


def test_a_spool_cut_at_any_byte_is_readable_up_to_the_last_whole_event(tmp_path: Path) -> None:
    pieces = [b"", b"one", b"two two", b"3"]
    spool = spooled(tmp_path, pieces)
    whole = spool.read_bytes()
    first, ends = len(grec.read_first_line(whole)[2]), []
    ends = [end for _, _, end in grec.frames(whole, first)]
    for length in range(first, len(whole) + 1):
        (spool.parent / "0.seg").unlink(missing_ok=True)
        spool.write_bytes(whole[:length])
        told = recover(tmp_path / "crashed", lambda segment: None)
        found = reading(tmp_path / "crashed", told)
        count = sum(end <= length for end in ends)
        assert said(found.events()) == pieces[:count]
        assert (told[0].events, told[0].cut, found.faults, found.complete) == (count, True, [], True)


@pytest.mark.parametrize("junk", [b"\0" * 40, b"\xff" * 40, b"\0\0\0\x05s" + bytes(30)])
def test_what_a_power_cut_leaves_behind_the_last_event_is_never_shown(tmp_path: Path, junk: bytes) -> None:
    spool = spooled(tmp_path, [b"one", b"two"])
    with spool.open("ab") as file:
        file.write(junk)
    found = reading(tmp_path / "crashed", recover(tmp_path / "crashed", lambda segment: None))
    assert said(found.events()) == [b"one", b"two"]
    assert found.complete


def test_a_cut_segment_says_so_and_cannot_be_changed_afterwards(tmp_path: Path) -> None:
    spool = spooled(tmp_path, [b"one", b"two"])
    told = recover(tmp_path / "crashed", lambda segment: None)
    found = reading(tmp_path / "crashed", told)
    assert said(found.events()) == [b"one", b"two"]
    assert found.notes == ["segment 0 was cut by a crash"]
    path = spool.with_suffix(".seg")
    path.write_bytes(path.read_bytes()[:-23])
    found = reading(tmp_path / "crashed", told)
    assert said(found.events()) == []
    assert found.faults == ["segment 0: these are not the bytes that the ledger knows"]


def test_recovery_that_was_itself_cut_short_is_done_again(tmp_path: Path) -> None:
    spool = spooled(tmp_path, [b"one"])
    shutil.copy(spool, spool.with_name("1.tmp"))

    def crash(segment: Segment) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RecordingError, match="No space left"):
        recover(tmp_path / "crashed", crash)
    first, again = list[Segment](), list[Segment]()
    recover(tmp_path / "crashed", first.append)
    recover(tmp_path / "crashed", again.append)
    assert ([one.events for one in first], again) == ([1], [])
    assert not spool.with_name("1.tmp").exists()


def test_recovery_passes_by_what_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "0.spool").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / OTHER).symlink_to(tmp_path / "real")
    (tmp_path / "real" / "0.spool").write_text("elsewhere")
    assert recover(tmp_path, lambda segment: None) == []
    assert recover(tmp_path / "nowhere", lambda segment: None) == []
    assert (tmp_path / "real" / "0.spool").exists()


OF_ANOTHER = grec.first_line(grec.SPOOL, sid=OTHER, n=0)


@pytest.mark.parametrize("content", [b"", bytes(4096), b"not ours\n", b"grec/v1 spool []\n", OF_ANOTHER])
def test_a_spool_without_its_beginning_is_kept_as_it_is_and_shown_as_a_fault(tmp_path: Path, content: bytes) -> None:
    spool = spooled(tmp_path, [b"one"])
    spool.write_bytes(content)
    told = recover(tmp_path / "crashed", lambda segment: None)
    assert [(one.events, one.last, one.cut) for one in told] == [(0, True, True)]
    assert spool.with_suffix(".seg").read_bytes() == content
    found = reading(tmp_path / "crashed", told)
    assert said(found.events()) == []
    assert len(found.faults) == 1


@pytest.mark.parametrize("content", [b"", b"grec/v1 segment []\n", grec.first_line(grec.SEGMENT, sid=SID, n=0)])
def test_a_damaged_segment_beside_its_spool_is_set_aside(tmp_path: Path, content: bytes) -> None:
    spool = spooled(tmp_path, [b"one"])
    spool.with_suffix(".seg").write_bytes(content)
    found = reading(tmp_path / "crashed", recover(tmp_path / "crashed", lambda segment: None))
    assert said(found.events()) == [b"one"]
    assert spool.with_suffix(".damaged").read_bytes() == content


# Disks that take no more ------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_event_and_keeps_what_was_before(tmp_path: Path) -> None:
    with start(tmp_path, "300000") as writer:
        assert writer.stdout is not None
        *kept, refused = writer.stdout.read().splitlines()
    assert refused == "refused: the recording cannot be written: File too large"
    told = recover(tmp_path, lambda segment: None)
    found = reading(tmp_path, told)
    assert numbers(said(found.events())) == [int(line) for line in kept] != []
    assert found.complete


def test_a_folder_that_is_gone_refuses_the_next_segment(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [])
    shutil.rmtree(tmp_path / SID)
    with pytest.raises(RecordingError, match="cannot be written"):
        recorder.response(os.urandom(2_000_000))
    for _ in range(2):
        with pytest.raises(RecordingError):
            recorder.response(b"more")
    with pytest.raises(RecordingError):
        recorder.close()


def test_a_folder_that_cannot_be_made_refuses_the_session(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be begun"):
        begin(tmp_path / "file", [])


def test_a_failure_behind_is_told_by_the_next_tick(tmp_path: Path) -> None:
    clock = Clock()
    recorder = begin(tmp_path, [], clock=clock)
    recorder.response(b"one")
    (tmp_path / SID / "0.spool").write_bytes(grec.first_line(grec.SPOOL, origin=ORIGIN, sid=SID, n=0) + b"junk")
    clock.now += 5_000_000
    recorder.tick()
    with pytest.raises(RecordingError, match="not as it was written"):
        recorder.close()
    with pytest.raises(RecordingError):
        recorder.response(b"two")
