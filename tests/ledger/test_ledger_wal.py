"""Reading the write-ahead log after a crash: a cut write is dropped, damage is refused with its place."""

from __future__ import annotations

import shutil
from struct import pack
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.books import entries, exception, fill, intact, open_log

from gatebook.errors import LedgerError
from gatebook.ledger.wal import SECTOR, scan

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEGMENT = 8192


def frame(entry: bytes) -> bytes:
    return pack(">II", len(entry), crc32(entry)) + entry


def entry(n: int, size: int = 200) -> bytes:
    return b'{"n":%d,"x":"%s"}' % (n, b"x" * size)


def lay(folder, count, *, size=200, tail=b""):
    """One segment with so many frames and then a tail; returns its path and the frames' offsets."""
    data = b"".join(frame(entry(n, size)) for n in range(count))
    path = folder / "000000000000"
    path.write_bytes((data + tail).ljust(SEGMENT, b"\x00"))
    offsets = [0]
    for n in range(count):
        offsets.append(offsets[-1] + len(frame(entry(n, size))))
    return path, offsets


def read(folder, covered=0):
    found: list[bytes] = []
    return found, scan(folder, covered, found.append)


@MANY
@given(st.integers(0, SEGMENT), st.booleans())
def test_a_log_cut_anywhere_keeps_exactly_the_whole_frames(tmp_path, cut, shorten):
    path, offsets = lay(tmp_path, 12)
    data = path.read_bytes()[:cut]
    path.write_bytes(data if shorten else data.ljust(SEGMENT, b"\x00"))
    found, tail = read(tmp_path)
    whole = sum(offset <= cut for offset in offsets[1:])
    assert found == [entry(n) for n in range(whole)]
    assert tail.offset == offsets[whole]
    assert tail.torn_bytes <= max(0, cut - offsets[whole])


@MANY
@given(st.integers(0, SEGMENT), st.integers(1, 12))
def test_a_log_cut_below_what_was_published_is_refused(tmp_path, cut, covered):
    path, offsets = lay(tmp_path, 12)
    path.write_bytes(path.read_bytes()[:cut].ljust(SEGMENT, b"\x00"))
    if cut >= offsets[covered]:
        assert len(read(tmp_path, covered)[0]) >= covered
    else:
        with pytest.raises(LedgerError, match=r"a checkpoint of|is damaged"):
            read(tmp_path, covered)


@MANY
@given(st.data())
def test_a_bit_flipped_anywhere_in_the_frames_is_damage_and_never_a_cut(tmp_path, data):
    path, offsets = lay(tmp_path, 12)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, offsets[-1] - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    hit = max(n for n, offset in enumerate(offsets) if offset <= at)
    with pytest.raises(LedgerError, match=rf"wal/000000000000: offset {offsets[hit]}: entry {hit} is damaged"):
        read(tmp_path)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_sectors_that_a_power_cut_did_not_write_are_a_cut_even_with_later_ones_written(tmp_path, lost):
    path, offsets = lay(tmp_path, 12, size=600)
    content = bytearray(path.read_bytes())
    start = SECTOR * 5
    content[start : start + SECTOR * lost] = bytes(SECTOR * lost)
    path.write_bytes(content)
    found, tail = read(tmp_path)
    assert len(found) == sum(offset <= start for offset in offsets[1:])
    assert tail.torn_bytes > 0
    with pytest.raises(LedgerError, match="is damaged"):
        read(tmp_path, covered=12)


def test_a_segment_that_is_missing_is_named(tmp_path):
    log = open_log(tmp_path)
    fill(log, 3, 200)
    log.close()
    first, second, *_ = sorted(path for path in (tmp_path / "wal").iterdir() if path.name != "next")
    held = second.read_bytes()
    second.unlink()
    with pytest.raises(LedgerError, match="a segment is missing or damaged"):
        open_log(tmp_path)
    second.write_bytes(held)
    first.unlink()
    (tmp_path / "tile/0/000").unlink()
    with pytest.raises(LedgerError, match="000 is missing"):
        open_log(tmp_path)


def test_a_damaged_frame_in_the_middle_refuses_to_start_with_file_and_offset(tmp_path):
    log = open_log(tmp_path)
    fill(log, 1, 20)
    log.close()
    path = tmp_path / "wal/000000000000"
    content = bytearray(path.read_bytes())
    at = content.index(b'"action":7')
    content[at + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"wal/000000000000: offset \d+: entry \d+ is damaged"):
        open_log(tmp_path)


def test_entries_rewritten_with_right_checksums_refuse_to_start(tmp_path):
    log = open_log(tmp_path)
    fill(log, 1, 5)
    log.close()
    path = tmp_path / "wal/000000000000"
    altered = [found.replace(b"customers", b"customerz") for found in entries(tmp_path)]
    path.write_bytes(b"".join(map(frame, altered)).ljust(path.stat().st_size, b"\x00"))
    with pytest.raises(LedgerError, match="do not give the root"):
        open_log(tmp_path)


def test_a_log_without_its_write_ahead_log_refuses_to_start(tmp_path):
    log = open_log(tmp_path)
    log.append_now(exception("e"), durable=True)
    log.close()
    shutil.rmtree(tmp_path / "wal")
    with pytest.raises(LedgerError, match="holds 0 entries, but a checkpoint of"):
        open_log(tmp_path)


@pytest.mark.parametrize("lost", ["tile", "checkpoint", "checkpoints.log", "log.vkey", "last of checkpoints.log"])
def test_what_follows_from_the_write_ahead_log_is_made_again(tmp_path, lost):
    log = open_log(tmp_path)
    fill(log, 3, 200)
    log.close()
    if lost == "tile":
        shutil.rmtree(tmp_path / "tile")
    elif lost.startswith("last"):
        path = tmp_path / "checkpoints.log"
        path.write_bytes(path.read_bytes()[:-40])
    else:
        (tmp_path / lost).unlink()
    open_log(tmp_path).close()
    report = intact(tmp_path) if lost != "checkpoints.log" else None
    assert report is None or report.kinds["session.open"] == 3
    if report is None:
        assert (tmp_path / "checkpoints.log").read_bytes().count(b"\n\n") > 1


def test_a_tile_that_a_power_cut_left_half_written_is_mended_and_counted(tmp_path):
    log = open_log(tmp_path)
    fill(log, 3, 200)
    log.close()
    partial = next((tmp_path / "tile/entries").glob("*.p/*"))
    partial.write_bytes(partial.read_bytes()[:100])
    (tmp_path / "tile/0/000").write_bytes(b"")
    (tmp_path / "tile/0/007").write_bytes(b"of entries that were lost")
    open_log(tmp_path).close()
    intact(tmp_path)
    assert b'"repaired":3' in b"".join(entries(tmp_path))
