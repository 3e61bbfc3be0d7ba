"""What a command writes into the book, beside a gateway that may be running: evidence made, recordings read.

Each process writes a log of its own, and a command is a process. So it writes into ``cli-1`` or, where another command is just
doing so, into the next that is free. The head log of a running gateway notices within a second; else the next start does.
"""

from __future__ import annotations

from gatebook.config import Config
from gatebook.errors import LedgerError
from gatebook.ledger import folders
from gatebook.ledger.heads import SEGMENT
from gatebook.ledger.keys import key_path, load_or_create
from gatebook.ledger.log import Log
from gatebook.ledger.scribe import Written
from gatebook.model import Entry

AT_ONCE = 16  # commands that write at the same time


def write(config: Config, entry: Entry) -> Written:
    """Write one entry, durable when this returns. Raises LedgerError: then what the entry tells must not happen. Blocks."""
    path = key_path(config.home)
    if not path.exists():
        raise LedgerError(f"{path}: not there: this command writes into the book, so it runs where the gateway runs")
    key = load_or_create(path)
    for number in range(1, AT_ONCE + 1):
        process = f"cli-{number}"
        place = folders.place(config.ledger.folder, process)
        if not folders.is_free(place):
            continue
        origin = folders.origin(config.deployment, process, config.replica)
        try:
            log = Log.open(place, origin=origin, key=key, segment_bytes=SEGMENT)
        except LedgerError:
            if folders.is_free(place):
                raise
            continue  # another command was faster
        try:
            return log.append_now(entry, durable=True)
        finally:
            log.close()
    raise LedgerError(f"{AT_ONCE} commands write into the book at this moment: try again")
