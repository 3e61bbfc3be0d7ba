from __future__ import annotations

import asyncio
import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.ledger.books import (
    KEY,
    ORIGIN,
    FailingDisk,
    action,
    closing,
    entries,
    exception,
    fill,
    intact,
    open_log,
    opening,
)

from gatebook.errors import LedgerError
from gatebook.ledger import scribe
from gatebook.ledger.keys import load_or_create
from gatebook.ledger.log import HEARTBEAT_SIDS, SMALLEST_SEGMENT
from gatebook.model import Entry


def told(folder, kind=None):
    found = [json.loads(entry) for entry in entries(folder)]
    return [fields for fields in found if kind in (None, fields["type"])]


async def test_a_receipt_names_log_and_index_of_the_entry(tmp_path):
    log = open_log(tmp_path)
    receipts = [await log.append(exception(f"e{n}"), durable=n % 2 == 0) for n in range(4)]
    log.close()
    written = told(tmp_path)
    for n, receipt in enumerate(receipts):
        assert receipt.log == ORIGIN
        assert (written[receipt.index]["what"], written[receipt.index]["id"]) == (f"e{n}", receipt.id)
        assert written[receipt.index]["time"] == receipt.time


async def test_a_durable_entry_is_synced_before_its_receipt(tmp_path):
    disk = FailingDisk()
    log = open_log(tmp_path, disk=disk)
    before = disk.syncs
    await log.append(exception("durable"), durable=True)
    assert disk.syncs == before + 1
    log.close()


async def test_many_entries_share_one_write_and_one_sync(tmp_path):
    disk = FailingDisk()
    log = open_log(tmp_path, disk=disk)
    writes, syncs = disk.writes, disk.syncs
    async with asyncio.TaskGroup() as group:
        for n in range(100):
            group.create_task(log.append(exception(f"e{n}"), durable=True))
    assert disk.syncs - syncs < 20
    assert disk.writes - writes < 40
    log.close()


def test_an_entry_that_need_not_be_durable_is_synced_soon_all_the_same(tmp_path):
    synced = threading.Event()

    class Watching(FailingDisk):
        def sync(self, descriptor):
            super().sync(descriptor)
            synced.set()

    log = open_log(tmp_path, disk=Watching())
    synced.clear()
    log.append_now(exception("read"), durable=False)
    assert synced.wait(10)
    log.close()


def test_a_checkpoint_follows_by_itself(tmp_path):
    published = threading.Event()

    class Watching(FailingDisk):
        def replace(self, path, data):
            super().replace(path, data)
            if path.name == "checkpoint" and int(data.split(b"\n")[1]) > 2:
                published.set()

    log = open_log(tmp_path, disk=Watching(), checkpoint_seconds=0.01)
    log.append_now(exception("something"), durable=False)
    assert published.wait(10)
    assert intact(tmp_path).size == 4
    log.close()


def test_a_heartbeat_lists_the_sessions_that_are_open(tmp_path):
    log = open_log(tmp_path, heartbeat_seconds=0.0)
    log.append_now(opening("a"), durable=True)
    log.append_now(opening("b"), durable=True)
    log.append_now(closing("a"), durable=True)
    log.append_now(exception("so that a heartbeat comes between"), durable=True)
    log.close()
    beats = [beat["open_sids"] for beat in told(tmp_path, "log.heartbeat")]
    assert ["a", "b"] in beats
    assert beats[-1] == ["b"]
    intact(tmp_path)


def test_sessions_are_numbered_without_gaps_in_the_order_of_the_log(tmp_path):
    log = open_log(tmp_path)

    def work(session):
        sid = f"s{session}"
        receipts = [log.append_now(opening(sid), durable=True)]
        receipts += [log.append_now(action(sid, n), durable=n % 3 == 0) for n in range(1, 40)]
        return [receipt.seq for receipt in [*receipts, log.append_now(closing(sid), durable=True)]]

    with ThreadPoolExecutor(8) as pool:
        for numbers in pool.map(work, range(8)):
            assert numbers == list(range(41))
    log.close()
    report = intact(tmp_path)
    assert report.kinds["session.close"] == 8
    assert all(fields["count"] == 41 for fields in told(tmp_path, "session.close"))


async def test_eight_producers_on_one_loop_get_a_receipt_each_and_no_index_twice(tmp_path):
    log = open_log(tmp_path)

    async def produce(name):
        return [(await log.append(exception(name), durable=n % 2 == 0)).index for n in range(50)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(produce(f"p{n}")) for n in range(8)]
    indexes = [index for task in tasks for index in task.result()]
    log.close()
    assert len(set(indexes)) == 400
    assert all(task.result() == sorted(task.result()) for task in tasks)
    intact(tmp_path)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (action("s", 1), "not open"),
        (closing("s"), "not open"),
        (opening("a"), "open already"),
        (opening(""), "letters, digits"),
        (opening("x" * 37), "letters, digits"),
        (opening("a\nb"), "letters, digits"),
        (exception("x" * 70_000), "at most 65535"),
        (exception("\ud800"), "Unicode"),
        (Entry(kind="nonsense", fields={}), "not a kind"),
    ],
)
async def test_an_entry_that_cannot_stand_is_refused_alone(tmp_path, entry, said):
    log = open_log(tmp_path)
    await log.append(opening("a"), durable=True)
    with pytest.raises(LedgerError, match=said):
        await log.append(entry, durable=True)
    assert log.failed is None
    receipt = await log.append(action("a", 1), durable=True)
    assert receipt.seq == 1
    log.close()
    intact(tmp_path)


async def test_many_open_sessions_take_a_heartbeat_of_several_parts(tmp_path):
    log = open_log(tmp_path, heartbeat_seconds=0.2)
    count = 2 * HEARTBEAT_SIDS + 5
    await asyncio.gather(*(log.append(opening(f"{n:036d}"), durable=False) for n in range(count)))
    while not any(beat["parts"] == 3 for beat in told(tmp_path, "log.heartbeat")):
        await log.append(exception("until a heartbeat came by"), durable=True)
    log.close()
    beats = [beat for beat in told(tmp_path, "log.heartbeat") if beat["parts"] == 3]
    assert [(beat["part"], len(beat["open_sids"])) for beat in beats[:3]] == [(1, HEARTBEAT_SIDS), (2, HEARTBEAT_SIDS), (3, 5)]
    intact(tmp_path)


def test_sessions_have_a_limit():
    past = scribe.Past(sessions=dict.fromkeys(map(str, range(scribe.OPEN_SESSIONS)), 1))
    with pytest.raises(LedgerError, match="limit"):
        scribe.Scribe(ORIGIN, KEY, lambda: 1, past).compose("session.open", {"sid": "one-more"}, 0)


def test_the_log_tells_how_far_it_is_synced(tmp_path):
    log = open_log(tmp_path)
    receipt = log.append_now(exception("durable"), durable=True)
    assert log.synced == receipt.index + 1
    log.close()


def test_time_never_goes_back_even_when_the_clock_does(tmp_path):
    times = iter([50, 40, 30, 60] + [10] * 50)
    log = open_log(tmp_path, clock=lambda: next(times))
    fill(log, 1, 3)
    log.close()
    log = open_log(tmp_path, clock=lambda: 5)
    log.close()
    seen = [fields["time"] for fields in told(tmp_path)]
    assert seen == sorted(seen)
    intact(tmp_path)


def test_a_log_goes_on_where_it_ended(tmp_path):
    for run in range(4):
        log = open_log(tmp_path)
        fill(log, 2, 60 + run)
        log.close()
    report = intact(tmp_path)
    assert (report.kinds["log.boot"], report.kinds["session.open"]) == (4, 8)
    assert [boot["restart"] for boot in told(tmp_path, "log.boot")] == ["first", "clean", "clean", "clean"]
    assert report.counts["segments"] > 1
    assert [boot["repaired"] for boot in told(tmp_path, "log.boot")] == [0, 0, 0, 0]


def test_a_boot_says_which_software_is_writing(tmp_path):
    open_log(tmp_path).close()
    boot = told(tmp_path, "log.boot")[0]
    assert boot["software"].startswith("gatebook/")
    assert boot["build"].startswith("sha256:")
    assert len(boot["build"]) == 71


def test_sessions_left_open_at_a_stop_are_closed_in_the_book(tmp_path):
    log = open_log(tmp_path)
    log.append_now(opening("a"), durable=True)
    assert log.open_sids == ["a"]
    log.close()
    assert [fields["reason"] for fields in told(tmp_path, "session.close")] == ["gateway stopped"]
    intact(tmp_path)


def test_two_logs_never_write_one_folder(tmp_path):
    log = open_log(tmp_path)
    with pytest.raises(LedgerError, match="another process writes this ledger"):
        open_log(tmp_path)
    log.close()
    open_log(tmp_path).close()


async def test_a_closed_log_refuses(tmp_path):
    log = open_log(tmp_path)
    log.close()
    log.close()
    with pytest.raises(LedgerError, match="closed"):
        await log.append(exception("late"), durable=True)


def test_another_key_or_origin_cannot_go_on_with_a_log(tmp_path):
    open_log(tmp_path).close()
    with pytest.raises(LedgerError, match="not signed with this log's key"):
        open_log(tmp_path, key=load_or_create(tmp_path / "other.pem"))
    with pytest.raises(LedgerError, match="not of 'other/log'"):
        open_log(tmp_path, origin="other/log")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "é", "x" * 201])
def test_an_origin_that_a_note_cannot_hold_is_refused(tmp_path, origin):
    with pytest.raises(LedgerError, match="origin"):
        open_log(tmp_path, origin=origin)


@pytest.mark.parametrize("fails", ["write", "kept", "sync"])
@pytest.mark.parametrize(
    ("error", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only"), (errno.EIO, "input/output error")],
)
async def test_a_disk_that_fails_stops_everybody_with_a_clear_error(tmp_path, fails, error, said):
    disk = FailingDisk()
    log = open_log(tmp_path, disk=disk)
    kept = await log.append(exception("kept"), durable=True)
    disk.error, disk.fails = error, fails
    results = await asyncio.gather(*(log.append(exception(f"e{n}"), durable=True) for n in range(20)), return_exceptions=True)
    assert all(isinstance(result, LedgerError) and said in str(result) for result in results)
    assert said in (log.failed or "")
    disk.fails = None  # a disk that works again changes nothing: nobody knows what it kept
    with pytest.raises(LedgerError, match=said):
        await log.append(exception("later"), durable=False)
    with pytest.raises(LedgerError, match=said):
        log.append_now(exception("later"), durable=True)
    log.close()

    again = open_log(tmp_path)  # whatever the disk kept is whole entries, and the receipt given still stands
    again.close()
    intact(tmp_path)
    assert told(tmp_path)[kept.index]["what"] == "kept"
    assert told(tmp_path, "log.boot")[-1]["restart"] == "crash"


@pytest.mark.parametrize("fails", ["write", "kept", "sync"])
def test_a_disk_that_fails_at_the_start_opens_no_log(tmp_path, fails):
    disk = FailingDisk()
    disk.fails, disk.error = fails, errno.ENOSPC
    with pytest.raises(LedgerError, match="the disk is full"):
        open_log(tmp_path, disk=disk)
    open_log(tmp_path).close()
    intact(tmp_path)


def test_a_disk_that_fails_when_nobody_waits_is_noticed_by_the_next(tmp_path):
    stopped = threading.Event()

    class Watching(FailingDisk):
        def _raise(self):
            stopped.set()
            super()._raise()

    disk = Watching()
    log = open_log(tmp_path, disk=disk)
    disk.fails = "sync"
    log.append_now(exception("not durable"), durable=False)
    assert stopped.wait(10)
    log._writer.join(10)
    with pytest.raises(LedgerError, match="the ledger stopped"):
        log.append_now(exception("next"), durable=False)
    log.close()


async def test_any_fault_of_the_writer_itself_frees_every_waiter(tmp_path):
    log = open_log(tmp_path, clock=iter([1, 2]).__next__)  # the third look at the clock raises StopIteration
    results = await asyncio.gather(*(log.append(exception("e"), durable=True) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, LedgerError) for result in results)
    assert "StopIteration" in (log.failed or "")
    log.close()


async def test_who_gave_up_waiting_harms_nobody(tmp_path):
    log = open_log(tmp_path)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log.append(exception("e"), durable=True)) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
    assert sum(not task.cancelled() for task in tasks) == 9
    await log.append(exception("more"), durable=True)
    log.close()
    intact(tmp_path)


def test_a_loop_that_ended_while_waiting_harms_nobody(tmp_path):
    log = open_log(tmp_path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(log.append(exception("from a loop that ends"), durable=True))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    assert log.append_now(exception("goes on"), durable=True).index > 0
    log.close()


def test_the_key_is_the_owners_alone_and_stays_the_same(tmp_path):
    path = tmp_path / "keys/ledger.pem"
    first = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path).private_bytes_raw() == first.private_bytes_raw()
    assert [file.name for file in path.parent.iterdir()] == ["ledger.pem"]


def test_a_key_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "ledger.pem"
    load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(LedgerError, match="mode 0644"):
        load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path, content):
    path = tmp_path / "ledger.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LedgerError, match="expected an Ed25519 private key in PEM"):
        load_or_create(path)


def test_segments_are_full_size_and_zero_filled_from_the_start(tmp_path):
    log = open_log(tmp_path)
    first = tmp_path / "wal/000000000000"
    assert first.stat().st_size == SMALLEST_SEGMENT
    assert first.stat().st_blocks * 512 >= SMALLEST_SEGMENT
    log.close()
