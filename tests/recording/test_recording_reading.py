"""A recording is read only by those it was made for, and shows only what the ledger vouches for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from tests.recording.tapes import AUDITOR, OTHER, SID, Clock, begin, known, reading, recorded, said

from gatebook.errors import RecordingError
from gatebook.recording.grec import Segment
from gatebook.recording.reading import Tail, load_identity, new_identity, unlock

PIECES = [b"first", b"second", b"third"]


def test_what_was_recorded_is_read_again_in_order_with_its_times(tmp_path: Path) -> None:
    found = reading(tmp_path, recorded(tmp_path, PIECES))
    events = list(found.events())
    assert said(events) == PIECES
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert events[1].time - events[0].time >= 5_000_000
    assert events[-1].kind == "x"
    assert (found.faults, found.notes, found.complete) == ([], [], True)


def test_another_identity_cannot_read_it(tmp_path: Path) -> None:
    recorded(tmp_path, PIECES)
    with pytest.raises(RecordingError, match="other recipients"):
        unlock(tmp_path / SID, [pyrage.x25519.Identity.generate()])


def test_a_recording_whose_key_was_removed_is_said_to_be_erased(tmp_path: Path) -> None:
    recorded(tmp_path, PIECES)
    (tmp_path / SID / "key.age").unlink()
    with pytest.raises(RecordingError, match="erased"):
        unlock(tmp_path / SID, [AUDITOR])
    with pytest.raises(RecordingError, match="there is none"):
        unlock(tmp_path / OTHER, [AUDITOR])


def swap(folder: Path) -> None:
    one, two = folder / SID / "0.seg", folder / SID / "1.seg"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def from_another(folder: Path) -> None:
    recorded(folder, PIECES, OTHER)
    shutil.copy(folder / OTHER / "1.seg", folder / SID / "1.seg")


def forge(folder: Path) -> None:
    shutil.rmtree(folder / SID)
    recorded(folder, [b"something else", b"altogether", b"happened"])


def damage(folder: Path) -> None:
    data = bytearray((folder / SID / "1.seg").read_bytes())
    data[-20] ^= 1
    (folder / SID / "1.seg").write_bytes(data)


def shorten(folder: Path) -> None:
    path = folder / SID / "1.seg"
    path.write_bytes(path.read_bytes()[:-1])


def empty(folder: Path) -> None:
    (folder / SID / "1.seg").write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / SID / "1.seg").unlink()


@pytest.mark.parametrize(
    ("change", "left", "faults"),
    [
        (swap, [b"third"], 2),
        (from_another, [b"first", b"third"], 1),
        (forge, [], 3),
        (damage, [b"first", b"third"], 1),
        (shorten, [b"first", b"third"], 1),
        (empty, [b"first", b"third"], 1),
        (remove, [b"first", b"third"], 1),
    ],
)
def test_what_the_ledger_does_not_vouch_for_is_not_shown(
    tmp_path: Path, change: Callable[[Path], None], left: list[bytes], faults: int
) -> None:
    told = recorded(tmp_path, PIECES)
    change(tmp_path)
    found = reading(tmp_path, told)
    assert said(found.events()) == left
    assert len(found.faults) == faults


@pytest.mark.parametrize("change", [swap, from_another, damage, shorten, empty])
def test_boxes_are_bound_to_their_place_whatever_the_ledger_says(tmp_path: Path, change: Callable[[Path], None]) -> None:
    recorded(tmp_path, PIECES)
    change(tmp_path)
    found = reading(tmp_path, [], live=True)
    assert set(said(found.events())) < set(PIECES)
    assert found.faults


@pytest.mark.parametrize("old", [b'"last":false', b'"n":1', b'"t0":1', b'"origin":"demo'])
def test_a_segments_first_line_is_bound_into_its_box(tmp_path: Path, old: bytes) -> None:
    told = recorded(tmp_path, PIECES)
    path = tmp_path / SID / "1.seg"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, old.replace(b"false", b"true").replace(b"1", b"2").replace(b"demo", b"omed"), 1))
    found = reading(tmp_path, told, live=True)
    found.known = {}
    assert said(found.events()) == [b"first", b"third"]


def test_a_recording_without_its_last_segment_is_not_complete(tmp_path: Path) -> None:
    told = recorded(tmp_path, PIECES)
    (tmp_path / SID / "2.seg").unlink()
    found = reading(tmp_path, told)
    assert said(found.events()) == PIECES[:2]
    assert found.faults == ["segment 2: it is missing"]
    assert not found.complete


def test_a_segment_that_was_added_is_not_shown(tmp_path: Path) -> None:
    told = recorded(tmp_path, PIECES)
    shutil.copy(tmp_path / SID / "2.seg", tmp_path / SID / "3.seg")
    found = reading(tmp_path, told)
    assert said(found.events()) == PIECES
    assert found.faults == ["segment 3: the ledger knows nothing of it"]


def test_a_live_recording_is_read_so_far_and_says_what_nothing_vouches_for(tmp_path: Path) -> None:
    told: list[Segment] = []
    recorder = begin(tmp_path, told)
    recorder.response(b"now")
    found = reading(tmp_path, told, live=True)
    assert said(found.events()) == [b"now"]
    assert found.notes == ["segment 0 is not in the ledger yet: nothing vouches for it"]
    assert (found.faults, found.complete) == ([], False)
    recorder.close()


def test_a_damaged_event_of_a_spool_hides_what_follows(tmp_path: Path) -> None:
    recorder = begin(tmp_path, [])
    for piece in PIECES:
        recorder.response(piece)
    path = tmp_path / SID / "0.spool"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    found = reading(tmp_path, [], live=True)
    assert said(found.events()) == PIECES[:2]
    assert "what follows is not shown" in found.faults[0]
    with pytest.raises(RecordingError, match="not as it was written"):
        recorder.close()


# Following a live one ---------------------------------------------------------------------------------------------------


def test_a_tail_follows_over_every_cut_without_loss_or_repetition(tmp_path: Path) -> None:
    clock, told = Clock(), list[Segment]()
    recorder = begin(tmp_path, told, clock=clock)
    tail = Tail(tmp_path / SID, unlock(tmp_path / SID, [AUDITOR]), from_start=True)
    seen: list[bytes] = []
    for number in range(200):
        recorder.response(b"%d" % number)
        if number % 3 == 0:
            clock.now += 5_000_000
        if number % 7 == 0:
            seen += said(tail.news())
    seen += said(tail.news())
    assert not tail.ended
    recorder.close()
    seen += said(tail.news())
    assert seen == [b"%d" % number for number in range(200)]
    assert tail.ended
    assert len(told) == len(known(told)) > 50


def test_a_tail_begins_with_what_is_being_recorded(tmp_path: Path) -> None:
    clock = Clock()
    recorder = begin(tmp_path, [], clock=clock)
    recorder.response(b"before")
    clock.now += 5_000_000
    recorder.response(b"now")
    tail = Tail(tmp_path / SID, unlock(tmp_path / SID, [AUDITOR]), from_start=False)
    assert said(tail.news()) == [b"now"]
    recorder.response(b"later")
    assert said(tail.news()) == [b"later"]
    assert tail.news() == []
    recorder.close()
    assert [event.kind for event in tail.news()] == ["x"]
    assert tail.ended


# Identities -------------------------------------------------------------------------------------------------------------


def test_an_identity_is_read_as_age_keygen_writes_it(tmp_path: Path) -> None:
    secret, public = new_identity()
    path = tmp_path / "auditor.txt"
    path.write_text(f"# created: 2026-01-01\n# public key: {public}\n{secret}\n")
    assert [str(one.to_public()) for one in load_identity(path)] == [public]


@pytest.mark.parametrize("text", ["", "# nothing\n", "AGE-SECRET-KEY-1QQQQ\n", "age-encryption.org/v1\n-> scrypt\n", "\xff"])
def test_what_is_no_identity_is_named_without_its_content(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auditor.txt"
    path.write_text(text)
    with pytest.raises(RecordingError, match="expected AGE-SECRET-KEY-1") as caught:
        load_identity(path)
    assert "QQQQ" not in str(caught.value)


def test_an_identity_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere\.txt: No such file"):
        load_identity(tmp_path / "nowhere.txt")
