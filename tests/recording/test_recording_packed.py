"""Large events are compressed on their way into the spool, and are read like any other: live, finished, and after a crash."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.recording.tapes import AUDITOR, ORIGIN, RECIPIENT, SID, Clock, begin, reading

from gatebook.errors import LedgerError, RecordingError
from gatebook.recording import grec, packing
from gatebook.recording.grec import Event, Segment
from gatebook.recording.packing import LEAST_BYTES
from gatebook.recording.reading import Tail, unlock
from gatebook.recording.recorder import Recorder
from gatebook.recording.recovery import recover

SIZES = (1, LEAST_BYTES - 1, LEAST_BYTES, 3, LEAST_BYTES + 1, 0, 300_000, 300_001, 20, 20)
SAID = [bytes([number]) * size for number, size in enumerate(SIZES)]


def say(recorder: Recorder) -> None:
    for number, data in enumerate(SAID):
        recorder.request(number, "SELECT 1", verb="sql.select", reach="read", ruling="allow", rule="r", noted=number % 2 == 0)
        recorder.response(data)


def told(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(event.kind, event.data if event.kind == "s" else b"") for event in events]


EXPECTED = [pair for data in SAID for pair in (("q", b""), ("s", data))]


def test_a_finished_recording_has_every_event_in_its_order(tmp_path: Path) -> None:
    segments: list[Segment] = []
    recorder = begin(tmp_path, segments)
    say(recorder)
    recorder.close("done")
    found = reading(tmp_path, segments)
    events = list(found.events())
    assert told(events) == [*EXPECTED, ("x", b"")]
    assert all(one.time < two.time for one, two in itertools.pairwise(events))
    assert (found.faults, found.complete, segments[0].events) == ([], True, len(events))


def test_after_a_crash_the_spool_is_read_as_it_is(tmp_path: Path) -> None:
    say(begin(tmp_path, []))
    found = reading(tmp_path, recover(tmp_path, lambda _: None))
    assert told(list(found.events())) == EXPECTED


def test_a_tail_reads_them_from_the_spool_and_goes_on_in_the_segment(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [], clock=Clock())
    tail = Tail(tmp_path / SID, unlock(tmp_path / SID, [AUDITOR]), from_start=True)
    say(recorder)
    assert told(tail.news()) == EXPECTED
    say(recorder)
    recorder.close("done")
    events = []
    while not tail.ended:
        events += tail.news()
    assert told(events) == [*EXPECTED, ("x", b"")]


def test_the_disk_gets_what_is_left_of_a_large_event_and_none_of_it_readable(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [])
    recorder.response(b"customer 17, " * 10_000)
    spool = (tmp_path / SID / "0.spool").read_bytes()
    assert len(spool) < 10_000
    assert b"customer" not in spool
    recorder.close()


def test_a_segment_is_frames_that_any_zstd_takes(tmp_path: Path) -> None:
    segments: list[Segment] = []
    recorder = begin(tmp_path, segments)
    say(recorder)
    recorder.close()
    data, key = (tmp_path / SID / "0.seg").read_bytes(), unlock(tmp_path / SID, [AUDITOR])
    line = data[: data.index(b"\n") + 1]
    boxed = AESGCM(hmac.digest(key, b"grec/v1 segment", "sha256"))  # as docs/recordings.md has it
    packed = rest = boxed.decrypt((0).to_bytes(12, "big"), data[len(line) :], line)
    plain = b""
    while rest:
        one = zstandard.ZstdDecompressor().decompressobj()
        plain += one.decompress(rest)
        rest = one.unused_data
    assert plain == packing.unpacked(packed, len(plain))
    assert [body for _, body, _ in grec.frames(plain, 0)][1] == SAID[0]


def test_no_more_is_unpacked_than_is_wanted() -> None:
    packed = packing.pack(b"head", bytes(50_000_000))
    assert len(packed) < 10_000
    with pytest.raises(RecordingError, match="more than 1000 bytes"):
        packing.unpacked(packed, 1000)
    assert packing.unpacked(packed, 50_000_004) == b"head" + bytes(50_000_000)


@pytest.mark.parametrize("data", [b"junk" * 9, packing.pack(b"head", os.urandom(40_000)) + b"junk"])
def test_what_is_no_frame_cannot_be_read(data: bytes) -> None:
    with pytest.raises(RecordingError, match="cannot be decompressed"):
        packing.unpacked(data, 1 << 20)


def test_pieces_are_joined_in_their_order() -> None:
    pieces = [(b"a", False), (b"b", False), (packing.pack(b"c", b"d"), True), (b"e", False), (packing.pack(b"f", b""), True)]
    assert packing.unpacked(packing.joined(pieces), 100) == b"abcdef"
    assert packing.unpacked(packing.joined([]), 100) == b""


LARGE = [os.urandom(100_000) for _ in range(30)]


def large(folder: Path, segments: list[Segment]) -> Recorder:
    """A recording of which nearly all is compressed at once, so that its spools become segments as they are."""
    recorder = begin(folder, segments)
    for data in LARGE:
        recorder.response(data)
    return recorder


def test_a_spool_that_is_compressed_already_becomes_the_segment_as_it_is(tmp_path: Path) -> None:
    segments: list[Segment] = []
    large(tmp_path, segments).close("done")
    found = reading(tmp_path, segments)
    assert told(list(found.events())) == [*(("s", data) for data in LARGE), ("x", b"")]
    assert (found.faults, found.notes, found.complete) == ([], [], True)
    files = [(tmp_path / SID / f"{one.n}.seg").read_bytes() for one in segments]
    assert [grec.read_first_line(data)[0] for data in files] == [grec.SPOOL] * len(files)
    assert [(hashlib.sha256(data).hexdigest(), len(data)) for data in files] == [(one.sha256, one.bytes) for one in segments]
    assert sum(one.events for one in segments) == len(LARGE) + 1
    assert [one.last for one in segments] == [*[False] * (len(segments) - 1), True]
    assert not list((tmp_path / SID).glob("*.spool"))


def test_a_spool_with_much_that_is_not_compressed_is_packed(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [])
    recorder.response(LARGE[0])
    recorder.response(b"row " * 4_000)
    recorder.close()
    assert grec.read_first_line((tmp_path / SID / "0.seg").read_bytes())[0] == grec.SEGMENT


def test_a_tail_goes_on_where_a_spool_became_the_segment_as_it_is(tmp_path: Path) -> None:
    recorder = large(tmp_path, [])
    tail = Tail(tmp_path / SID, unlock(tmp_path / SID, [AUDITOR]), from_start=True)
    events = tail.news()
    recorder.response(LARGE[0])
    recorder.close()
    while not tail.ended:
        events += tail.news()
    assert told(events) == [*(("s", data) for data in (*LARGE, LARGE[0])), ("x", b"")]


def test_a_segment_that_the_ledger_did_not_take_is_recovered_as_it_is(tmp_path: Path) -> None:
    segments, again = list[Segment](), list[Segment]()

    def lost(segment: Segment) -> None:
        segments.append(segment)
        raise LedgerError("the disk is full")

    recorder = Recorder.open(SID, tmp_path, [RECIPIENT], ORIGIN, lost)
    recorder.response(LARGE[0])
    with pytest.raises(RecordingError, match="the disk is full"):
        recorder.close("done")
    recover(tmp_path, again.append)
    assert [(one.n, one.sha256, one.last) for one in again] == [(one.n, one.sha256, one.last) for one in segments]
    found = reading(tmp_path, again)
    assert told(list(found.events())) == [("s", LARGE[0]), ("x", b"")]
    assert (found.faults, found.notes, found.complete) == ([], [], True)


def test_a_spool_that_somebody_changed_does_not_become_a_segment(tmp_path: Path) -> None:
    segments: list[Segment] = []
    recorder = begin(tmp_path, segments)
    recorder.response(LARGE[0])
    spool = tmp_path / SID / "0.spool"
    with spool.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([spool.read_bytes()[-1] ^ 1]))
    with pytest.raises(RecordingError, match="box 0 is not as it was written"):
        recorder.close()
    assert segments == []


def test_a_segment_without_its_last_box_is_not_what_the_ledger_knows(tmp_path: Path) -> None:
    segments: list[Segment] = []
    large(tmp_path, segments).close()
    path = tmp_path / SID / "0.seg"
    data = path.read_bytes()
    ends = [end for _, _, end in grec.frames(data, len(grec.read_first_line(data)[2]))]
    path.write_bytes(data[: ends[-2]])
    found = reading(tmp_path, segments)
    list(found.events())
    assert found.faults == ["segment 0: these are not the bytes that the ledger knows"]
