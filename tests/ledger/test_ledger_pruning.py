"""The write-ahead log lets go of what full bundles hold, and a start needs no more than what is left."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from itertools import pairwise

import pytest
from tests.ledger.books import (
    SMALLEST_SEGMENT,
    VKEY,
    FailingDisk,
    action,
    closing,
    entries,
    exception,
    intact,
    open_log,
    opening,
)

from gatebook.errors import LedgerError
from gatebook.ledger import verifier
from gatebook.ledger.reader import Reader
from gatebook.ledger.vouching import Vouching
from gatebook.ledger.wal import first_of
from gatebook.model import Entry

QUICK = {"checkpoint_seconds": 0.0, "heartbeat_seconds": 0.0}


def write(log, count, sid="s"):
    for number in range(1, count + 1):
        log.append_now(action(sid, number, text="x" * 900), durable=False)


def pruned(folder, *, sessions=("s",), **options):
    """A log whose first segments went, with sessions that were opened in the first; it is still open."""
    log = open_log(folder, **(QUICK | options))
    for sid in sessions:
        log.append_now(opening(sid), durable=True)
    for _ in range(40):
        write(log, 20, sessions[0])
        log._volume._pruner.wait()
        if first_of(folder / "wal"):
            return log
    raise AssertionError("nothing was pruned")


def crash(log, disk):
    """The disk takes nothing more, as if the process were gone."""
    disk.fails = "write"
    with suppress(LedgerError):
        while True:
            log.append_now(exception("x"), durable=True)
    log.close()


class Deaf(FailingDisk):
    """Refuses to sync tiles, or to remove segments."""

    def __init__(self, deaf):
        super().__init__()
        self.deaf = deaf
        self.asked = 0

    def sync_file(self, path):
        self._asked("sync")
        super().sync_file(path)

    def remove(self, path):
        self._asked("remove")
        super().remove(path)

    def _asked(self, what):
        if what == self.deaf:
            self.asked += 1
            raise OSError(5, "Input/output error", "x")


def test_covered_segments_go_and_the_log_is_intact_without_them(tmp_path):
    log = pruned(tmp_path / "log")
    log.append_now(closing("s"), durable=True)
    log.close()
    report = intact(tmp_path / "log")
    assert report.size == len(entries(tmp_path / "log"))
    assert list(Reader(tmp_path / "log").everything()) == entries(tmp_path / "log")


def test_a_start_after_a_crash_knows_sessions_of_segments_that_went(tmp_path):
    disk, copy = FailingDisk(), tmp_path / "log"
    crash(pruned(copy, sessions=("s", "quiet"), disk=disk), disk)
    assert first_of(copy / "wal") > 0
    again = open_log(copy)
    again.close()
    report = intact(copy)
    assert report.closed
    closes = {one["sid"]: one for one in map(json.loads, entries(copy)) if one["type"] == "session.close"}
    assert closes["quiet"]["count"] == 2
    assert closes["s"]["reason"] == "gateway crashed"


def test_a_log_goes_on_through_many_starts_and_prunings(tmp_path):
    for run in range(4):
        log = pruned(tmp_path / "log", sessions=(f"s{run}",)) if run == 0 else open_log(tmp_path / "log", **QUICK)
        if run:
            log.append_now(opening(f"s{run}"), durable=True)
            write(log, 100, f"s{run}")
        log.close()
        intact(tmp_path / "log")
    segments = [path for path in (tmp_path / "log/wal").iterdir() if path.name != "next"]
    assert len(segments) <= 3


@pytest.mark.parametrize("deaf", ["sync", "remove"])
def test_a_segment_stays_while_its_bundles_are_not_known_to_be_on_disk(tmp_path, deaf):
    disk = Deaf(deaf)
    log = open_log(tmp_path / "log", disk=disk, **QUICK)
    log.append_now(opening("s"), durable=True)
    while not disk.asked:
        write(log, 20)
        log._volume._pruner.wait()
    write(log, 300)
    assert log.failed is None
    crash(log, disk)
    copy = tmp_path / "log"
    assert first_of(copy / "wal") == 0
    assert disk.asked == 1
    open_log(copy).close()
    intact(copy)


def test_a_crash_between_two_removals_leaves_a_log_that_goes_on(tmp_path):
    disk = Deaf("remove")
    log = open_log(tmp_path / "log", disk=disk, **QUICK)
    log.append_now(opening("s"), durable=True)
    write(log, 700)
    crash(log, disk)
    copy = tmp_path / "log"
    names = sorted(path for path in (copy / "wal").iterdir() if path.name != "next")
    whole = sum(1 for path in (copy / "tile" / "entries").rglob("*") if path.is_file() and ".p" not in str(path))
    held = [name for name, following in pairwise(names) if int(following.name) <= 256 * whole]
    assert len(held) > 2
    looked_at = {*held[:3], *held[:: len(held) // 6], held[-1]}
    for gone in held:
        gone.unlink()
        if gone not in looked_at:
            continue
        again = shutil.copytree(copy, tmp_path / f"after {gone.name}")
        open_log(again).close()
        intact(again)


def test_segments_that_somebody_removed_without_a_heartbeat_left_are_read_from_bundles(tmp_path):
    disk, folder = FailingDisk(), tmp_path / "log"
    log = open_log(folder, disk=disk)
    for sid in ("s", "quiet"):
        log.append_now(opening(sid), durable=True)
    write(log, 600)
    log.close()
    log = open_log(folder, disk=disk)
    log.append_now(opening("late"), durable=True)
    crash(log, disk)
    min(path for path in (folder / "wal").iterdir() if path.name != "next").unlink()
    open_log(folder).close()
    intact(folder)
    closes = [json.loads(one)["sid"] for one in entries(folder) if b'"type":"session.close"' in one]
    assert closes == ["s", "quiet", "late"]


def edge(folder):
    """A full hash tile under the edge from which a start goes on."""
    return folder / "tile/0/000"


def test_tiles_that_were_changed_under_the_edge_refuse_to_start(tmp_path):
    disk, copy = FailingDisk(), tmp_path / "log"
    crash(pruned(copy, disk=disk), disk)
    content = bytearray(edge(copy).read_bytes())
    content[10] ^= 1
    edge(copy).write_bytes(content)
    with pytest.raises(LedgerError, match="do not give the root"):
        open_log(copy)


def test_a_tile_that_is_gone_refuses_to_start(tmp_path):
    disk, copy = FailingDisk(), tmp_path / "log"
    crash(pruned(copy, disk=disk), disk)
    edge(copy).unlink()
    with pytest.raises(LedgerError, match="000 is missing"):
        open_log(copy)


def test_a_segment_that_no_bundle_makes_needless_may_not_miss(tmp_path):
    log = open_log(tmp_path / "log")
    for _ in range(100):
        log.append_now(exception("x", "y" * 2000), durable=False)
    log.close()
    first, *others = sorted(path for path in (tmp_path / "log/wal").iterdir() if path.name != "next")
    assert others
    first.unlink()
    with pytest.raises(LedgerError, match="a segment is missing"):
        open_log(tmp_path / "log")


def test_a_damaged_frame_in_the_middle_of_what_is_left_refuses_to_start(tmp_path):
    disk, copy = FailingDisk(), tmp_path / "log"
    log = pruned(copy, disk=disk)
    write(log, 30)
    crash(log, disk)
    segment = min(path for path in (copy / "wal").iterdir() if path.name != "next")
    content = bytearray(segment.read_bytes())
    content[content.index(b'"action":') + 9] ^= 1
    segment.write_bytes(content)
    with pytest.raises(LedgerError, match=r"offset \d+: entry \d+ is damaged"):
        open_log(copy)


def test_a_heartbeat_that_tells_other_numbers_than_the_log_is_found(tmp_path):
    log = open_log(tmp_path / "log", heartbeat_seconds=0.0)
    log.append_now(opening("s"), durable=True)
    log._scribe._past.sessions["s"] += 1
    log.append_now(exception("x"), durable=True)
    log.close()
    told = verifier.render(verifier.verify(tmp_path / "log"))
    assert "other numbers of entries of open sessions" in told


def test_a_failing_disk_never_costs_a_pruned_log_its_entries(tmp_path):
    disk = FailingDisk()
    log = pruned(tmp_path / "log", disk=disk, segment_bytes=SMALLEST_SEGMENT)
    disk.fails = "write"
    with pytest.raises(LedgerError):
        write(log, 5)
    log.close()
    open_log(tmp_path / "log").close()
    intact(tmp_path / "log")


def segment(n, *, last=False):
    fields = {"sid": "s", "n": n, "last": last, "events": 1, "bytes": 1, "sha256": f"{n:064x}", "t0": 0, "t1": 1}
    return Entry(kind="rec.segment", fields=fields)


def test_a_recordings_segments_are_found_whether_bundles_or_the_write_ahead_log_have_them(tmp_path):
    folder = tmp_path / "ledger"
    log = open_log(folder / "1", **QUICK)
    log.append_now(opening("s"), durable=True)
    log.append_now(segment(0), durable=True)
    early, late = Vouching(folder), Vouching(folder)
    opened = json.loads(entries(folder / "1")[1])["time"]
    assert list(early.segments("s", opened)) == [0]
    number = 0
    while not first_of(folder / "1/wal"):
        number += 1
        log.append_now(segment(number), durable=True)
        write(log, 20)
        log._volume._pruner.wait()
    log.append_now(segment(number + 1, last=True), durable=True)
    log.close()
    every = {n: f"{n:064x}" for n in range(number + 2)}
    for vouching in (early, late):
        assert {n: one.sha256 for n, one in vouching.segments("s", opened).items()} == every


# A log that lets segments go while it is verified -----------------------------------------------------------------------------


def goes_on(log, folder):
    """It is written until its first segment went."""
    first = first_of(folder / "wal")
    while first_of(folder / "wal") == first:
        write(log, 20)
        log._volume._pruner.wait()


def test_segments_that_go_between_the_checkpoint_and_the_list_of_segments_are_not_missed(tmp_path, monkeypatch):
    log = pruned(tmp_path)
    write(log, 20)
    plain = verifier.Verification._list_files
    sizes = []

    def later(verification):
        sizes.append(verification.report.size)
        for _ in range(3):
            goes_on(log, tmp_path)
        return plain(verification)

    monkeypatch.setattr(verifier.Verification, "_list_files", later)
    report = intact(tmp_path)
    assert [report.size] == sizes
    assert first_of(tmp_path / "wal") > report.size
    assert "let go meanwhile" in report.notes[0]
    monkeypatch.undo()
    log.close()
    assert intact(tmp_path).closed


def test_segments_that_go_while_entries_are_read_are_not_missed(tmp_path):
    log = pruned(tmp_path)
    for _ in range(3):
        goes_on(log, tmp_path)
    kept = sorted(path.name for path in (tmp_path / "wal").iterdir())
    seen = []

    def meanwhile(done, _all):
        if not seen:
            goes_on(log, tmp_path)
        seen.append(done)

    report = verifier.verify(tmp_path, VKEY, progress=meanwhile)
    assert report.intact, verifier.render(report)
    assert kept != sorted(path.name for path in (tmp_path / "wal").iterdir())
    log.close()


def test_a_segment_that_somebody_takes_away_meanwhile_is_missed(tmp_path):
    log = open_log(tmp_path, disk=Deaf("remove"), segment_bytes=SMALLEST_SEGMENT, **QUICK)
    log.append_now(opening("s"), durable=True)
    write(log, 700)
    log.close()
    names = sorted(path for path in (tmp_path / "wal").iterdir() if path.name != "next")
    assert len(names) > 3
    report = verifier.verify(tmp_path, VKEY, progress=lambda *_: names[-2].unlink(missing_ok=True))
    assert [fault.what for fault in report.faults] == ["a segment is missing before it: only full bundles make it needless"]
