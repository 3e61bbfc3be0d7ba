from __future__ import annotations

import json
import os
import shutil

import pytest
from tests.evidence.packages import RULES, act, answer, begin, build, entry, intact, opening, put, written
from tests.ledger.books import KEY, ORIGIN, VKEY, closing, open_log

from gatebook.errors import LedgerError
from gatebook.evidence import export, package
from gatebook.evidence.verification import verify
from gatebook.ledger.keys import load_or_create

LOG = f"logs/{ORIGIN}"


def test_a_log_that_is_being_written_gives_a_package_up_to_its_newest_checkpoint(tmp_path):
    log = open_log(tmp_path / "ledger", checkpoint_seconds=0.005)
    begin(log)
    for number in range(300):
        put(log, opening(f"s{number}"), act(f"s{number}", 1), answer(f"s{number}", 1))
        if number % 60 == 59:
            intact(written(tmp_path / "e.zip", build(tmp_path / "ledger")))
    log.close()


def test_a_wider_tile_is_cut_to_the_width_of_the_checkpoint(tmp_path):
    folder = tmp_path / "ledger"
    log = open_log(folder, checkpoint_seconds=0.005)
    begin(log)
    log.close()
    before = {name: (folder / name).read_bytes() for name in ("checkpoint", "checkpoints.log")}
    size = int(before["checkpoint"].split(b"\n")[1])
    expected = build(folder)
    log = open_log(folder)
    put(log, *(entry("exception", what="x", why="y" * 50) for _ in range(300)))
    log.close()
    assert not (folder / f"tile/entries/000.p/{size}").exists()
    (folder / "checkpoint").write_bytes(before["checkpoint"])
    assert build(folder) == expected


def test_a_damaged_ledger_gives_no_package(ledger, tmp_path):
    copy = shutil.copytree(ledger, tmp_path / "copy")
    bundle = copy / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"ruling":"block"', b'"ruling":"clock"', 1))
    with pytest.raises(LedgerError, match="the ledger is damaged"):
        export.write(tmp_path / "e.zip", build(copy), VKEY, lambda *told: None)
    bundle.unlink()
    with pytest.raises(LedgerError, match="tile/entries/000 is missing"):
        build(copy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_a_folder_without_a_ledger_is_said_to_be_none(tmp_path):
    with pytest.raises(LedgerError, match="expected the folder of a ledger"):
        export.copy_log(tmp_path)


def test_only_the_logs_own_key_signs(ledger, tmp_path):
    logs = export.copy_book(ledger)
    with pytest.raises(LedgerError, match="not there"):
        export.signing_key(tmp_path / "ledger.key", logs)
    assert not (tmp_path / "ledger.key").exists()
    load_or_create(tmp_path / "other.key")
    with pytest.raises(LedgerError, match="not the key that signed this log"):
        export.signing_key(tmp_path / "other.key", logs)


def test_a_package_is_its_owners_alone_and_takes_its_name_when_it_is_whole(files, tmp_path):
    steps = []
    export.write(tmp_path / "e.zip", files, VKEY, lambda step, done, total: steps.append(step))
    assert os.stat(tmp_path / "e.zip").st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["e.zip"]
    assert {"writing", "checking the logs"} <= set(steps)
    with pytest.raises(LedgerError, match="No such file"):
        export.write(tmp_path / "no/e.zip", files, VKEY, lambda *told: None)


def test_a_crash_that_left_the_newest_checkpoint_out_of_the_list_does_not_matter(ledger, tmp_path):
    copy = shutil.copytree(ledger, tmp_path / "copy")
    newest = (copy / "checkpoint").read_bytes()
    listed = (copy / "checkpoints.log").read_bytes()
    (copy / "checkpoints.log").write_bytes(listed.removesuffix(newest + b"\n"))
    report = intact(written(tmp_path / "e.zip", build(copy)))
    assert any("not in checkpoints.log yet" in note for note in report.notes)


def test_the_signature_is_of_dsse_and_no_checkpoint(files):
    payload, key_id, signature = package.read_envelope(files[package.ENVELOPE])
    KEY.public_key().verify(signature, b"DSSEv1 41 application/vnd.gatebook.evidence.v1+json %d " % len(payload) + payload)
    assert key_id == "+".join(VKEY.split("+")[:2])
    assert json.loads(payload)["files"].keys() == files.keys() - package.UNLISTED


def test_an_origin_that_would_lead_elsewhere_stays_inside_the_package(tmp_path):
    log = open_log(tmp_path / "ledger", origin="../..//x/.%2E")
    begin(log)
    put(log, opening("s"), closing("s"))
    log.close()
    path = written(tmp_path / "e.zip", build(tmp_path / "ledger", rules=RULES))
    report = verify(path)
    assert report.intact
    assert report.origin == "../..//x/.%2E"
