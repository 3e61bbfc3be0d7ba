"""The head log: what it writes down of the other logs, and what a start refuses on its word."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.ledger.books import KEY, entries, exception, fill, open_log

from gatebook.errors import LedgerError
from gatebook.ledger import folders
from gatebook.ledger.heads import MINUTE, Heads, finish
from gatebook.ledger.note import Signer
from gatebook.ledger.reader import Reader


class Ticking:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 1_700_000_000_000_000

    def __call__(self):
        return self.now


def open_process(folder, name, **options):
    return open_log(folders.place(folder, name), origin=folders.origin("test", name), **options)


def a_log(folder, name, sessions=1, **options):
    log = open_process(folder, name, **options)
    fill(log, sessions, 3)
    log.close()


def open_heads(folder, clock=None):
    return Heads.open(folder, "test", KEY, clock or Ticking())


def told(folder):
    """Log and size of every log.head."""
    found = [json.loads(entry) for entry in entries(folder / "head")]
    return [(one["log"].rpartition("/")[2], one["size"]) for one in found if one["type"] == "log.head"]


def size(folder, name):
    return int((folder / name / "checkpoint").read_text().splitlines()[1])


def test_a_start_and_a_stop_tell_where_every_log_stands(tmp_path):
    a_log(tmp_path, "1")
    a_log(tmp_path, "web")
    open_heads(tmp_path).close()
    every = [("1", size(tmp_path, "1")), ("web", size(tmp_path, "web"))]
    assert told(tmp_path) == every + every


def test_a_log_that_appears_is_told_at_once_and_one_that_grows_each_minute(tmp_path):
    clock = Ticking()
    heads = open_heads(tmp_path, clock)
    assert told(tmp_path) == []
    a_log(tmp_path, "1")
    first = size(tmp_path, "1")
    heads.look()
    assert told(tmp_path) == [("1", first)]
    a_log(tmp_path, "1")
    clock.now += MINUTE - 1
    heads.look()
    assert told(tmp_path) == [("1", first)]
    clock.now += 1
    heads.look()
    assert told(tmp_path) == [("1", first), ("1", size(tmp_path, "1"))]
    clock.now += MINUTE
    heads.look()
    assert len(told(tmp_path)) == 2
    heads.close()


def test_what_is_told_is_the_signed_checkpoint(tmp_path):
    a_log(tmp_path, "1")
    open_heads(tmp_path).close()
    (first, _) = [one for one in map(json.loads, entries(tmp_path / "head")) if one["type"] == "log.head"]
    assert first["note"] == (tmp_path / "1/checkpoint").read_text()
    assert Signer("test/log/1/1", KEY).open(first["note"]).size == first["size"]


def cut_back(folder):
    """Put a log in the place of one that has grown since: genuine, but older."""
    older = shutil.copytree(folder / "1", folder.parent / "older")
    a_log(folder, "1")
    open_heads(folder).close()
    shutil.rmtree(folder / "1")
    shutil.copytree(older, folder / "1")


def gone(folder):
    open_heads(folder).close()
    shutil.rmtree(folder / "1")


def another(folder):
    """A log of the same length and key, but other content."""
    open_heads(folder).close()
    shutil.rmtree(folder / "1")
    log = open_process(folder, "1")
    fill(log, 1, 2)
    log.append_now(exception("x"), durable=False)
    log.close()


def another_and_longer(folder):
    another(folder)
    a_log(folder, "1")


@pytest.mark.parametrize(
    ("harm", "said"),
    [(cut_back, "cut back"), (gone, "gone"), (another, "not those"), (another_and_longer, "not those")],
)
def test_a_start_refuses_what_the_head_log_contradicts(tmp_path, harm, said):
    folder = tmp_path / "ledger"
    a_log(folder, "1")
    harm(folder)
    with pytest.raises(LedgerError, match=said):
        open_heads(folder)


def test_a_log_that_grew_since_is_no_reason_to_refuse(tmp_path):
    a_log(tmp_path, "1")
    for sessions in (1, 70, 200):
        open_heads(tmp_path).close()
        a_log(tmp_path, "1", sessions)
    open_heads(tmp_path).close()
    assert told(tmp_path)[-1] == ("1", size(tmp_path, "1"))


def test_a_log_that_goes_back_meanwhile_is_told_once_and_not_taken_for_the_newest(tmp_path):
    folder = tmp_path / "ledger"
    a_log(folder, "1")
    older = shutil.copytree(folder / "1", tmp_path / "older")
    a_log(folder, "1")
    heads = open_heads(folder)
    shutil.copy(older / "checkpoint", folder / "1/checkpoint")
    heads.look()
    heads.look()
    heads.close()
    kinds = [json.loads(entry)["type"] for entry in entries(folder / "head")]
    assert kinds.count("exception") == 1
    assert len(told(folder)) == 1


def test_a_log_whose_process_crashed_and_stays_away_is_finished(tmp_path):
    crashed = open_process(tmp_path, "2")
    fill(crashed, 1, 2)
    copy = shutil.copytree(tmp_path / "2", tmp_path / "copy")
    crashed.close()
    shutil.rmtree(tmp_path / "2")
    copy.rename(tmp_path / "2")
    writing = open_process(tmp_path, "3")
    finish(tmp_path, "test", KEY, {"1"})
    kinds = [json.loads(entry)["type"] for entry in entries(tmp_path / "2")]
    assert kinds[-2:] == ["log.close", "log.seal"]
    before = size(tmp_path, "2")
    finish(tmp_path, "test", KEY, {"1"})
    assert size(tmp_path, "2") == before
    writing.close()


@pytest.mark.parametrize("length", [5, 254, 255, 256, 257, 511, 512, 700])
def test_the_root_of_any_earlier_size_is_found_from_tiles(tmp_path, length):
    log = open_process(tmp_path, "1")
    while (written := log.append_now(exception("x"), durable=False)).index < length - 2:
        pass
    assert written.index < length
    log.close()
    note = (tmp_path / "1/checkpoint").read_text()
    head = Signer("test/log/1/1", KEY).open(note)
    reader = Reader(tmp_path / "1")
    assert reader.root(head.size) == head.root
    log = open_process(tmp_path, "1")
    for _ in range(600):
        log.append_now(exception("y"), durable=False)
    log.close()
    assert reader.root(head.size) == head.root
