from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.packages import DIGEST, build, damaged, intact, signed, written
from tests.ledger.books import ORIGIN, VKEY

from gatebook.evidence import package
from gatebook.evidence.archive import Archive
from gatebook.evidence.verification import Demands, as_json, render, verify
from gatebook.ledger.keys import vkey
from gatebook.ledger.verifier import _NOTE, re

MALLORY = Ed25519PrivateKey.from_private_bytes(b"m" * 32)
LOG = f"logs/{ORIGIN}"


def test_a_package_as_it_was_made_is_intact_and_says_what_it_does_not_prove(sealed, files):
    report = intact(sealed)
    text = render(report)
    assert "NOT ANCHORED" not in text
    assert text.rstrip().endswith("and the lists are those that the log gives.")
    assert "Not proved:\n" in text
    assert report.files == len(files)
    assert report.rows["populations/actions.csv"] == 65
    assert json.loads(as_json(report))["intact"] is True


def test_without_a_key_the_report_begins_with_not_anchored_and_passes(sealed):
    report = intact(sealed, Demands())
    assert render(report).startswith("NOT ANCHORED: ")


def test_strict_demands_a_key_and_a_head(sealed, files):
    head = files[f"{LOG}/checkpoint"]
    for short in (Demands(strict=True), Demands(VKEY, strict=True), Demands(head=head, strict=True)):
        (fault,) = damaged(sealed, short).faults
        assert "--strict demands it" in fault.what
    intact(sealed, Demands(VKEY, head, strict=True))


def test_a_head_from_before_is_one_that_the_log_has_grown_from(sealed, files):
    first = re.match(_NOTE.pattern, files[f"{LOG}/checkpoints.log"]).group()
    intact(sealed, Demands(VKEY, first))
    wrong = damaged(sealed, Demands(VKEY, first.replace(b"\n", b"\n1", 1)))
    assert {fault.file for fault in wrong.faults} == {"--head"}


def test_another_log_key_is_found_even_though_all_fits_among_itself(sealed):
    report = damaged(sealed, Demands(log_key=vkey(ORIGIN, MALLORY)))
    assert package.ENVELOPE in {fault.file for fault in report.faults}
    assert any("names another key" in fault.what for fault in report.faults)
    assert "--log-key" in {fault.file for fault in damaged(sealed, Demands(log_key="nonsense")).faults}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_byte_changed_in_any_file_is_found_and_placed(sealed, tmp_path_factory, data):
    archive = Archive(sealed)
    name = data.draw(st.sampled_from(sorted(name for name in archive if archive.members[name].size)))
    member = archive.members[name]
    at = data.draw(st.integers(0, member.size - 1))
    content = bytearray(sealed.read_bytes())
    content[member.offset + at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.zip"
    path.write_bytes(content)
    report = damaged(path)
    faults = [fault for fault in report.faults if fault.file == name]
    assert faults, render(report)
    if name.endswith((".csv", ".html", ".txt", "controls.json", ".query.json")) or "/tile/0/" in name:
        assert at in {fault.offset for fault in faults}
    if "/tile/entries/" in name:
        assert at - 2000 < faults[0].offset <= at
        assert faults[0].index is not None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_byte_changed_anywhere_in_the_file_itself_is_found(sealed, tmp_path_factory, data):
    content = bytearray(sealed.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 4000, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "anywhere.zip"
    path.write_bytes(content)
    assert all(fault.file or fault.offset is not None for fault in damaged(path).faults)


@pytest.mark.parametrize("cut", [1, 100, 10_000, 200_000])
def test_a_package_that_was_cut_off_is_found(sealed, tmp_path, cut):
    path = tmp_path / "cut.zip"
    path.write_bytes(sealed.read_bytes()[:-cut])
    damaged(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 100, b"PK\3\4" * 50, b"PK\1\2" + bytes(100)])
def test_what_is_no_package_is_damaged_and_nothing_worse(tmp_path, content):
    path = tmp_path / "odd.zip"
    path.write_bytes(content)
    damaged(path)


def test_bytes_after_the_end_are_found(sealed, tmp_path):
    path = tmp_path / "longer.zip"
    path.write_bytes(sealed.read_bytes() + b"\0")
    (fault,) = damaged(path).faults
    assert fault.offset == sealed.stat().st_size


# Somebody with the key makes the manifest anew: the log still tells --------------------------------------------------------


def rows(files, name):
    return files[name].splitlines(keepends=True)


def test_a_row_taken_out_of_a_list_is_found_at_its_line_though_the_manifest_was_signed_again(files, tmp_path):
    name = "populations/actions.csv"
    lines = rows(files, name)
    forged = signed(files | {name: b"".join(lines[:3] + lines[4:])})
    (fault,) = damaged(written(tmp_path / "e.zip", forged)).faults
    assert (fault.file, fault.index) == (name, int(lines[3].split(b",")[1]))
    assert "line 4" in fault.what
    assert "not here: 1, rows here that are not of the log: 0" in fault.what


def test_a_row_added_to_a_list_is_found(files, tmp_path):
    name = "populations/approvals.csv"
    lines = rows(files, name)
    more = lines[1].replace(b"p1", b"p9")
    (fault,) = damaged(written(tmp_path / "e.zip", signed(files | {name: b"".join([*lines, more])}))).faults
    assert fault.file == name
    assert "not here: 0, rows here that are not of the log: 1" in fault.what


def test_rows_in_another_order_are_found(files, tmp_path):
    name = "populations/access.csv"
    lines = rows(files, name)
    lines[2], lines[3] = lines[3], lines[2]
    (fault,) = damaged(written(tmp_path / "e.zip", signed(files | {name: b"".join(lines)}))).faults
    assert fault.file == name
    assert "another order" in fault.what


@pytest.mark.parametrize(
    "name", ["controls.json", "report.html", "exceptions.csv", "coverage.csv", "README.txt", "restarts.csv"]
)
def test_anything_that_follows_from_the_log_cannot_be_told_otherwise(files, tmp_path, name):
    forged = files[name].replace(b"deviations", b"operated!!").replace(b"crash", b"clean").replace(b"a", b"e", 1)
    assert name in {fault.file for fault in damaged(written(tmp_path / "e.zip", signed(files | {name: forged}))).faults}


def test_a_log_with_a_hole_is_found_though_the_manifest_was_signed_again(files, tmp_path):
    bundle = f"{LOG}/tile/entries/000"
    holed = {name: data for name, data in files.items() if name != bundle}
    report = damaged(written(tmp_path / "e.zip", signed(holed)))
    assert any(fault.index == 0 or "missing" in fault.what for fault in report.faults)
    content = files[bundle]
    length = int.from_bytes(content[:2]) + 2
    report = damaged(written(tmp_path / "e.zip", signed(files | {bundle: content[length:]})))
    assert bundle in {fault.file for fault in report.faults} or any(
        "not those that were signed" in f.what for f in report.faults
    )


def test_a_manifest_by_another_key_is_found(files, tmp_path):
    (fault,) = damaged(written(tmp_path / "e.zip", signed(files, MALLORY)), Demands()).faults
    assert (fault.file, fault.what) == (package.ENVELOPE, "the signature does not fit the manifest")


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"files": {}},
        {"files": []},
        {"logs": []},
        {"logs": [{}]},
        {"logs": {}},
        {"logs": [{"origin": [], "vkey": VKEY, "size": 3, "root": ""}]},
        {"logs": [{"origin": ORIGIN, "vkey": VKEY, "size": 3, "root": ""}] * 2},
        {"to": 0},
        {"from": "yesterday"},
        {"tool": "\ud800"},
        {"logs": [{"origin": "../../up", "vkey": VKEY, "size": 3, "root": ""}]},
        {"logs": [{"origin": ORIGIN, "vkey": VKEY, "size": 10**15, "root": ""}]},
        {"logs": [{"origin": ORIGIN, "vkey": "none", "size": 5, "root": ""}]},
        {"to": 10**30},
    ],
)
def test_a_manifest_that_says_something_else_is_found_and_ends_well(files, tmp_path, changes):
    damaged(written(tmp_path / "e.zip", signed(files, **changes)))
    damaged(written(tmp_path / "e.zip", signed(files, **changes)), Demands())


def test_a_shorter_period_than_the_manifest_tells_is_found(files, tmp_path):
    about, _ = package.read_manifest(files[package.MANIFEST])
    report = damaged(written(tmp_path / "e.zip", signed(files, to=about.period.end - 5_000_000)))
    assert {"populations/access.csv", "coverage.csv", "report.html"} & {fault.file for fault in report.faults}


def test_files_that_do_not_belong_are_found_listed_or_not(files, tmp_path):
    for name in ("extra.txt", "populations/more.csv", f"{LOG}/notes", "policies/sha256-00/x.cedar"):
        unlisted = damaged(written(tmp_path / "e.zip", files | {name: b"x"}))
        assert (name, "the file is not in the manifest") in {(fault.file, fault.what) for fault in unlisted.faults}
        listed = damaged(written(tmp_path / "e.zip", signed(files | {name: b"x"})))
        assert any(fault.file.startswith(name.rpartition("/")[0]) for fault in listed.faults)


def test_a_name_that_is_both_file_and_folder_is_found(files, tmp_path):
    name = f"{LOG}/checkpoint/more"
    report = damaged(written(tmp_path / "e.zip", signed({**files, name: b"x"})))
    assert (name, "a name that is both a file and a folder") in {(fault.file, fault.what) for fault in report.faults}


def test_each_file_that_is_taken_away_is_missed(files, tmp_path):
    for name in files:
        left = {other: data for other, data in files.items() if other != name}
        faults = damaged(written(tmp_path / "e.zip", left)).faults
        assert name in {fault.file for fault in faults}, name
        if name not in package.UNLISTED and name != package.PROGRAM:
            assert not verify(written(tmp_path / "e.zip", signed(left)), Demands()).intact, name


def test_rules_that_were_changed_no_longer_have_their_digest(files, tmp_path):
    name = f"{package.policy_folder(DIGEST)}/agents.cedar"
    report = damaged(written(tmp_path / "e.zip", signed(files | {name: files[name] + b"// more\n"})))
    assert any("have the digest" in fault.what for fault in report.faults)


def test_an_older_log_under_a_newer_manifest_is_found(files, tmp_path):
    first = re.match(_NOTE.pattern, files[f"{LOG}/checkpoints.log"]).group()
    older = signed(files | {f"{LOG}/checkpoint": first})
    report = damaged(written(tmp_path / "e.zip", older))
    assert {package.MANIFEST, f"{LOG}/checkpoint"} & {fault.file for fault in report.faults}


def test_two_exports_are_the_same_bytes(ledger, sealed, tmp_path):
    assert written(tmp_path / "again.zip", build(ledger)).read_bytes() == sealed.read_bytes()
