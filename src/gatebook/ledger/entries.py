"""The kinds of entries, as one closed list, and their bytes: RFC 8785 canonical JSON.

Every entry carries ``v`` (1), ``type``, ``id`` (UUIDv7), ``time`` (µs, UTC, never going back) and ``origin``; the ledger adds
them. An entry with ``sid`` belongs to a session and gets that session's next ``seq``, from 0 at ``session.open``. A kind lists
the fields it must have; further fields are kept as they are. Names ending in ``_c`` and ``stmt_h`` are commitments, never
plain values.

Values are strings, integers of at most 53 bits, booleans, lists and objects with ASCII names. With these alone, JSON with
sorted names and no spaces is canonical; floats and null would need rules that verifiers get wrong.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from gatebook.errors import LedgerError
from gatebook.ledger.wal import LONGEST
from gatebook.model import Entry, Reach, Ruling

VERSION = 1
TEXT_BYTES = 2048  # of a statement's masked text in its action
_DEEPEST = 16  # levels of lists and objects in an entry
_LARGEST = 2**53 - 1  # integers beyond it are not the same number in every JSON reader
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

OWN = frozenset({"v", "type", "id", "time", "origin", "seq"})  # fields that only the ledger sets

Shape = Mapping[str, type]

KINDS: Mapping[str, Shape] = MappingProxyType(
    {
        # the log about itself; only the ledger writes these
        "log.boot": {
            "software": str,
            "build": str,
            "restart": str,
            "size": int,
            "torn_bytes": int,
            "repaired": int,
            "left_open": int,
        },
        "log.heartbeat": {"open_sids": list, "seqs": list, "part": int, "parts": int, "last_cosigned": int},
        "log.seal": {"epoch": int, "boot": bool, "size": int, "root": str, "next": str, "sig": str},
        "log.close": {"size": int},
        "log.head": {"log": str, "size": int, "root": str, "note": str},
        # sessions and what they do
        "session.open": {"sid": str, "actor": dict, "src": dict, "res": dict, "auth": dict, "proto": str},
        "session.close": {"sid": str, "reason": str},
        "session.refuse": {"decision": str, "src": dict, "res": dict, "rule": str, "reason": str, "unlisted": int},
        "action": {
            "sid": str,
            "action": int,
            "decision": str,
            "step": str,
            "verb": str,
            "objects": list,
            "reach": str,
            "ruling": str,
            "rule": str,
            "reason": str,
            "masks": list,
            "pol": dict,
            "stmt_h": str,
            "size": int,
            "text": str,
        },
        "answer": {"sid": str, "action": int, "status": str, "rows": int, "bytes": int, "ms": int, "masked": dict},
        "preview": {
            "sid": str,
            "action": int,
            "decision": str,
            "verb": str,
            "objects": list,
            "reach": str,
            "ruling": str,
            "rule": str,
            "reason": str,
            "pol": dict,
            "stmt_h": str,
        },
        "preview.result": {
            "sid": str,
            "action": int,
            "status": str,
            "reason": str,
            "rows": int,
            "ms": int,
            "masked": dict,
        },
        "mask": {"sid": str, "action": int, "where": str, "detector": str, "count": int, "rule": str},
        "rec.segment": {"sid": str, "n": int, "last": bool, "events": int, "bytes": int, "sha256": str, "t0": int, "t1": int},
        "rec.recovered": {
            "target_sid": str,
            "n": int,
            "last": bool,
            "cut": bool,
            "events": int,
            "bytes": int,
            "sha256": str,
            "t0": int,
            "t1": int,
        },
        # approvals and grants
        "approval.request": {"approval": str, "digest": str, "approvers": list, "expires": int},
        "approval.vote": {"approval": str, "approver": str, "verdict": str, "self": bool},
        "approval.result": {"approval": str, "verdict": str},
        "approval.expire": {"approval": str},
        "grant.create": {"grant": str, "scope": dict, "ttl": int, "ticket": str},
        "grant.use": {"grant": str},
        "grant.expire": {"grant": str},
        "grant.revoke": {"grant": str, "by": str},
        "certificate.issue": {"serial": int, "actor": dict, "token": str, "key": str, "targets": list, "exp": int},
        # running the gateway
        "gatebook.act": {
            "verb": str,
            "about": str,
            "actor": dict,
            "ruling": str,
            "rule": str,
            "why": str,
            "pol": dict,
            "unlisted": int,
        },
        "review.open": {"review": str, "by": str},
        "review.item": {"review": str, "item": str, "verdict": str, "by": str},
        "review.close": {"review": str, "by": str},
        "config.change": {"old": str, "new": str, "diff_h": str, "by": str, "approved_by": str},
        "policy.publish": {"digest": str},
        "key.rotate": {"old": str, "new": str},
        "export.create": {"by": str, "digest": str},
        "recording.read": {"target_sid": str, "by": str, "why": str},
        "erasure": {"target_sid": str, "basis": str, "by": str, "approved_by": str},
        "hold.set": {"target_sid": str, "by": str, "why": str},
        "hold.clear": {"target_sid": str, "by": str, "why": str},
        "incident.flag": {"incident": str, "by": str, "why": str},
        "incident.close": {"incident": str, "by": str, "why": str},
        "connector.connect": {"connector": str},
        "connector.disconnect": {"connector": str, "reason": str},
        "exception": {"what": str, "why": str},
    }
)

_WORDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "action": {
        "step": frozenset({"prepare", "run"}),
        "reach": frozenset(Reach),
        "ruling": frozenset(Ruling),
    }
}


def check(entry: Entry) -> dict[str, Any]:
    """The entry's fields, plain; LedgerError says what an entry of its kind may not be."""
    if entry.kind.startswith("log.") and entry.kind != "log.head":
        raise LedgerError(f"{entry.kind}: only the ledger itself writes this kind")
    shape = KINDS.get(entry.kind)
    if shape is None:
        raise LedgerError(f"{entry.kind!r}: not a kind of entry")
    fields = {name: plain(value, f"{entry.kind}: {name}") for name, value in entry.fields.items()}
    _check_names(entry.kind, shape, fields)
    for name, words in _WORDS.get(entry.kind, {}).items():
        if fields[name] not in words:
            raise LedgerError(f"{entry.kind}: {name} {fields[name]!r}: expected one of {', '.join(sorted(words))}")
    if entry.kind == "action" and len(fields["text"].encode(errors="replace")) > TEXT_BYTES:
        raise LedgerError(f"action: text is longer than {TEXT_BYTES} bytes")
    return fields


def _check_names(kind: str, shape: Shape, fields: Mapping[str, Any]) -> None:
    own = OWN | {"count"} if kind == "session.close" else OWN
    if taken := sorted(own & fields.keys()):
        raise LedgerError(f"{kind}: {', '.join(taken)}: set by the ledger alone")
    for name, expected in shape.items():
        if type(fields.get(name)) is not expected:
            raise LedgerError(f"{kind}: {name}: expected {expected.__name__}, not {type(fields.get(name)).__name__}")
    if not isinstance(fields.get("sid", ""), str):
        raise LedgerError(f"{kind}: sid: expected str")
    for name in fields:
        if not name.isascii():
            raise LedgerError(f"{kind}: {name!r}: names are ASCII")


def plain(value: object, where: str, depth: int = 1) -> Any:
    """The value as JSON knows it; LedgerError for what entries may not hold."""
    match value:
        case str():
            return str.__str__(value)  # an enum's value, not its name
        case bool():
            return value
        case int() if -_LARGEST <= value <= _LARGEST:
            return int(value)
        case list() | tuple() if depth < _DEEPEST:
            return [plain(item, where, depth + 1) for item in value]
        case Mapping() if depth < _DEEPEST:
            if not all(isinstance(name, str) and name.isascii() for name in value):
                raise LedgerError(f"{where}: names are ASCII strings")
            return {str(name): plain(item, where, depth + 1) for name, item in value.items()}
    raise LedgerError(f"{where}: {type(value).__name__}: expected str, int of 53 bits, bool, list or object, not too deep")


def canonical(fields: Mapping[str, Any]) -> bytes:
    """RFC 8785 bytes of fields that ``plain`` let pass; LedgerError if they are too long or not Unicode."""
    data = canonical_value(fields)
    if len(data) > LONGEST:
        raise LedgerError(f"an entry of {len(data)} bytes: at most {LONGEST}")
    return data


def pieces(fields: Mapping[str, Any], holes: Sequence[str]) -> list[bytes]:
    """The bytes of an entry between the values of ``holes``, which are in the order of their names."""
    found, piece = [], b"{"
    for place, name in enumerate(sorted({*fields, *holes})):
        piece += (b"," if place else b"") + canonical_value(name) + b":"
        if name in holes:
            found.append(piece)
            piece = b""
        else:
            piece += canonical_value(fields[name])
    return [*found, piece + b"}"]


def canonical_value(value: object) -> bytes:
    """RFC 8785 bytes of a value that ``plain`` let pass; LedgerError if it is not Unicode."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:  # a lone surrogate
        raise LedgerError(f"an entry that is not Unicode text: {error}") from error


def clip(text: str, size: int = TEXT_BYTES) -> str:
    """As much of a text as fits into ``size`` bytes of UTF-8, with … for what was cut off."""
    if len(text) <= size and text.isascii():
        return text
    data = text.encode(errors="replace")
    if len(data) <= size:
        return data.decode()
    return data[: size - len("…".encode())].decode(errors="ignore") + "…"


def uuid7(time: int) -> str:
    """A UUIDv7 (RFC 9562) for a time in µs. Any thread may ask."""
    try:
        tail = _TAILS.pop()  # one step: no two get the same
    except IndexError:
        _TAILS.extend(_tails())
        tail = _TAILS.pop()
    digits = f"{time // 1000 & 0xFFFFFFFFFFFF:012x}"
    return f"{digits[:8]}-{digits[8:]}{tail}"


_TAILS: list[str] = []  # the random parts of identifiers to come: 256 at a time cost as much as two
os.register_at_fork(after_in_child=_TAILS.clear)


def _tails() -> list[str]:
    found = []
    for value in struct.iter_unpack(">HHHI", os.urandom(256 * 10)):
        found.append(f"-7{value[0] & 0xFFF:03x}-{value[1] & 0x3FFF | 0x8000:04x}-{value[2]:04x}{value[3]:08x}")
    return found
