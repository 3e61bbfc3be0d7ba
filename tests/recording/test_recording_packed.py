"""Large events are compressed on their way into the spool, and are read like any other: live, finished, and after a crash."""

from __future__ import annotations

import hmac
import itertools
import os
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.recording.tapes import AUDITOR, SID, Clock, begin, reading

from gatebook.errors import RecordingError
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
