"""The verifier on a folder with several logs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.ledger.books import KEY, fill, open_log

from gatebook.ledger import folders, keys, verifier

NAMES = ("1", "2", "web")
WEB = keys.vkey(folders.origin("test", "web"), KEY)


@pytest.fixture
def book(tmp_path):
    for number, name in enumerate(NAMES, 1):
        log = open_log(folders.place(tmp_path / "ledger", name), origin=folders.origin("test", name))
        if name != "web":
            fill(log, number, 3)
        log.close()
    return tmp_path / "ledger"


def faults(folder, **options):
    report = verifier.verify_book(folder, WEB, **options)
    assert not report.intact
    assert "DAMAGED" in verifier.render(report)
    return [str(fault) for fault in report.faults]


def test_every_log_is_verified_with_the_key_of_any_of_them(book):
    report = verifier.verify_book(book, WEB)
    assert report.intact, verifier.render(report)
    assert list(report.logs) == list(NAMES)
    assert report.kinds["session.open"] == 3
    assert report.size == sum(log.size for log in report.logs.values())
    assert "all 27 entries of 3 logs" in verifier.render(report)


def test_logs_that_changed_places_are_found(book):
    (book / "1").rename(book / "3")
    (book / "2").rename(book / "1")
    assert any(fault.startswith("1/") and "test/log/1/2" in fault for fault in faults(book))


def test_a_file_that_belongs_to_no_log_is_found(book):
    (book / "notes.txt").write_text("x")
    assert faults(book) == ["notes.txt: a file that belongs to no log"]


def test_a_kept_checkpoint_of_a_log_that_is_gone_is_found(book):
    kept = (book / "web/checkpoint").read_bytes() + b"\n" + (book / "1/checkpoint").read_bytes()
    assert verifier.verify_book(book, WEB, kept).intact
    (book / "1").rename(book.parent / "1")
    assert faults(book, head=kept) == ["--head: a checkpoint of test/log/1/1, a log that is missing here"]


def test_a_folder_without_logs_is_no_ledger(tmp_path):
    assert [str(one) for one in verifier.verify_book(tmp_path).faults] == ["there is no ledger in this folder"]


def test_the_file_alone_verifies_a_book(book):
    argv = [sys.executable, "-I", "-S", verifier.__file__, str(book), "--log-key", WEB, "--json"]
    told = subprocess.run(argv, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout)["logs"]["2"]["intact"]
