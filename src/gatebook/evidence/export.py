"""Makes a package out of the folder of a ledger, also while the gateway writes it: every log up to its newest checkpoint.

The head log is copied first, since what it knows of the others is in them by then; the web's last and a moment later, since
the votes for what the workers' logs hold are under its checkpoint then. The copy holds exactly the files that logs of those
sizes have, so that the same checkpoints and period give the same package.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.evidence import archive, package, program
from gatebook.evidence.entries import Period, Record, folder, merged, process, records, tile, tiles
from gatebook.evidence.spool import Spool
from gatebook.evidence.verification import TOOL, Demands, verify
from gatebook.ledger import folders
from gatebook.ledger.heads import HEAD
from gatebook.ledger.keys import load_or_create, vkey
from gatebook.ledger.reader import Reader
from gatebook.ledger.verifier import Key, is_log, read_head

TRIES = 20  # while the gateway writes, a partial tile may give way to its next between two looks
TRY_SECONDS = 0.02
SIGNED_SECONDS = 1.2  # until what is written stands under a checkpoint
WEB = "web"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """A log as it stood at its newest checkpoint; ``files`` by their names in its folder."""

    key: Key
    size: int
    root: str
    files: Mapping[str, bytes]

    def records(self) -> Iterator[Record]:
        """Every entry."""
        return records(self.key.origin, self.size, lambda name: self.files.get(name, b""))

    @property
    def newest(self) -> int:
        """When its last entry was written."""
        return max(record.time for record in self.records())


def copy_book(place: Path, beside: Path | None = None) -> list[Copy]:
    """Copy every log of a folder, or the one that lies in it, to the disk. Raises LedgerError if one is not whole.

    ``beside`` is a folder with room for it.
    """
    if is_log(place):
        return [copy_log(place, beside)]
    found = folders.logs(place)
    if not found:
        raise LedgerError(f"{place}: expected the folder of a ledger")
    copies = {}
    for name in sorted(found, key=lambda name: (name != HEAD, name == WEB)):
        if name == WEB and not folders.is_free(found[name]):
            time.sleep(SIGNED_SECONDS)
        copies[name] = copy_log(found[name], beside)
    return [copies[name] for name in found]


def copy_log(place: Path, beside: Path | None = None) -> Copy:
    """Copy one log. Raises LedgerError if it is not whole."""
    files = Spool(beside)
    try:
        text = (place / "log.vkey").read_bytes()
        key = Key.parse(text.decode())
        note = (place / "checkpoint").read_bytes()
        head = read_head(note, key, "checkpoint")
        files.put({"log.vkey": text, "checkpoint": note, "checkpoints.log": _heads(place, note)})
        for level, number, width in tiles(head.size):
            files.put({tile(level, number, width): Reader(place).tile(level, number, width)})
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


def signing_key(path: Path, logs: Sequence[Copy]) -> Ed25519PrivateKey:
    """The logs' own key. Raises LedgerError if it is not here, or is another's."""
    if not path.exists():
        raise LedgerError(f"{path}: not there: a package is signed by the log's key, so it is made where the gateway runs")
    found = load_or_create(path)
    for log in logs:
        if vkey(log.key.origin, found) != log.key.text:
            raise LedgerError(f"{path}: not the key that signed this log, {log.key.origin}")
    return found


def whole_period(logs: Sequence[Copy], start: int | None, end: int | None) -> Period:
    """The period asked for; by default from the first entry to the newest. Raises LedgerError if nothing can be in it.

    The newest is that of the workers' logs: of what came while they were copied, the others may hold a part alone.
    """
    workers = [log for log in logs if process(log.key.origin) not in (HEAD, WEB)] or logs
    start = min(next(log.records()).time for log in logs) if start is None else start
    end = max(log.newest for log in workers) + 1 if end is None else end
    if not 0 <= start < end:
        raise LedgerError("the period ends before it begins: expected --from before --to")
    return Period(start, end)


def build(
    logs: Sequence[Copy], key: Ed25519PrivateKey, period: Period, rules: Mapping[str, str], beside: Path | None = None
) -> Mapping[str, bytes]:
    """Every file of the package. ``rules`` are the texts at hand; they go in if a log says that they were in force."""
    about = package.About(tuple(package.Logged(log.key.origin, log.key.text, log.size, log.root) for log in logs), period, TOOL)
    published = {one.text("digest") for log in logs for one in log.records() if one.kind == "policy.publish"}
    texts = {package.policy_digest(rules)} & published if rules else set()
    files = Spool(beside)
    for log in logs:
        files.put(log.files, f"{folder(log.key.origin)}/")
    files.put(package.derive(about, merged([log.records() for log in logs]), texts).files)  # read again, rather than kept
    files.put(package.policy_members(rules) if texts else {})
    files.put({package.PROGRAM: program.make()})
    listed = package.manifest(about, files)
    signature = key.sign(package.pae(listed))
    files.put({package.MANIFEST: listed})
    files.put({package.ENVELOPE: package.envelope(listed, package.key_id(about.signer.vkey), signature)})
    return files


def write(
    path: Path, files: Mapping[str, bytes], log_key: str, progress: Progress, keep: Callable[[str], object] | None = None
) -> None:
    """Write the package, check it as an auditor would, and only then give it its name. Raises LedgerError.

    ``keep`` writes its digest into the book, before it gets its name: without that there is no package.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            archive.write(file, files, lambda done, total: progress("writing", done, total))
        report = verify(fresh, Demands(log_key=log_key), lambda step: progress(f"checking {step}", 0, 0))
        if not report.intact:
            raise LedgerError(f"the ledger is damaged, so there is no package: {report.faults[0]}")
        if keep:
            with fresh.open("rb") as file:
                keep(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
        os.replace(fresh, path)
    except OSError as error:
        raise LedgerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise LedgerError(f"{path}: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
