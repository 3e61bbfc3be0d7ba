"""A process that is killed, a disk that is full, a disk that is read-only: with real processes and real kernels' errors."""

from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.ledger.books import NEVER, FailingDisk, action, closing, entries, intact, open_log, opening

from gatebook.errors import LedgerError
from gatebook.ledger.disk import Disk

WRITER = Path(__file__).with_name("writer.py")


@cache
def may_mount() -> bool:
    """Whether this user may have mounts of its own."""
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def child(*arguments: object, within: str = "") -> dict[str, object]:
    command = [sys.executable, str(WRITER), *map(str, arguments)]
    if within:
        command = ["unshare", "-m", "sh", "-c", f'{within} && exec "$@"', "sh", *command]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("lines", [random.Random(seed).randrange(1, 1500) for seed in range(6)])
def test_a_killed_process_loses_no_entry_that_was_acknowledged(tmp_path, lines):
    folder = tmp_path / "ledger"
    with subprocess.Popen([sys.executable, str(WRITER), "produce", str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        told += process.stdout.readlines()
    acknowledged = [json.loads(line) for line in told if line.endswith(b"\n")]

    before = intact(folder)
    assert not before.closed
    log = open_log(folder)
    assert log.open_sids == []
    log.close()
    report = intact(folder)
    assert (report.counts["crashes"], report.kinds["log.boot"]) == (1, 2)
    written = [json.loads(entry) for entry in entries(folder)]
    for receipt in acknowledged:
        assert (written[receipt["index"]]["sid"], written[receipt["index"]]["seq"]) == (receipt["sid"], receipt["seq"])
    reasons = {entry["sid"]: entry["reason"] for entry in written if entry["type"] == "session.close"}
    opened = [entry["sid"] for entry in written if entry["type"] == "session.open"]
    assert sorted(reasons) == sorted(opened)
    crashed = [entry for entry in written if entry.get("reason") == "gateway crashed"]
    assert len(crashed) == written[max(i for i, entry in enumerate(written) if entry["type"] == "log.boot")]["left_open"]
    assert crashed


def test_sessions_of_a_crash_are_closed_before_anything_else_happens(tmp_path):
    folder = tmp_path / "ledger"
    log = open_log(folder, checkpoint_seconds=NEVER)
    log.append_now(opening("a"), durable=True)
    log.append_now(action("a", 1), durable=True)
    log.append_now(opening("b"), durable=True)
    log.append_now(closing("b"), durable=True)
    (tmp_path / "crashed").mkdir()
    for path in folder.rglob("*"):  # the folder as a crash at this moment leaves it
        if path.is_file():
            copy = tmp_path / "crashed" / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    log.close()
    again = open_log(tmp_path / "crashed")
    with pytest.raises(LedgerError, match="not open"):
        again.append_now(action("a", 2), durable=True)
    again.append_now(opening("a"), durable=True)
    again.close()
    kinds = [json.loads(entry)["type"] for entry in entries(tmp_path / "crashed")]
    boot = len(kinds) - 1 - kinds[::-1].index("log.boot")
    assert kinds[boot : boot + 3] == ["log.boot", "session.close", "log.seal"]
    intact(tmp_path / "crashed")


@pytest.mark.parametrize("how", ["full", "limit"])
def test_a_full_disk_stops_work_with_a_clear_error_and_loses_nothing(tmp_path, how):
    if how == "full" and may_mount():
        told = child("starve", tmp_path / "ledger", "full", within=f"mount -t tmpfs -o size=2m tmpfs '{tmp_path}'")
        expected = "the ledger stopped: the disk is full"
    else:
        told = child("starve", tmp_path / "ledger", "limit")
        expected = "the ledger stopped: the file size limit of the process is reached"
    assert told["said"] == told["again"] == told["failed"] == expected
    assert int(str(told["kept"])) > 10
    assert int(str(told["exceptions"])) >= int(str(told["kept"]))
    assert "DAMAGED" not in str(told["crashed"])
    assert "INTACT" in str(told["report"])


def test_a_folder_that_may_not_be_written_opens_no_log():
    with TemporaryDirectory() as place:  # not tmp_path, which nobody else may enter
        folder = Path(place) / "ledger"
        open_log(folder).close()
        paths = [Path(place), folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            told = child("open", folder, "as nobody")
        finally:
            for path in paths:
                path.chmod(0o700 if path.is_dir() else 0o600)
    assert "the ledger cannot be opened: permission denied" in str(told["said"])


def test_a_read_only_disk_opens_no_log(tmp_path):
    folder = tmp_path / "ledger"
    open_log(folder).close()
    if may_mount():
        within = f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,ro,bind '{tmp_path}'"
        said = str(child("open", folder, "as myself", within=within)["said"])
    else:
        disk = FailingDisk()
        disk.fails, disk.error = "write", errno.EROFS
        with pytest.raises(LedgerError) as raised:
            open_log(folder, disk=disk)
        said = str(raised.value)
    assert said == f"{folder}: the ledger cannot be opened: the disk is read-only"


class DyingDisk(Disk):
    """Dies at its nth operation, halfway through if that is a write; nothing works after it, as if the process were gone."""

    def __init__(self, last: int) -> None:
        self.left = last

    def _dies(self) -> bool:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "gone")
        return self.left == 0

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        half = self._dies()
        super().write_at(descriptor, memoryview(data)[: len(data) // 2] if half else data, offset)
        if half:
            raise OSError(errno.EIO, "gone")

    def sync(self, descriptor: int) -> None:
        self._dies()
        super().sync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        self._dies()
        super().rename(old, new)

    def make_folder(self, path: Path) -> None:
        self._dies()
        super().make_folder(path)


def work(folder: Path, disk: Disk) -> list[int]:
    """A short run over two segments; the indexes that were acknowledged."""
    acknowledged: list[int] = []
    try:
        log = open_log(folder, disk=disk, checkpoint_seconds=0.0)
    except LedgerError:
        return acknowledged
    try:
        acknowledged.append(log.append_now(opening("a"), durable=True).index)
        for n in range(1, 6):
            acknowledged.append(log.append_now(action("a", n, reason="x" * 15_000), durable=n % 2 == 0).index)
    except LedgerError:
        pass
    log.close()
    return acknowledged


@pytest.mark.parametrize("start", range(0, 96, 12))
def test_a_process_that_dies_at_any_operation_leaves_a_log_that_goes_on(tmp_path, start):
    for last in range(start, start + 12):
        folder = tmp_path / str(last)
        acknowledged = work(folder, DyingDisk(last))
        if (folder / "checkpoint").exists():
            intact(folder)
        for second in (last % 7, 1000):  # the start after it may die, too
            again = work(folder, DyingDisk(second))
        assert len(again) == 6, f"died at operation {last}"
        report = intact(folder)
        assert report.closed
        written = [json.loads(entry) for entry in entries(folder)]
        assert all(written[index]["type"] in ("session.open", "action") for index in acknowledged)
