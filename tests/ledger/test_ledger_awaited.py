"""Who waits until an entry is on disk is told once, by the sync that put it there or by what went wrong instead."""

from __future__ import annotations

import asyncio
import errno

import pytest
from tests.ledger.books import exception, intact, open_log
from tests.ledger.test_ledger_at_once import ROOMY, Stalling


async def told(log, index):
    heard = asyncio.Event()
    log.when_synced(index, heard.set)
    await asyncio.wait_for(heard.wait(), 20)


async def test_who_waits_hears_as_soon_as_the_disk_has_the_entry_and_not_before(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    written = log.append_at_once(exception("awaited"))
    heard = asyncio.Event()
    log.when_synced(written.index, heard.set)
    assert await asyncio.to_thread(disk.stalled.wait, 10)
    assert not heard.is_set()
    disk.stalls = False
    disk.go_on.set()
    await asyncio.wait_for(heard.wait(), 20)
    assert log.synced > written.index
    log.close()
    intact(tmp_path)


async def test_what_was_written_while_the_disk_was_busy_is_told_by_the_next_sync(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    first = log.append_at_once(exception("first"))
    one, other = asyncio.Event(), asyncio.Event()
    log.when_synced(first.index, one.set)
    assert await asyncio.to_thread(disk.stalled.wait, 10)
    second = log.append_at_once(exception("second"))
    log.when_synced(second.index, lambda: (one.is_set() and log.synced > second.index and other.set()) or None)
    disk.stalls = False
    disk.go_on.set()
    await asyncio.wait_for(other.wait(), 20)
    log.close()


async def test_many_who_wait_are_told_by_few_syncs(tmp_path):
    syncs = []

    class Counting(Stalling):
        def sync(self, descriptor):
            syncs.append(descriptor)
            super().sync(descriptor)

    disk = Counting()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    heard = [asyncio.Event() for _ in range(50)]
    for each in heard:
        log.when_synced(log.append_at_once(exception("one of many")).index, each.set)
    assert await asyncio.to_thread(disk.stalled.wait, 10)
    before, disk.stalls = len(syncs), False
    disk.go_on.set()
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in heard)), 20)
    assert len(syncs) <= before + 3
    log.close()


async def test_what_is_on_disk_already_is_told_in_a_later_turn_and_never_within_the_call(tmp_path):
    log = open_log(tmp_path)
    written = log.append_now(exception("kept"), durable=True)
    heard = asyncio.Event()
    log.when_synced(written.index, heard.set)
    assert not heard.is_set()
    await asyncio.wait_for(heard.wait(), 20)
    log.close()


async def test_a_fault_of_one_who_is_told_is_not_anothers(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    written, heard, faults = log.append_at_once(exception("awaited")), asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    log.when_synced(written.index, lambda: {}.pop(0))
    log.when_synced(written.index, heard.set)
    disk.stalls = False
    disk.go_on.set()
    await asyncio.wait_for(heard.wait(), 20)
    assert [type(one) for one in faults] == [KeyError]
    log.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_a_sync_that_fails_tells_whoever_waits_and_the_entry_counts_as_lost(tmp_path, number):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls, disk.error = True, number
    written, heard = log.append_at_once(exception("lost")), asyncio.Event()
    log.when_synced(written.index, heard.set)
    assert await asyncio.to_thread(disk.stalled.wait, 10)
    disk.fails = "sync"
    disk.go_on.set()
    await asyncio.wait_for(heard.wait(), 20)
    assert "the ledger stopped" in (log.failed or "")
    assert log.synced <= written.index
    await told(log, written.index)  # who comes later hears it at once
    disk.fails = None
    log.close()


async def test_a_write_that_fails_behind_it_leaves_nobody_waiting(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True
    assert log.append_at_once(exception("first")) is not None
    assert await asyncio.to_thread(disk.stalled.wait, 10)  # the writer is busy when it happens
    second, heard = log.append_at_once(exception("second")), asyncio.Event()
    log.when_synced(second.index, heard.set)
    disk.fails = "write"
    with pytest.raises(Exception, match="input/output error"):
        log.append_at_once(exception("third"))
    disk.go_on.set()
    await asyncio.wait_for(heard.wait(), 20)
    assert log.failed
    disk.fails = None
    log.close()


async def test_a_log_that_closes_tells_whoever_waits(tmp_path):
    log = open_log(tmp_path, segment_bytes=ROOMY)
    written, heard = log.append_at_once(exception("the last")), asyncio.Event()
    log.when_synced(written.index, heard.set)
    await asyncio.to_thread(log.close)
    await asyncio.wait_for(heard.wait(), 20)
    assert log.synced > written.index
    await told(log, written.index)


def test_a_loop_that_is_gone_is_nobody(tmp_path):
    disk = Stalling()
    log = open_log(tmp_path, segment_bytes=ROOMY, disk=disk)
    disk.stalls = True

    async def leave():
        log.when_synced(log.append_at_once(exception("left")).index, lambda: None)
        await asyncio.to_thread(disk.stalled.wait, 10)

    asyncio.run(leave())
    disk.stalls = False
    disk.go_on.set()
    assert log.append_now(exception("goes on"), durable=True).index > 0
    assert log.failed is None
    log.close()
    intact(tmp_path)
