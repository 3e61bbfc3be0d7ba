"""Packages of several logs: workers, web and head."""

from __future__ import annotations

import csv
import io
import shutil

import pytest
from tests.evidence.packages import build, damaged, intact, signed, written
from tests.ledger.replicas import VKEY, make_book, open_heads, open_process, ticking

from gatebook.evidence import export, package
from gatebook.evidence.verification import Demands, verify
from gatebook.ledger.verifier import Key

NAMES = ("1", "2", "head", "web")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("book") / "ledger", 70)


@pytest.fixture(scope="module")
def files(book):
    return build(book)


def rows(files, name):
    return list(csv.DictReader(io.StringIO(files[name].decode())))


def resigned(files):
    """With the manifest made new by whoever holds the key."""
    made = signed(files)
    known = Key.parse(VKEY)
    payload, _, signature = package.read_envelope(made[package.ENVELOPE])
    return made | {package.ENVELOPE: package.envelope(payload, f"{known.origin}+{known.id.hex()}", signature)}


def test_every_log_is_in_the_package_and_verified(files, tmp_path):
    report = intact(written(tmp_path / "e.zip", files), Demands(VKEY))
    assert list(report.logs) == [f"test/log/1/{name}" for name in NAMES]
    assert not [one for one in report.not_proved if "no head log" in one]
    assert files["trust/log.vkeys"].decode().count("\n") == 4


def test_the_key_of_any_log_checks_the_package_and_a_head_of_each_pins_it(files, book, tmp_path):
    path = written(tmp_path / "e.zip", files)
    heads = b"\n".join((book / name / "checkpoint").read_bytes() for name in NAMES)
    for name in NAMES:
        intact(path, Demands((book / name / "log.vkey").read_text(), heads, strict=True))


def test_rows_tell_their_log_and_entries_of_other_logs_by_name(files):
    assert {row["origin"] for row in rows(files, "populations/access.csv")} == {"test/log/1/1", "test/log/1/2"}
    (approval,) = rows(files, "populations/approvals.csv")
    assert approval["origin"] == "test/log/1/2"
    assert approval["verdict_index"].startswith("test/log/1/web ")
    assert approval["votes"].startswith("approve by x in test/log/1/web ")
    assert {row["origin"] for row in rows(files, "restarts.csv")} == {f"test/log/1/{name}" for name in NAMES}
    assert {row["origin"] for row in rows(files, "coverage.csv")} == {f"test/log/1/{name}" for name in NAMES}
    assert {row["log"] for row in rows(files, "heads.csv")} == {"test/log/1/1", "test/log/1/2", "test/log/1/web"}


@pytest.mark.parametrize("name", NAMES)
def test_a_byte_changed_in_any_log_is_named_with_its_log_and_entry(files, tmp_path, name):
    bundle = next(one for one in files if one.startswith(f"logs/test/log/1/{name}/tile/entries/"))
    data = files[bundle]
    at = data.index(b'"build":"sha256:') + 20
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    report = damaged(written(tmp_path / "e.zip", files | {bundle: changed}), Demands(VKEY))
    assert (bundle, 0) in {(fault.file, fault.index) for fault in report.faults}
    forged = damaged(written(tmp_path / "f.zip", resigned(files | {bundle: changed})), Demands(VKEY))
    assert any(fault.file.startswith(f"logs/test/log/1/{name}/") and fault.index is not None for fault in forged.faults)


def without(files, name):
    return {path: data for path, data in files.items() if not path.startswith(f"logs/test/log/1/{name}/")}


@pytest.mark.parametrize("name", NAMES)
def test_a_log_left_out_is_found_though_the_manifest_was_signed_again(book, tmp_path, name):
    copy = shutil.copytree(book, tmp_path / "copy")
    shutil.rmtree(copy / name)
    report = damaged(written(tmp_path / "e.zip", build(copy)), Demands(VKEY if name != "head" else None))
    assert any("missing" in fault.what for fault in report.faults)


def test_a_log_cut_out_of_a_package_is_found(files, tmp_path):
    report = damaged(written(tmp_path / "e.zip", resigned(without(files, "1"))), Demands(VKEY))
    assert any(fault.file.startswith("logs/test/log/1/1") for fault in report.faults)


def test_logs_of_workers_that_are_gone_stay_in_the_package(book, tmp_path):
    copy = shutil.copytree(book, tmp_path / "copy")
    late = ticking()
    for _ in range(400):
        late()
    clock = lambda: late() + 3_600_000_000  # noqa: E731
    log = open_process(copy, "1", clock=clock)
    heads = open_heads(copy, clock)
    log.close()
    heads.close()
    made = build(copy)
    intact(written(tmp_path / "e.zip", made), Demands(VKEY))
    assert {row["origin"] for row in rows(made, "populations/access.csv")} == {"test/log/1/1", "test/log/1/2"}
    states = {row["state"] for row in rows(made, "coverage.csv") if row["origin"] == "test/log/1/2"}
    assert "after the log" in states


def test_a_worker_that_came_later_has_no_gap_before_it(book, tmp_path):
    copy = shutil.copytree(book, tmp_path / "copy")
    late = ticking()
    clock = lambda: late() + 3_600_000_000  # noqa: E731
    log = open_process(copy, "3", clock=clock)
    open_heads(copy, clock).close()
    log.close()
    made = build(copy)
    states = [row["state"] for row in rows(made, "coverage.csv") if row["origin"] == "test/log/1/3"]
    assert states[0] == "before the log"
    assert not [row for row in rows(made, "exceptions.csv") if row["what"] == "gap" and row["origin"].endswith("/3")]


def test_a_single_log_says_that_others_may_be_missing(book, tmp_path):
    copy = shutil.copytree(book, tmp_path / "copy")
    for name in ("2", "head", "web"):
        shutil.rmtree(copy / name)
    report = verify(written(tmp_path / "e.zip", build(copy)), Demands())
    assert report.intact
    assert any("no head log is here" in one for one in report.not_proved)


def test_the_default_period_ends_with_the_newest_entry_of_the_workers(book):
    logs = export.copy_book(book)
    period = export.whole_period(logs, None, None)
    newest = max(log.newest for log in logs if log.key.origin.rpartition("/")[2] in ("1", "2"))
    assert period.end == newest + 1
