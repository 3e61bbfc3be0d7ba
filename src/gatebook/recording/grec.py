"""The format ``grec/v1``: how a recording's files are laid out. ``docs/recordings.md`` has it for readers without Gatebook.

A session's folder holds ``key.age`` (32 random bytes, encrypted by age) and files numbered from 0. Each file begins with one
line, ``grec/v1 FORM {json}``. Forms::

    segment   the rest is one AES-256-GCM box around the zstd-compressed events. Nonce: the number, 12 bytes
    spool     the rest are events as they came, each in a box of its own behind its head. Nonce: number and place

Several events of a spool may share a box: its kind is ``b`` then, and what is in it are they, each behind its own head. In a
box of kind ``z`` that is compressed too. What is compressed is zstd frames, one behind the other (``packing.py``). A spool that
is finished as it is, since nearly all of it is compressed, ends with a box of kind ``e``, JSON: ``last``, ``events``, ``t0``,
``t1``.

Head of an event, here and inside a segment: length u32, kind one ASCII letter, µs since the epoch u64, big endian; in a spool
the length is that of the box. The first line is bound into every box, so that no box can be moved to another session, number
or place; spool and segment have keys of their own, both made from the session's.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatebook.errors import RecordingError
from gatebook.model import Entry

FORMAT = "grec/v1"
SEGMENT, SPOOL = "segment", "spool"
KEY_FILE = "key.age"
KEY_BYTES = 32
TAG_BYTES = 16
NUMBER = Struct(">I")  # of the request that an event of kind h or p belongs to
HEAD = Struct(">IcQ")
BATCH = b"b"  # the kind of a box that holds several events; no event has this one or the next
PACKED = b"z"  # and of one where they are compressed
WHOLE = b"e"  # and of the last one, where the spool is finished as it is
LATEST = 2**53 - 1  # µs: beyond it no number is exact in every reader of the ledger
LONGEST_LINE = 1024  # of a file's first line
SESSION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_SPOOL_NONCE = Struct(">IQ")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: its kind (a letter, see ``recorder``), when (µs since the epoch), and what."""

    kind: str
    time: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A finished piece of a recording, as the ledger has it. ``cut``: a crash ended it. ``sha256`` is of the whole file."""

    sid: str
    n: int
    last: bool
    cut: bool
    events: int
    bytes: int
    sha256: str
    t0: int
    t1: int

    def entry(self, *, recovered: bool = False) -> Entry:
        """Its entry in the ledger; ``recovered`` after a restart, when its session is closed there."""
        fields: dict[str, object] = {
            "target_sid" if recovered else "sid": self.sid,
            "n": self.n,
            "last": self.last,
            "events": self.events,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "t0": self.t0,
            "t1": self.t1,
        }
        if recovered:
            return Entry(kind="rec.recovered", fields=fields | {"cut": self.cut})
        return Entry(kind="rec.segment", fields=fields)


def box(key: bytes, form: str) -> AESGCM:
    """The cipher of one form's boxes."""
    return AESGCM(hmac.digest(key, f"{FORMAT} {form}".encode(), "sha256"))


def segment_nonce(n: int) -> bytes:
    """The nonce of a segment's one box."""
    return n.to_bytes(12, "big")


def spool_nonce(n: int, place: int) -> bytes:
    """The nonce of the event at this place of a spool."""
    return _SPOOL_NONCE.pack(n, place)


def first_line(form: str, **facts: Any) -> bytes:
    """A file's first line."""
    return f"{FORMAT} {form} {json.dumps(facts, separators=(',', ':'))}\n".encode()


def read_first_line(data: bytes) -> tuple[str, dict[str, Any], bytes]:
    """Form, facts and the line itself, from the beginning of a file; raises RecordingError."""
    end = data.find(b"\n", 0, LONGEST_LINE) + 1
    try:
        name, form, facts = data[:end].decode("ascii").split(" ", 2)
        found = json.loads(facts)
        sid, n = found["sid"], found["n"]
    except (ValueError, KeyError, TypeError):
        raise RecordingError(f"not a file of a recording: begins with {data[:20]!r}") from None
    if name != FORMAT or form not in (SEGMENT, SPOOL) or type(sid) is not str or type(n) is not int:
        raise RecordingError(f"not a file of {FORMAT}: begins with {data[:20]!r}")
    return form, found, data[:end]


def frames(data: bytes, pos: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Head, body and end of each whole frame from ``pos`` on."""
    while pos + HEAD.size <= len(data):
        length, _, _ = HEAD.unpack_from(data, pos)
        start, end = pos + HEAD.size, pos + HEAD.size + length
        if end > len(data):
            return
        yield data[pos:start], data[start:end], end
        pos = end


def event_of(head: bytes, data: bytes) -> Event:
    """The event with this head."""
    _, kind, time = HEAD.unpack(head)
    return Event(kind.decode("latin-1"), time, data)
