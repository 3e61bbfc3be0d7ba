"""Makes a package out of the folder of a ledger, also while the gateway writes it. It only reads, up to the newest checkpoint.

The copy holds exactly the files that a log of that size has, so that the same checkpoint and period give the same package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.evidence import archive, package, program
from gatebook.evidence.entries import Period, Record, folder, records, tile, tiles
from gatebook.evidence.verification import TOOL, Demands, verify
from gatebook.ledger.keys import load_or_create, vkey
from gatebook.ledger.reader import Reader
from gatebook.ledger.verifier import Key, read_head

TRIES = 20  # while the gateway writes, a partial tile may give way to its next between two looks
TRY_SECONDS = 0.02

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """A log as it stood at its newest checkpoint; ``files`` by their names in its folder."""

    key: Key
    size: int
    root: str
    files: Mapping[str, bytes]

    def records(self) -> list[Record]:
        """Every entry."""
        return list(records(self.key.origin, self.size, lambda name: self.files.get(name, b"")))


def copy_log(place: Path) -> Copy:
    """Copy the log of a folder. Raises LedgerError if it is not whole."""
    try:
        text = (place / "log.vkey").read_bytes()
        key = Key.parse(text.decode())
        note = (place / "checkpoint").read_bytes()
        head = read_head(note, key, "checkpoint")
        files = {"log.vkey": text, "checkpoint": note, "checkpoints.log": _heads(place, note)}
        for level, number, width in tiles(head.size):
            files[tile(level, number, width)] = Reader(place).tile(level, number, width)
    except OSError as error:
        raise LedgerError(f"{error.filename}: {error.strerror}: expected the folder of a ledger") from error
    except ValueError as error:
        raise LedgerError(f"{place}: {error}: check it with gatebook ledger verify") from error
    return Copy(key, head.size, head.root.hex(), files)


def _heads(place: Path, newest: bytes) -> bytes:
    """The list of checkpoints up to the newest; after a crash it may lack that one."""
    for _ in range(TRIES):
        data = (place / "checkpoints.log").read_bytes()
        at = data.find(newest + b"\n")
        if at >= 0:
            return data[: at + len(newest) + 1]
        time.sleep(TRY_SECONDS)  # the gateway may be between its two writes
    return data


def signing_key(path: Path, key: Key) -> Ed25519PrivateKey:
    """The log's own key. Raises LedgerError if it is not here, or is another log's."""
    if not path.exists():
        raise LedgerError(f"{path}: not there: a package is signed by the log's key, so it is made where the gateway runs")
    found = load_or_create(path)
    if vkey(key.origin, found) != key.text:
        raise LedgerError(f"{path}: not the key that signed this log")
    return found


def whole_period(log: Copy, start: int | None, end: int | None) -> Period:
    """The period asked for; by default from the first entry to the newest. Raises LedgerError if nothing can be in it."""
    entries = log.records()
    start = entries[0].time if start is None else start
    end = entries[-1].time + 1 if end is None else end
    if not 0 <= start < end:
        raise LedgerError("the period ends before it begins: expected --from before --to")
    return Period(start, end)


def build(log: Copy, key: Ed25519PrivateKey, period: Period, rules: Mapping[str, str]) -> dict[str, bytes]:
    """Every file of the package. ``rules`` are the texts at hand; they go in if the log says that they were in force."""
    about = package.About(log.key.origin, log.key.text, log.size, log.root, period, TOOL)
    entries = log.records()
    published = {one.text("digest") for one in entries if one.kind == "policy.publish"}
    texts = {package.policy_digest(rules)} & published if rules else set()
    files = {f"{folder(about.origin)}/{name}": data for name, data in log.files.items()}
    files |= package.derive(about, entries, texts).files
    files |= package.policy_members(rules) if texts else {}
    files[package.PROGRAM] = program.make()
    listed = package.manifest(about, files)
    signature = key.sign(package.pae(listed))
    files[package.MANIFEST] = listed
    files[package.ENVELOPE] = package.envelope(listed, f"{log.key.origin}+{log.key.id.hex()}", signature)
    return files


def write(path: Path, files: Mapping[str, bytes], log_key: str, progress: Progress) -> None:
    """Write the package, check it as an auditor would, and only then give it its name. Raises LedgerError."""
    fresh = path.with_name(path.name + ".new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            archive.write(file, files, lambda done, total: progress("writing", done, total))
        report = verify(fresh, Demands(log_key=log_key), lambda step: progress(f"checking {step}", 0, 0))
        if not report.intact:
            raise LedgerError(f"the ledger is damaged, so there is no package: {report.faults[0]}")
        os.replace(fresh, path)
    except OSError as error:
        raise LedgerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise LedgerError(f"{path}: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
