from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.books import KEY, ORIGIN, VKEY, closing, entries, exception, fill, intact, open_log, opening
from tests.ledger.test_ledger_tree import root_of

from gatebook.ledger import verifier
from gatebook.ledger.disk import Disk
from gatebook.ledger.entries import canonical
from gatebook.ledger.keys import raw_public, vkey
from gatebook.ledger.note import Checkpoint, Signer
from gatebook.ledger.scribe import Past, Scribe
from gatebook.ledger.tree import leaf_hash
from gatebook.ledger.volume import Shelf, TileFiles
from gatebook.ledger.wal import Tail, Wal

MALLORY = Ed25519PrivateKey.from_private_bytes(b"m" * 32)
SEGMENT = 1 << 17


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A closed log of three runs: several segments, full and partial bundles, a dozen sessions."""
    folder = tmp_path_factory.mktemp("book") / "ledger"
    for _ in range(3):
        log = open_log(folder, checkpoint_seconds=0.005, segment_bytes=SEGMENT)
        fill(log, 4, 70)
        log.close()
    return folder


@pytest.fixture
def copy(book, tmp_path):
    return Path(copytree(book, tmp_path / "copy"))


def damage(folder, **options):
    report = verifier.verify(folder, options.pop("log_key", VKEY), **options)
    assert not report.intact
    assert "DAMAGED" in verifier.render(report)
    return report


def test_an_untouched_log_verifies(book):
    report = intact(book)
    assert report.size == len(entries(book))
    assert report.kinds["session.open"] == report.kinds["session.close"] == 12
    assert report.rulings == {"allow": 840}
    assert report.closed
    assert report.counts["segments"] >= 3
    assert report.notes == []
    text = verifier.render(report)
    assert text.endswith(f"INTACT: all {report.size:,} entries are as they were signed.")
    assert "NOT ANCHORED" not in text


def test_every_file_of_the_log_is_there_to_be_flipped(book):
    names = {path.relative_to(book).as_posix() for path in book.rglob("*") if path.is_file()}
    for name in ("checkpoint", "checkpoints.log", "log.vkey", "lock", "wal/next", "tile/0/000", "tile/entries/000"):
        assert name in names
    assert any(".p/" in name for name in names)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_byte_changed_anywhere_is_found_and_placed(book, data):
    files = sorted(path for path in book.rglob("*") if path.is_file() and path.stat().st_size)
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    used = max(1, len(content.rstrip(b"\x00")))
    offset = data.draw(st.integers(0, used - 1) | st.integers(0, len(content) - 1))
    changed = content[offset] ^ data.draw(st.integers(1, 255))
    try:
        path.write_bytes(content[:offset] + bytes([changed]) + content[offset + 1 :])
        report = damage(book)
    finally:
        path.write_bytes(content)
    name = path.relative_to(book).as_posix()
    faults = [fault for fault in report.faults if fault.file == name]
    assert faults, verifier.render(report)
    if name.startswith(("wal/", "tile/")):
        assert offset in {fault.offset for fault in faults}
    if name.startswith(("wal/0", "tile/entries", "tile/0")) and offset < used:
        assert all(fault.index is not None for fault in faults)


def test_a_changed_bundle_is_placed_by_entry_session_and_time(copy):
    path = copy / "tile/entries/001"
    content = bytearray(path.read_bytes())
    at = content.index(b'"text":"SELECT')
    content[at + 10] ^= 1
    path.write_bytes(content)
    (fault,) = damage(copy).faults
    changed = json.loads(entries(copy)[fault.index])
    assert (fault.file, fault.offset) == ("tile/entries/001", at + 10)
    assert (fault.session, fault.time) == (changed["sid"], changed["time"])
    assert f"entry {fault.index}, session {changed['sid']}, {verifier.when(changed['time'])}" in str(fault)


def test_several_changes_are_each_told(copy):
    for name, offset in (("tile/entries/000", 50), ("tile/0/001", 99), ("wal/000000000000", 400), ("checkpoints.log", 60)):
        content = bytearray((copy / name).read_bytes())
        content[offset] ^= 1
        (copy / name).write_bytes(content)
    assert {fault.file for fault in damage(copy).faults} == {
        "tile/entries/000",
        "tile/0/001",
        "wal/000000000000",
        "checkpoints.log",
    }


def test_a_file_added_or_removed_is_found(copy):
    everything = sorted(path for path in copy.rglob("*") if path.is_file() and path.name not in ("lock", "next"))
    for path in everything:
        if ".p/" in path.as_posix() or path.name == "000000000000":
            continue  # partial tiles of older checkpoints may go, and a first segment that full bundles make needless
        content = path.read_bytes()
        path.unlink()
        assert not verifier.verify(copy, VKEY).intact, path
        path.write_bytes(content)
    for name in ("extra", "wal/notes.txt", "tile/0/x", "tile/entries/099", "tile/7/000", "wal/000000999999"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"x")
        assert name in {fault.file for fault in damage(copy).faults}
        (copy / name).unlink()


def test_a_changed_write_ahead_log_with_a_right_checksum_is_told_from_a_changed_bundle(copy):
    found = entries(copy)
    found[5] = found[5].replace(b"customers", b"customerz")
    rewrite_wal(copy, found)
    (fault,) = damage(copy).faults
    assert (fault.file, fault.index) == ("wal/000000000000", 5)
    assert "another entry" in fault.what


# Whoever can write the folder rebuilds every file, but has no key of the log ----------------------------------------------


def rewrite_wal(folder, found):
    rmtree(folder / "wal")
    (folder / "wal").mkdir()
    wal = Wal(folder / "wal", Tail(None, 0, 0, 0), disk=Disk(), segment_bytes=SEGMENT)
    wal.write(found)
    wal.prepare()
    wal.close()


def rebuild(folder, found, key=None):
    """Write-ahead log, tiles and bundles made again for these entries; with a key, the checkpoints too."""
    rewrite_wal(folder, found)
    rmtree(folder / "tile")
    shelf = Shelf(TileFiles(folder / "tile", Disk()))
    for entry in found:
        shelf.add([entry])
    shelf.put_partials()
    if key is not None:
        note = Signer(ORIGIN, key).sign(Checkpoint(shelf.size, shelf.root())).encode()
        (folder / "checkpoint").write_bytes(note)
        (folder / "checkpoints.log").write_bytes(note + b"\n")


TAMPERINGS = {
    "removed": lambda found, at: found[:at] + found[at + 1 :],
    "moved": lambda found, at: [*found[:at], found[at + 1], found[at], *found[at + 2 :]],
    "inserted": lambda found, at: [*found[:at], found[at].replace(b"customers", b"customerz"), *found[at:]],
    "doubled": lambda found, at: [*found[:at], found[at], *found[at:]],
    "altered": lambda found, at: [
        *found[:at],
        found[at].replace(b"customers", b"customerz"),
        *found[at + 1 :],
    ],
    "cut off": lambda found, at: found[:at],
}


@pytest.mark.parametrize("how", TAMPERINGS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_log_rebuilt_without_the_key_is_found_and_bounded(copy, how, part):
    found = entries(copy)
    at = next(i for i in range(int(len(found) * part), len(found)) if b'"type":"action"' in found[i] and b"s2" in found[i])
    rebuild(copy, TAMPERINGS[how](found, at))
    report = damage(copy)
    bounds = [fault for fault in report.faults if fault.what.startswith("entries ")]
    assert bounds, verifier.render(report)
    numbers = [int(word) for word in bounds[0].what.split() if word.isdecimal()]
    assert numbers[0] <= at <= numbers[1]


@pytest.mark.parametrize("how", TAMPERINGS)
def test_what_no_checkpoint_but_the_last_covers_is_bounded_though_entries_at_the_end_are_missing(tmp_path, how):
    folder = tmp_path / "ledger"
    for _ in range(2):
        log = open_log(folder, segment_bytes=SEGMENT)  # signs when it opens and when it closes, never between
        fill(log, 4, 70)
        log.close()
    found = entries(folder)
    at = next(i for i in range(int(len(found) * 0.7), len(found)) if b'"type":"action"' in found[i])
    rebuild(folder, TAMPERINGS[how](found, at))
    bounds = next(fault for fault in damage(folder).faults if fault.what.startswith("entries "))
    low, high = (int(word) for word in bounds.what.replace(":", " ").split()[1:4:2])
    assert low <= at <= high == len(found) - 1
    assert f"up to {low} the log is as it was signed" in bounds.what


@pytest.mark.parametrize("how", TAMPERINGS)
def test_a_log_rebuilt_with_another_key_is_found_by_whoever_knows_the_key(copy, how):
    rebuild(copy, TAMPERINGS[how](entries(copy), 300), MALLORY)
    damage(copy)
    (copy / "log.vkey").write_text(vkey(ORIGIN, MALLORY) + "\n")
    report = damage(copy)
    assert {"log.vkey", "checkpoint"} <= {fault.file for fault in report.faults}


def test_without_a_key_from_outside_the_report_says_so_first(copy):
    report = verifier.verify(copy)
    assert report.intact
    assert not report.anchored
    assert verifier.render(report).startswith("NOT ANCHORED: ")


@pytest.mark.parametrize("how", ["removed", "moved", "inserted", "doubled", "altered"])
def test_even_the_stolen_key_does_not_make_up_for_the_numbering_and_the_seals(copy, how):
    found = entries(copy)
    at = next(i for i in range(300, len(found)) if b'"type":"action"' in found[i])
    rebuild(copy, TAMPERINGS[how](found, at), KEY)
    assert any("session" in fault.what or "seal" in fault.what for fault in damage(copy).faults)


def test_a_folder_put_back_to_an_older_checkpoint_is_found_by_a_kept_one(copy):
    kept = (copy / "checkpoint").read_bytes()
    notes = (copy / "checkpoints.log").read_bytes().split(b"\n\xe2\x80\x94 ")
    starts = (copy / "checkpoints.log").read_bytes().split(b"test/log/0\n")[1:]
    sizes = [int(note.split(b"\n")[0]) for note in starts]
    assert len(notes) > len(sizes) / 2
    older = sizes[2]
    raw = (copy / "checkpoints.log").read_bytes()
    ends = [match.end() for match in verifier.re.finditer(verifier._NOTE.pattern + rb"\n", raw)]
    rebuild(copy, entries(copy)[:older])
    (copy / "checkpoints.log").write_bytes(raw[: ends[2]])
    (copy / "checkpoint").write_bytes(raw[ends[1] : ends[2] - 1])
    assert verifier.verify(copy, VKEY).intact  # a key alone cannot tell: docs/ledger.md says so
    report = damage(copy, head=kept)
    assert "cut back" in report.faults[0].what


def test_an_older_checkpoint_file_is_found_by_the_list_of_checkpoints(copy):
    raw = (copy / "checkpoints.log").read_bytes()
    first = verifier.re.match(verifier._NOTE.pattern, raw)
    (copy / "checkpoint").write_bytes(first.group())
    assert any("was put in the place of a newer" in fault.what for fault in damage(copy).faults)


def test_a_checkpoint_taken_out_of_the_list_is_found_by_its_seal(copy):
    raw = (copy / "checkpoints.log").read_bytes()
    ends = [match.end() for match in verifier.re.finditer(verifier._NOTE.pattern + rb"\n", raw)]
    (copy / "checkpoints.log").write_bytes(raw[: ends[0]] + raw[ends[1] :])
    (fault,) = damage(copy).faults
    assert "is missing from checkpoints.log" in fault.what


# What entries say, in logs that are signed well -----------------------------------------------------------------------------


def signed(folder, change):
    """A small log of one session, each entry as ``change`` gives it (None drops it), sealed and signed with the real key."""
    scribe = Scribe(ORIGIN, KEY, count(1_700_000_000_000_000, 1000).__next__, Past())
    story = [
        (
            "log.boot",
            {"software": "s", "build": "b", "restart": "first", "size": 0, "torn_bytes": 0, "repaired": 0, "left_open": 0},
        ),
        ("session.open", opening("s").fields),
        ("exception", exception("e").fields),
        ("log.heartbeat", {"open_sids": ["s"], "part": 1, "parts": 1, "last_cosigned": 0}),
        ("session.close", closing("s").fields),
        ("log.close", {"size": 5}),
    ]
    composed = [json.loads(scribe.compose(kind, fields, 0)[0]) for kind, fields in story]
    found = [canonical(changed) for fields in composed if (changed := change(fields)) is not None]
    found.append(scribe.seal(len(found), root_of([leaf_hash(entry) for entry in found])))
    (folder / "wal").mkdir()
    (folder / "tile").mkdir()
    (folder / "lock").touch()
    (folder / "log.vkey").write_text(VKEY + "\n")
    rebuild(folder, found, KEY)
    return verifier.verify(folder, VKEY)


def test_entries_that_fit_together_are_intact(tmp_path):
    report = signed(tmp_path, lambda fields: fields)
    assert report.intact, verifier.render(report)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("session.open", None, "never opened"),
        ("session.close", None, "sessions open"),
        ("session.close", {"count": 9}, "closed with 9 entries"),
        ("session.close", {"seq": 2}, "expected its entry 1, found 2"),
        ("session.open", {"seq": 1}, "expected its entry 0"),
        ("log.heartbeat", {"open_sids": ["ghost"]}, "ghost"),
        ("exception", {"origin": "other"}, "another log"),
        ("exception", {"v": 2}, "version"),
        ("exception", {"id": "1"}, "id"),
        ("exception", {"time": 1}, "time goes back"),
        ("log.boot", {"restart": "clean"}, "log.boot does not describe"),
        ("log.boot", None, "does not begin with log.boot"),
        ("log.close", {"size": 1}, "another size"),
        ("session.open", {"seq": "x"}, "wrong type"),
        ("log.boot", {"size": []}, "log.boot"),
        ("log.heartbeat", {"open_sids": [[]]}, "wrong type"),
    ],
)
def test_entries_that_do_not_fit_together_are_found(tmp_path, kind, change, said):
    def changed(fields):
        if fields["type"] != kind:
            return fields
        return None if change is None else fields | change

    report = signed(tmp_path, changed)
    assert any(said in fault.what for fault in report.faults), verifier.render(report)


@pytest.mark.parametrize(
    "entry",
    [
        b'{"v":1, "type":"x"}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":2}',
        b'{"a":1.5}',
        b'{"a":null}',
        b"[]",
        b"\xff",
        b"[" * 5000,
        b'{"a":1e400}',
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_an_entry_that_is_not_canonical_is_no_entry(entry, fast, monkeypatch):
    monkeypatch.setattr(verifier, "orjson", verifier.orjson if fast else None)
    with pytest.raises(ValueError, match=r"not JSON|canonical"):
        verifier._fields(entry)


def test_what_a_hostile_folder_says_does_not_reach_the_terminal_raw(copy):
    (copy / "tile/\x1b[2J").write_bytes(b"x")
    assert "\x1b" not in verifier.render(damage(copy))


# A log that is being written, or was left by a crash --------------------------------------------------------------------


def test_a_log_that_is_being_written_verifies_up_to_its_newest_checkpoint(tmp_path):
    log = open_log(tmp_path, checkpoint_seconds=0.002, heartbeat_seconds=0.01, segment_bytes=SEGMENT)
    sizes = []
    for session in range(12):
        log.append_now(opening(f"n{session}"), durable=True)
        for number in range(60):
            log.append_now(exception(f"e{number}"), durable=False)
        report = intact(tmp_path)
        assert not report.closed
        sizes.append(report.size)
    log.close()
    assert sizes == sorted(sizes)
    assert intact(tmp_path).closed


def test_entries_newer_than_the_checkpoint_are_told_apart(tmp_path):
    log = open_log(tmp_path)
    for n in range(300):
        log.append_now(exception(f"e{n}"), durable=True)
    report = intact(tmp_path)
    assert (report.size, report.later) == (2, 300)
    assert "300 more are written and not signed yet" in verifier.render(report)
    log.close()


def test_a_copy_without_a_write_ahead_log_verifies_and_says_so(copy):
    rmtree(copy / "wal")
    assert "no write-ahead log" in intact(copy).notes[0]


# The file by itself -----------------------------------------------------------------------------------------------------------

ALONE = Path(verifier.__file__)


@pytest.mark.parametrize(
    "python", [[sys.executable], [sys.executable, "-I", "-S"]], ids=["with packages", "standard library alone"]
)
def test_the_verifier_runs_by_itself(copy, tmp_path, python):
    script = tmp_path / "verifier.py"
    script.write_bytes(ALONE.read_bytes())
    good = subprocess.run([*python, script, copy, "--log-key", VKEY], capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, "")
    assert "INTACT" in good.stdout
    content = bytearray((copy / "wal/000000000000").read_bytes())
    content[1000] ^= 4
    (copy / "wal/000000000000").write_bytes(content)
    bad = subprocess.run([*python, script, copy, "--log-key", VKEY, "--json"], capture_output=True, text=True)
    assert bad.returncode == 1
    (fault,) = json.loads(bad.stdout)["faults"]
    assert (fault["file"], fault["offset"]) == ("wal/000000000000", 1000)
    wrong = subprocess.run([*python, script, copy, "--head", tmp_path / "none"], capture_output=True, text=True)
    assert wrong.returncode == 2


def test_a_folder_without_a_ledger_is_not_intact(tmp_path):
    assert "no ledger" in damage(tmp_path).faults[0].what
    assert "cannot be read" in damage(ALONE).faults[0].what or "no ledger" in damage(ALONE).faults[0].what


@pytest.mark.parametrize("text", ["", "x", "a+b+c", VKEY[:-4] + "AAA=", VKEY.replace("test", "tent")])
def test_a_text_that_is_no_key_is_told(copy, text):
    assert "not a verifier key" in damage(copy, log_key=text).faults[0].what


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
def test_pure_python_and_openssl_agree_on_signatures(seed, message, flip):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = raw_public(key), key.sign(message)
    assert verifier.pure_ed25519(public, signature, message)
    broken = bytearray(signature)
    broken[flip // 8] ^= 1 << flip % 8
    assert verifier.pure_ed25519(public, bytes(broken), message) is verifier.ed25519(public, bytes(broken), message) is False
    assert not verifier.pure_ed25519(public, signature, message + b"x")


def test_a_signature_with_a_scalar_beyond_the_order_is_refused():
    signature = KEY.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + verifier._L
    forged = signature[:32] + scalar.to_bytes(32, "little")
    assert not verifier.pure_ed25519(raw_public(KEY), forged, b"message")
    assert not verifier.ed25519(raw_public(KEY), forged, b"message")


def test_checkpoints_give_the_root_that_rfc_6962_gives(book):
    leaves = [leaf_hash(entry) for entry in entries(book)]
    report = intact(book)
    key = verifier.Key.parse(VKEY)
    assert verifier.read_head((book / "checkpoint").read_bytes(), key, "checkpoint").root == root_of(leaves)
    assert report.size == len(leaves)
