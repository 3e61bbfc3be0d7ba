"""The verifier on a folder with several logs, and those who would like it to say something else.

Attackers here hold the log's key where it says so: they rebuild a log with it, seals and all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from tests.ledger import replicas
from tests.ledger.books import action, closing, entries, exception, opening
from tests.ledger.replicas import VKEY, approve, make_book, open_heads, open_process, result, ticking, vote
from typer.testing import CliRunner

from gatebook.cli.ledger import app
from gatebook.ledger import verifier
from gatebook.model import Entry

OWN = ("log.boot", "log.seal", "log.close", "log.heartbeat")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("book") / "ledger")


@pytest.fixture
def book(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "ledger")


def said(folder, **options):
    """What the verifier says of a book that must be damaged."""
    report = verifier.verify_book(folder, options.pop("key", VKEY), **options)
    assert not report.intact
    assert "DAMAGED" in verifier.render(report)
    return [str(fault) for fault in report.faults]


def content(folder, name):
    """A log's entries, but those that the ledger itself writes."""
    found = [json.loads(entry) for entry in entries(folder / name)]
    return [fields for fields in found if fields["type"] not in OWN]


def remake(folder, name, wanted):
    """Write a log anew with the stolen key, and times of its own."""
    shutil.rmtree(folder / name)
    log = open_process(folder, name, clock=ticking())
    for fields in wanted:
        kept = {key: value for key, value in fields.items() if key not in ("v", "type", "id", "time", "origin", "seq", "count")}
        log.append_now(Entry(kind=fields["type"], fields=kept), durable=False)
    log.close()


def newest(folder, *names):
    return b"\n".join((folder / name / "checkpoint").read_bytes() for name in names)


def test_every_log_is_verified_with_the_key_of_any_of_them(book):
    for name in ("1", "2", "web", "head"):
        report = verifier.verify_book(book, (book / name / "log.vkey").read_text())
        assert report.intact, verifier.render(report)
    assert list(report.logs) == ["1", "2", "head", "web"]
    assert report.kinds["session.open"] == 3
    assert report.size == sum(log.size for log in report.logs.values())
    text = verifier.render(report)
    assert f"INTACT: all {report.size} entries of 4 logs are as they were signed." in text
    assert "test/log/1/web" in text
    assert report.notes == []


def test_the_file_alone_verifies_a_book(book):
    argv = [sys.executable, "-I", "-S", verifier.__file__, str(book), "--log-key", VKEY, "--json"]
    told = subprocess.run(argv, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout)["logs"]["2"]["intact"]


def test_another_key_is_found_in_every_log(book):
    other = verifier.Key.of("test/log/1/head", bytes(32)).text
    told = said(book, key=other)
    assert {fault.partition("/")[0] for fault in told} >= {"1", "2", "web", "head"}


def test_a_file_that_belongs_to_no_log_is_found(book):
    (book / "notes.txt").write_text("x")
    assert said(book) == ["notes.txt: a file that belongs to no log"]


def test_a_folder_without_logs_is_no_ledger(tmp_path):
    assert [str(one) for one in verifier.verify_book(tmp_path).faults] == ["there is no ledger in this folder"]


def test_a_log_that_appeared_just_now_is_no_fault(book):
    log = open_process(book, "3", clock=ticking())
    log.close()
    report = verifier.verify_book(book, VKEY)
    assert report.intact, verifier.render(report)
    assert report.notes == ["3: not known to the head log yet"]


def test_a_log_that_the_head_log_never_knew_is_found(book):
    clock = ticking()
    open_process(book, "3", clock=clock).close()
    heads = shutil.copytree(book / "head", book.parent / "head")
    late = [clock() + 600_000_000]
    open_heads(book, lambda: late[0]).close()
    assert verifier.verify_book(book, VKEY).intact
    shutil.rmtree(book / "head")
    shutil.copytree(heads, book / "head")
    late_head = open_process(book, "head", clock=lambda: late[0])
    late[0] += 600_000_000
    late_head.append_now(exception("x"), durable=True)
    late_head.close()
    assert any("3" in fault and "does not know this log" in fault for fault in said(book))


# Attacks ------------------------------------------------------------------------------------------------------------------


def test_a_dropped_log_is_named(book):
    shutil.rmtree(book / "1")
    assert any(fault.startswith("1, ") and "the log is missing" in fault for fault in said(book))


def test_a_dropped_log_of_votes_leaves_actions_without_their_approval(book):
    shutil.rmtree(book / "web")
    told = said(book)
    assert any(fault.startswith("web, ") and "the log is missing" in fault for fault in told)
    assert any(fault.startswith("2, entry") and "session t1" in fault and "the approval p1" in fault for fault in told)


def test_a_dropped_head_log_is_found(book):
    shutil.rmtree(book / "head")
    assert any("the head log is missing" in fault for fault in said(book))


def test_a_log_cut_short_with_the_stolen_key_is_found(book):
    remake(book, "1", content(book, "1")[:5])
    assert any(fault.startswith("1/checkpoint") and "cut back to" in fault for fault in said(book))


def test_a_log_rolled_back_to_an_old_genuine_head_is_found(book):
    older = shutil.copytree(book / "1", book.parent / "older")
    clock = ticking()
    for _ in range(200):
        clock()
    one = open_process(book, "1", clock=clock)
    one.append_now(exception("later"), durable=True)
    one.close()
    open_heads(book, clock).close()
    assert verifier.verify_book(book, VKEY).intact
    shutil.rmtree(book / "1")
    shutil.copytree(older, book / "1")
    assert any(fault.startswith("1/checkpoint") and "cut back to" in fault for fault in said(book))


def test_two_logs_that_changed_places_are_found(book):
    (book / "1").rename(book / "x")
    (book / "2").rename(book / "1")
    (book / "x").rename(book / "2")
    told = said(book)
    assert any(fault.startswith("1/") and "test/log/1/2" in fault for fault in told)
    assert any(fault.startswith("2/") and "test/log/1/1" in fault for fault in told)


def test_an_entry_moved_to_another_log_is_found_without_the_key_and_with_it(book):
    moved = content(book, "2")
    remake(book, "web", [*content(book, "web"), moved[0], moved[-1]])
    told = said(book)
    assert any("session t1 was opened in the log 2, too" in fault for fault in told)
    assert any(fault.startswith("web/") and "not those that the head log knows" in fault for fault in told)


def test_a_vote_forged_with_the_stolen_key_is_nobodys(book):
    forged = {"type": "approval.vote", **vote("p9").fields}
    remake(book, "web", [*content(book, "web"), forged])
    told = said(book)
    assert any(fault.startswith("web, entry") and "a vote on p9, which no log has a request of" in fault for fault in told)
    assert any("not those that the head log knows" in fault for fault in told)


@pytest.mark.parametrize(
    ("drop", "said_so"),
    [("approval.vote", "with 0 of 1 votes"), ("approval.result", "which no log says to have been given before")],
)
def test_a_vote_or_result_taken_out_with_the_stolen_key_is_missed(book, drop, said_so):
    remake(book, "web", [fields for fields in content(book, "web") if fields["type"] != drop])
    assert any("let through by the approval p1" in fault and said_so in fault for fault in said(book))


def test_a_head_entry_taken_out_is_found_by_the_head_kept_elsewhere(book):
    kept = newest(book, "head")
    heads = content(book, "head")
    remake(book, "head", heads[:-1])
    assert any("the checkpoint given covers" in fault for fault in said(book, head=kept))


def test_a_head_log_that_goes_back_is_found(book):
    heads = content(book, "head")
    remake(book, "head", [heads[-1], heads[0], *heads])
    assert any(fault.startswith("head/") and "went back" in fault for fault in said(book))


@pytest.mark.parametrize("change", [{"size": 1}, {"root": "A" * 43 + "="}, {"log": "test/log/1/2"}, {"log": "other/1"}])
def test_a_head_entry_that_tells_another_head_than_it_holds_is_found(book, change):
    heads = content(book, "head")
    remake(book, "head", [heads[0] | change, *heads[1:]])
    assert any(fault.startswith("head/") for fault in said(book))


def test_heads_written_into_another_log_do_not_count(book):
    remake(book, "web", [*content(book, "web"), content(book, "head")[0]])
    assert any(fault.startswith("web/") and "has no place in this log" in fault for fault in said(book))


def test_a_head_log_begun_anew_is_found(book):
    shutil.rmtree(book / "head")
    late = 1_700_000_000_000_000 + 600_000_000
    open_heads(book, lambda: late).close()
    assert any("the head log begins later" in fault for fault in said(book))


def test_a_kept_checkpoint_of_a_log_that_is_gone_is_found_without_a_head_log(book):
    kept = newest(book, "web", "1")
    assert verifier.verify_book(book, VKEY, kept).intact
    for name in ("1", "head"):
        shutil.rmtree(book / name)
    assert "--head: a checkpoint of test/log/1/1, a log that is missing here" in said(book, head=kept)


# Approvals ----------------------------------------------------------------------------------------------------------------


def a_book(folder, *steps):
    """A book of one worker and web, in which these things happen: entries by process."""
    clock = ticking()
    logs = {name: open_process(folder, name, clock=clock) for name in ("1", "web")}
    heads = open_heads(folder, clock)
    for name, entry in steps:
        logs[name].append_now(entry, durable=True)
    for log in logs.values():
        log.close()
    heads.close()
    return folder


OPEN, CLOSE = ("1", opening("s")), ("1", closing("s"))
RUN = ("1", action("s", 1, approval="p"))
ASKED, VOTED, GIVEN = ("1", replicas.request("p")), ("web", vote("p")), ("web", result("p"))


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ((OPEN, RUN, CLOSE), "no log has a request"),
        ((OPEN, ASKED, RUN, CLOSE), "no log says to have been given"),
        ((OPEN, ASKED, GIVEN, RUN, CLOSE), "0 of 1 votes"),
        ((OPEN, ASKED, VOTED, RUN, GIVEN, CLOSE), "given before"),
        ((OPEN, ("1", replicas.request("p", 2)), VOTED, VOTED, GIVEN, RUN, CLOSE), "1 of 2 votes"),
        ((OPEN, ASKED, ("web", vote("p", verdict="deny")), GIVEN, RUN, CLOSE), "0 of 1 votes"),
        ((OPEN, ASKED, ("web", vote("p", digest="another")), GIVEN, RUN, CLOSE), "another action"),
    ],
)
def test_an_action_stands_on_an_approval_that_the_logs_tell_whole(tmp_path, steps, why):
    assert any(why in fault for fault in said(a_book(tmp_path / "ledger", *steps)))


def test_a_book_that_is_being_written_is_intact_between_a_vote_and_its_checkpoint(tmp_path):
    clock = ticking()
    logs = {name: open_process(tmp_path, name, clock=clock) for name in ("1", "web")}
    heads = open_heads(tmp_path, clock)
    logs["1"].append_now(opening("s"), durable=True)
    approve(logs["1"], logs["web"], "p", "s")
    logs["1"].close()
    report = verifier.verify_book(tmp_path, VKEY)
    assert report.intact, verifier.render(report)
    logs["web"].close()
    heads.close()
    assert verifier.verify_book(tmp_path, VKEY).intact


# The command --------------------------------------------------------------------------------------------------------------


def test_the_command_verifies_a_book_and_keeps_heads_of_all_its_logs(book, tmp_path):
    run = CliRunner()
    kept = run.invoke(app, ["checkpoint", str(book)])
    assert kept.exit_code == 0
    (tmp_path / "kept").write_text(kept.stdout)
    verified = run.invoke(app, ["verify", str(book), "--log-key", VKEY, "--head", str(tmp_path / "kept")])
    assert verified.exit_code == 0, verified.stdout
    remake(book, "1", content(book, "1")[:5])
    told = json.loads(run.invoke(app, ["verify", str(book), "--log-key", VKEY, "--json"]).stdout)
    assert not told["intact"]
    assert not told["logs"]["1"]["intact"]
    assert told["logs"]["2"]["intact"]


def test_the_command_prints_heads_as_json(book):
    told = json.loads(CliRunner().invoke(app, ["checkpoint", str(book), "--json"]).stdout)
    assert [one["origin"] for one in told] == [f"test/log/1/{name}" for name in ("1", "2", "head", "web")]
