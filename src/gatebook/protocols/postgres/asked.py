"""What a session's relay has asked for and waits to hear about; and the requests that are not carried at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gatebook.model import Action, Deed, Resource
from gatebook.protocols.postgres.answers import Portal, Prepared
from gatebook.protocols.postgres.reading import FACTS, VERBS, Reading, Statement

_COPY = frozenset({"sql.copy_in", "sql.copy_out"})


@dataclass(slots=True)
class AskedQuery:
    """A Query that waits for its verdict."""

    action: Action
    reading: Reading
    body: bytes


@dataclass(slots=True)
class AskedParse:
    """A Parse that waits for its verdict."""

    action: Action
    reading: Reading
    name: str
    body: bytes


@dataclass(slots=True)
class AskedBind:
    """A Bind that waits for its verdict."""

    action: Action
    prepared: Prepared
    name: str
    body: bytes


@dataclass(slots=True)
class AskedExecute:
    """An Execute of a portal whose own permit is no longer fresh."""

    action: Action
    portal: Portal
    body: bytes


@dataclass(slots=True)
class AskedNothing:
    """A request that is decided and written down like any other, but that the gateway does not carry even when allowed."""

    action: Action
    why: str
    whole: bool  # a cycle of its own, as a Query is


@dataclass(slots=True)
class AskedStart:
    """The settings of the startup packet, before the login."""

    action: Action


Asked: TypeAlias = AskedQuery | AskedParse | AskedBind | AskedExecute | AskedNothing | AskedStart


def not_carried(asked: Asked) -> str:
    """Why an allowed request is not carried all the same; empty for one that is."""
    if isinstance(asked, AskedNothing):
        return asked.why
    if any(deed.verb in _COPY for deed in asked.action.deeds):
        return "COPY between client and server is not carried yet; use SELECT or INSERT"
    return ""


def unknown(text: str, why: str) -> Reading:
    """The reading of a request that has no text to read."""
    deed = Deed(
        verb="sql.unknown",
        reach=VERBS["sql.unknown"],
        resource=Resource(kind="target", name=""),
        facts={**FACTS, "why_unknown": why},
    )
    return Reading(text, (Statement((deed,), None, frozenset()),))


def readable(value: bytes | None) -> str:
    """A bound value for a line of text: binary formats as their size."""
    if value is None:
        return "NULL"
    try:
        return value[:200].decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(value)} bytes"
