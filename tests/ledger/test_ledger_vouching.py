"""What the book says of a recording: segments in all logs, from where the session began, on from where a search stopped."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.ledger.books import action, open_log, opening

from gatebook.errors import LedgerError
from gatebook.ledger.log import Log
from gatebook.ledger.reader import bundle_entries
from gatebook.ledger.tree import WIDTH
from gatebook.ledger.vouching import Vouched, Vouching
from gatebook.model import Entry

ONE, OTHER = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"
SHA = "a" * 64


def segment(sid: str, n: int, *, last: bool = False, sha256: str = SHA, kind: str = "rec.segment") -> Entry:
    fields = {"n": n, "last": last, "events": 1, "bytes": 2, "sha256": sha256, "t0": 1, "t1": 2}
    who = {"sid": sid} if kind == "rec.segment" else {"target_sid": sid, "cut": True}
    return Entry(kind=kind, fields={**fields, **who})


def begin(folder: Path, process: str, sid: str) -> Log:
    log = open_log(folder / process)
    log.append_now(opening(sid), durable=False)
    return log


def test_segments_are_found_whichever_process_wrote_them_and_no_others(tmp_path: Path) -> None:
    first, second = begin(tmp_path, "1", ONE), begin(tmp_path, "2", OTHER)
    first.append_now(segment(ONE, 0), durable=True)
    second.append_now(segment(OTHER, 0, sha256="b" * 64), durable=True)
    second.append_now(segment(ONE, 1, last=True, kind="rec.recovered"), durable=True)
    vouching = Vouching(tmp_path)
    assert vouching.segments(ONE, 0) == {0: Vouched(SHA, last=False), 1: Vouched(SHA, last=True)}
    assert vouching.segments(OTHER, 0) == {0: Vouched("b" * 64, last=False)}
    first.close()
    second.close()


def test_what_was_written_since_is_found_by_asking_again(tmp_path: Path) -> None:
    log, vouching = begin(tmp_path, "1", ONE), Vouching(tmp_path)
    assert vouching.segments(ONE, 0) == {}
    for n in range(3):
        log.append_now(segment(ONE, n), durable=True)
        assert sorted(vouching.segments(ONE, 0)) == list(range(n + 1))
    log.close()


def test_the_first_that_the_book_said_counts(tmp_path: Path) -> None:
    log = begin(tmp_path, "1", ONE)
    log.append_now(segment(ONE, 0), durable=True)
    log.append_now(segment(ONE, 0, sha256="c" * 64), durable=True)
    assert Vouching(tmp_path).segments(ONE, 0) == {0: Vouched(SHA, last=False)}
    log.close()


@pytest.mark.parametrize("kept", [True, False], ids=["write-ahead log kept", "its older files gone"])
def test_what_lies_in_bundles_is_found_there_from_the_sessions_beginning_on(tmp_path: Path, kept: bool) -> None:
    log = begin(tmp_path, "1", OTHER)
    for number in range(1, 600):
        log.append_now(action(OTHER, number, text="x" * 900), durable=False)
    first = log.append_now(opening(ONE), durable=True)
    log.append_now(segment(ONE, 0), durable=True)
    for number in range(600, 2_000):
        log.append_now(action(OTHER, number, text="x" * 900), durable=False)
    end = log.append_now(segment(ONE, 1, last=True), durable=True)
    log.close()
    files = sorted(path for path in (tmp_path / "1" / "wal").iterdir() if path.name != "next")
    assert len(files) > 1
    if not kept:
        bundled = end.index // WIDTH * WIDTH
        for path, after in itertools.pairwise(files):
            if int(after.name) <= bundled:
                path.unlink()
        assert not files[0].exists()
    (tmp_path / "1" / "tile" / "entries" / "x000" / "000").unlink(missing_ok=True)
    (tmp_path / "1" / "tile" / "entries" / "000").unlink(missing_ok=True)  # before the session: nobody looks there
    opened_at = 1_700_000_000_000_000 + 1_000 * first.index
    assert Vouching(tmp_path).segments(ONE, opened_at) == {0: Vouched(SHA, last=False), 1: Vouched(SHA, last=True)}


def test_a_text_that_looks_like_a_segment_is_none(tmp_path: Path) -> None:
    log = begin(tmp_path, "1", OTHER)
    log.append_now(action(OTHER, 1, text=f'"type":"rec.segment" {ONE}'), durable=True)
    assert Vouching(tmp_path).segments(ONE, 0) == {}
    log.close()


def test_where_there_is_no_log_nothing_is_known(tmp_path: Path) -> None:
    assert Vouching(tmp_path / "nowhere").segments(ONE, 0) == {}


@pytest.mark.parametrize("data", [b"\0\3ab", b"\0\1a\0", b"\0\1a\0\2b"])
def test_a_bundle_that_ends_within_an_entry_is_none(data: bytes) -> None:
    assert bundle_entries(b"\0\1a\0\2bc") == [b"a", b"bc"]
    with pytest.raises(LedgerError, match="ends within an entry"):
        bundle_entries(data)
