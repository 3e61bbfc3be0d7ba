"""Entries that their producer writes itself: in the log before the call returns, closed by the same failures."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.ledger.books import FailingDisk, action, closing, entries, exception, intact, open_log, opening

from gatebook.errors import LedgerError
from gatebook.ledger.log import LATE_SECONDS, SMALLEST_SEGMENT
from gatebook.model import Entry

ROOMY = SMALLEST_SEGMENT * 4


def told(folder, kind):
    return [fields for fields in map(json.loads, entries(folder)) if fields["type"] == kind]


class Stalling(FailingDisk):
    """A disk whose sync waits until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.stalls, self.stalled, self.go_on = False, threading.Event(), threading.Event()

    def sync(self, descriptor):
        if self.stalls:
            self.stalled.set()
            self.go_on.wait(20)
        super().sync(descriptor)


def test_an_entry_is_in_the_write_ahead_log_when_the_call_returns(tmp_path):
    log = open_log(tmp_path, segment_bytes=ROOMY)
    written = log.append_at_once(exception("now"))
    assert json.loads(entries(tmp_path)[written.index])["what"] == "now"
    log.close()
    intact(tmp_path)


def test_it_is_synced_and_hashed_soon_without_anybody_waiting(tmp_path):
    synced = threading.Event()

    class Watching(FailingDisk):
        def sync(self, descriptor):
            super().sync(descriptor)
            synced.set()

    log = open_log(tmp_path, segment_bytes=ROOMY, disk=Watching(), checkpoint_seconds=0.01)
    synced.clear()
    written = log.append_at_once(exception("read"))
    assert synced.wait(10)
    while log.synced <= written.index:
        log.append_now(exception("until it is known"), durable=True)
    log.close()
    intact(tmp_path)


def test_entries_written_at_once_and_in_turn_keep_every_session_without_gaps(tmp_path):
    log = open_log(tmp_path, segment_bytes=ROOMY, checkpoint_seconds=0.001, heartbeat_seconds=0.01)
    at_once = []

    def work(session):
        sid = f"s{session}"
        receipts = [log.append_now(opening(sid), durable=True)]
        for n in range(1, 120):
            written = log.append_at_once(action(sid, n)) if n % 3 else None
            at_once.append(written is not None)
            receipts.append(written or log.append_now(action(sid, n), durable=n % 2 == 0))
        return [receipt.seq for receipt in [*receipts, log.append_now(closing(sid), durable=True)]]

    with ThreadPoolExecutor(8) as pool:
        for numbers in pool.map(work, range(8)):
            assert numbers == list(range(121))
    assert any(at_once)
    log.close()
    report = intact(tmp_path)
    assert report.kinds["session.close"] == 8


def test_at_the_end_of_a_segment_an_entry_has_to_wait_its_turn(tmp_path):
    log = open_log(tmp_path, segment_bytes=SMALLEST_SEGMENT)
    assert log.append_at_once(exception("no room that is sure to do")) is None
    assert log.append_now(exception("in turn"), durable=False).index > 0
    log.close()
    intact(tmp_path)


def test_a_slow_disk_makes_entries_wait_instead_of_leaving_more_unsynced(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    assert log.append_at_once(exception("first")) is not None
    assert disk.stalled.wait(10)
    written = 0
    while log.append_at_once(exception("ahead of the disk")) is not None:
        written += 1
        threading.Event().wait(LATE_SECONDS / 10)
    assert written < 20
    disk.stalls = False
    disk.go_on.set()
    assert log.append_now(exception("in turn"), durable=False).index > written
    log.close()
    intact(tmp_path)


async def test_entries_that_wait_for_the_writer_hold_nobody_up(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk, heartbeat_seconds=60)
    await log.append(opening("s"), durable=True)
    disk.stalls = True
    async with asyncio.TaskGroup() as group:
        group.create_task(log.append(exception("durable"), durable=True))
        assert await asyncio.to_thread(disk.stalled.wait, 10)
        waiting = group.create_task(log.append(action("s", 7), durable=False))
        await asyncio.sleep(0)  # until it stands in the queue
        written = log.append_at_once(action("s", 8))
        assert not waiting.done()
        disk.stalls = False
        disk.go_on.set()
    assert (written.seq, waiting.result().seq) == (1, 2)
    assert written.index < waiting.result().index
    log.close()
    intact(tmp_path)


@pytest.mark.parametrize("fails", ["write", "kept"])
async def test_a_disk_that_fails_stops_everybody_with_a_clear_error(tmp_path, fails):
    disk = FailingDisk()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    kept = log.append_at_once(exception("kept"))
    disk.error, disk.fails = errno.ENOSPC, fails
    with pytest.raises(LedgerError, match="the ledger stopped: the disk is full"):
        log.append_at_once(exception("lost"))
    disk.fails = None  # a disk that works again changes nothing: nobody knows what it kept
    assert log.failed == "the ledger stopped: the disk is full"
    for durable in (False, True):
        with pytest.raises(LedgerError, match="the disk is full"):
            await log.append(exception("later"), durable=durable)
    with pytest.raises(LedgerError, match="the disk is full"):
        log.append_at_once(exception("later"))
    log.close()
    open_log(tmp_path, segment_bytes=ROOMY).close()
    intact(tmp_path)
    assert json.loads(entries(tmp_path)[kept.index])["what"] == "kept"
    assert told(tmp_path, "log.boot")[-1]["restart"] == "crash"
    assert not [one for one in told(tmp_path, "exception") if one["what"] == "later"]


async def test_who_waits_for_the_disk_hears_of_a_failure_that_another_met(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    async with asyncio.TaskGroup() as group:
        first = group.create_task(log.append(exception("durable"), durable=True))
        assert await asyncio.to_thread(disk.stalled.wait, 10)
        disk.fails = "write"
        with pytest.raises(LedgerError, match="input/output error"):
            log.append_at_once(exception("lost"))
        with pytest.raises(LedgerError, match="input/output error"):
            await log.append(exception("later"), durable=True)
        disk.go_on.set()
    assert log.synced > first.result().index  # it was written before the failure, and synced since
    log.close()


def test_a_closed_log_refuses(tmp_path):
    log = open_log(tmp_path, segment_bytes=ROOMY)
    log.close()
    with pytest.raises(LedgerError, match="closed"):
        log.append_at_once(exception("late"))
    assert json.loads(entries(tmp_path)[-1])["type"] == "log.seal"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (action("s", 1), "not open"),
        (exception("x" * 70_000), "at most 65535"),
        (exception("\ud800"), "Unicode"),
        (opening("x" * 37), "letters, digits"),
    ],
)
def test_an_entry_that_cannot_stand_is_refused_alone(tmp_path, entry: Entry, said):
    log = open_log(tmp_path, segment_bytes=ROOMY)
    log.append_now(opening("a"), durable=True)
    with pytest.raises(LedgerError, match=said):
        log.append_at_once(entry)
    assert log.failed is None
    assert log.append_at_once(action("a", 1)).seq == 1
    log.close()
    intact(tmp_path)


async def test_any_other_fault_stops_the_log(tmp_path):
    log = open_log(tmp_path, segment_bytes=ROOMY, clock=iter([1, 2]).__next__)  # the third look raises StopIteration
    with pytest.raises(LedgerError, match="StopIteration"):
        log.append_at_once(exception("e"))
    assert "StopIteration" in (log.failed or "")
    log.close()
