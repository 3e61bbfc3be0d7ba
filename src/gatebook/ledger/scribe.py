"""Turns entries into their final bytes: time that never goes back, ids, and the numbering of sessions.

One thread at a time may touch a scribe: the writer's. The order in which it writes is the order of the log, so that a session's
``seq`` has no gaps by construction.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.ledger.entries import VERSION, canonical, pieces, uuid7
from gatebook.ledger.keys import raw_public
from gatebook.ledger.wal import LONGEST
from gatebook.model import Receipt

OPEN_SESSIONS = 100_000  # more than a gateway serves, and few enough to be listed by every heartbeat
SID_CHARACTERS = 36  # a UUID
SEAL_PREFIX = b"log.seal/v1\n"


Write = Callable[[int, int], bytes]  # an entry's bytes by its time and seq; it gives it an id

_AMID = frozenset({"action", "answer"})  # what sessions say most, and what means nothing further for the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Receipt):
    """A receipt that also tells what the ledger gave the entry; ``seq`` is None outside sessions."""

    id: str
    time: int
    seq: int | None


@dataclass(slots=True)
class Past:
    """What a log's entries so far mean for the next ones. ``sessions`` has the next seq of each open session.

    Read from the first entry on, or from any: then ``known`` is False until a seal and a heartbeat told what came before.
    """

    time: int = 0
    epoch: int = 0
    clean: bool = False
    sessions: dict[str, int] = field(default_factory=dict)
    sealed: bool = True
    listed: bool = True

    @property
    def known(self) -> bool:
        """Whether nothing before the entries that were read matters any more."""
        return self.sealed and self.listed

    def read(self, fields: Mapping[str, Any]) -> None:
        """Take in one entry of the log."""
        self.time = fields["time"]
        kind = fields["type"]
        if kind == "log.seal":
            self.epoch = fields["epoch"] + 1
            self.sealed = True
        elif kind in ("log.boot", "log.close"):
            self.clean = kind == "log.close"
            self.listed = self.listed or self.clean
        elif kind == "log.heartbeat" and not self.listed and "seqs" in fields:
            self._list(fields)
        sid = fields.get("sid")
        if sid is None:
            return
        if kind == "session.close":
            self.sessions.pop(sid, None)
        else:
            self.sessions[sid] = fields["seq"] + 1

    def _list(self, fields: Mapping[str, Any]) -> None:
        """A heartbeat tells which sessions are open, and how far they came."""
        if fields["part"] == 1:
            self.sessions.clear()
        self.sessions.update(zip(fields["open_sids"], fields["seqs"], strict=True))
        self.listed = fields["part"] == fields["parts"]


class Scribe:
    """Writes entries out for one log, after its past."""

    def __init__(self, origin: str, key: Ed25519PrivateKey, clock: Callable[[], int], past: Past) -> None:
        self.origin = origin
        self._clock = clock
        self._past = past
        self._sealing = key
        self._boot = True

    @property
    def open_sids(self) -> list[str]:
        """Sessions that are open in the book, oldest first."""
        return list(self._past.sessions)

    @property
    def open_sessions(self) -> list[tuple[str, int]]:
        """Open sessions, oldest first, with the seq of their next entry."""
        return list(self._past.sessions.items())

    def compose(self, kind: str, fields: Mapping[str, Any], index: int) -> tuple[bytes, Written]:
        """Bytes and receipt of the entry that will stand at ``index``; LedgerError if it cannot stand there."""
        seq = self._number(kind, fields)
        stamped = self._stamp(kind, fields)
        if seq is not None:
            stamped["seq"] = seq
        if kind == "session.close":
            stamped["count"] = seq + 1 if seq is not None else 0
        data = canonical(stamped)
        if seq is not None and kind in _AMID:
            self._past.time, self._past.sessions[stamped["sid"]] = stamped["time"], seq + 1
        else:
            self._past.read(stamped)
        return data, Written(log=self.origin, index=index, id=stamped["id"], time=stamped["time"], seq=seq)

    def pieces(self, kind: str, fields: Mapping[str, Any], holes: Sequence[str]) -> list[bytes]:
        """Entries of one form, as the bytes between what differs; id, time and seq do in any case."""
        same = {**fields, "v": VERSION, "type": kind, "origin": self.origin}
        return pieces(same, sorted({*holes, "id", "time", "seq"}))

    def fill(self, sid: str, write: Write, index: int) -> tuple[bytes, int]:
        """Bytes and index of a session's next entry, amid it, that ``write`` makes; LedgerError as ``compose``."""
        past = self._past
        seq = past.sessions.get(sid)
        if seq is None:
            raise LedgerError(f"session {sid!r} is not open in the book")
        time = max(past.time, self._clock())
        data = write(time, seq)
        if len(data) > LONGEST:
            raise LedgerError(f"an entry of {len(data)} bytes: at most {LONGEST}")
        past.time, past.sessions[sid] = time, seq + 1
        return data, index

    def _stamp(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        time = max(self._past.time, self._clock())
        return {**fields, "v": VERSION, "type": kind, "id": uuid7(time), "time": time, "origin": self.origin}

    def _number(self, kind: str, fields: Mapping[str, Any]) -> int | None:
        sid = fields.get("sid")
        if sid is None:
            return None
        seq = self._past.sessions.get(sid)
        if kind != "session.open":
            if seq is None:
                raise LedgerError(f"{kind}: session {sid!r} is not open in the book")
            return seq
        if seq is not None:
            raise LedgerError(f"session.open: session {sid!r} is open already")
        if not (0 < len(sid) <= SID_CHARACTERS and sid.isascii() and sid.replace("-", "").isalnum()):
            raise LedgerError(f"session.open: sid {sid!r}: expected at most {SID_CHARACTERS} letters, digits and hyphens")
        if len(self._past.sessions) >= OPEN_SESSIONS:
            raise LedgerError(f"session.open: {OPEN_SESSIONS} sessions are open, which is the limit")
        return 0

    def seal(self, size: int, root: bytes) -> bytes:
        """The entry that closes an epoch: signed by the epoch's key, which names its follower and is dropped then.

        The first seal after a start is signed by the log's own key (``boot``).
        """
        following = Ed25519PrivateKey.generate()
        fields = {
            "epoch": self._past.epoch,
            "boot": self._boot,
            "size": size,
            "root": b64encode(root).decode(),
            "next": b64encode(raw_public(following)).decode(),
        }
        stamped = self._stamp("log.seal", fields)
        signature = self._sealing.sign(SEAL_PREFIX + canonical(stamped))
        stamped["sig"] = b64encode(signature).decode()
        self._sealing, self._boot = following, False
        self._past.read(stamped)
        return canonical(stamped)
