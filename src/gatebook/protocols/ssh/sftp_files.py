"""A file that a client of SFTP has open: what passed of it, and what of that a recording gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gatebook.masking.detectors import cover_text
from gatebook.model import Action, Permit
from gatebook.protocols.http.covering.plan import Counts

FILE_BYTES = 1_048_576  # of one file's content that are recorded
CHANNEL_BYTES = 8_388_608  # of what is written that one channel holds until its files are closed


@dataclass(slots=True)
class File:
    """What a client has opened, and what passed of it so far: whole as long as each piece followed the one before."""

    action: Action
    permit: Permit
    path: str
    room: int = 0  # of its content that is still to be recorded
    size: int = 0
    at: int = 0
    digest: Any = field(default_factory=sha256)
    masked: Counts = field(default_factory=dict)
    held: bytearray = field(default_factory=bytearray)  # what a client wrote, to be covered whole
    recorded: int = 0

    def passed(self, offset: int, data: bytes) -> None:
        """A piece of it."""
        self.size += len(data)
        if offset == self.at and self.digest is not None:
            self.digest.update(data)
            self.at += len(data)
        else:
            self.digest = None

    def keep(self, offset: int, data: bytes) -> bytes:
        """A piece of it passes; what of it is recorded, which is nothing behind one that does not follow the one before."""
        in_order = self.digest is not None and offset == self.at
        self.passed(offset, data)
        kept = data[: self.room] if in_order else b""
        self.room -= len(kept)
        self.recorded += len(kept)
        return kept

    def hold(self, offset: int, data: bytes, room: int) -> int:
        """The same of what a client writes, which is held until it can be covered whole; how much is, at most ``room``."""
        self.room = min(self.room, room)
        kept = self.keep(offset, data)
        self.held += kept
        return len(kept)

    @property
    def sentence(self) -> str:
        """What a replay is told of it."""
        whole = f", sha256 {self.digest.hexdigest()}" if self.digest is not None and self.size else ""
        part = f", {min(self.recorded, FILE_BYTES)} of them recorded" if self.recorded else ""
        return f"{self.action.verb.rpartition('.')[2]} {cover_text(self.path)}: {self.size} bytes{whole}{part}"
