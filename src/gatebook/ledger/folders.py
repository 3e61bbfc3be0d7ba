"""Where the logs of one replica lie: each process that writes entries has a log of its own, in a folder of its own.

``<ledger.folder>/<process>/`` holds what ``volume.py`` describes, and the log's origin ends in that name:
``<deployment>/log/<replica>/<process>``. ``1`` to ``N`` are the data workers, ``web`` serves API and pages, ``head`` joins them
(``heads.py``), and each command that writes has a ``cli-…``. One key signs them all; their key ids differ, since an origin is
part of a key id. A log stays where it is when its process is gone: it belongs to the book.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from gatebook.errors import LedgerError

PROCESS = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
REPLICA = "1"
MOST = 10_000  # logs of one folder
FLAT = ("wal", "tile", "checkpoint")  # what a log's own folder has


def origin(deployment: str, process: str, replica: str = REPLICA) -> str:
    """The name that a process's log carries in every entry and checkpoint."""
    return f"{deployment}/log/{replica}/{_named(process)}"


def place(folder: Path, process: str) -> Path:
    """The folder of a process's log. Raises LedgerError where a log lies in ``folder`` itself, which none may."""
    if any((folder / name).exists() for name in FLAT):
        raise LedgerError(
            f"{folder}: a log lies in this folder itself: stop the gateway and move all that is in it to {folder / '1'}"
        )
    return folder / _named(process)


def logs(folder: Path) -> dict[str, Path]:
    """The folder of every log, by the name of its process; data workers first, by number."""
    if not folder.is_dir():
        return {}
    found = [path for path in folder.iterdir() if PROCESS.fullmatch(path.name) and _is_log(path)]
    if len(found) > MOST:
        raise LedgerError(f"{folder}: {len(found)} logs: at most {MOST}")
    return {path.name: path for path in sorted(found, key=_order)}


def is_free(place: Path) -> bool:
    """Whether no process writes this log now."""
    try:
        descriptor = os.open(place / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_log(path: Path) -> bool:
    return any((path / name).exists() for name in FLAT)


def _order(path: Path) -> tuple[int, int, str]:
    number = path.name.isdecimal()
    return not number, int(path.name) if number else 0, path.name


def _named(process: str) -> str:
    if not PROCESS.fullmatch(process):
        raise LedgerError(f"process {process!r}: expected at most 40 lower-case letters, digits and hyphens")
    return process
