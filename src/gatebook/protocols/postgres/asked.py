"""What a session's relay has asked for and waits to hear about; and the requests that are not carried at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, assert_never

from gatebook.masking.detectors import cover_text
from gatebook.model import Action, Deed, Reach, Resource
from gatebook.protocols.postgres import lexer, tagged, wire
from gatebook.protocols.postgres.ceilings import uncounted
from gatebook.protocols.postgres.covered import cover_sql
from gatebook.protocols.postgres.expected import (
    Portal,
    Prepared,
)
from gatebook.protocols.postgres.pinned import contrary
from gatebook.protocols.postgres.reading import FACTS, VERBS, Reading, Statement
from gatebook.protocols.postgres.resolving import PLAIN, Resolved
from gatebook.protocols.postgres.rows import Column
from gatebook.protocols.postgres.statement import normalise, read, uncommented

SHOWN_CHARACTERS = 1_500  # of a text in the log's own line; its digest covers the whole


@dataclass(slots=True)
class AskedQuery:
    """A Query that waits for its verdict."""

    action: Action
    reading: Reading
    body: bytes
    resolved: Resolved = PLAIN
    plain: bool = False  # as ``Meaning.plain`` says


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
    resolved: Resolved = PLAIN
    plain: bool = False  # as ``Meaning.plain`` says


@dataclass(slots=True)
class AskedExecute:
    """An Execute of a portal whose own permit is no longer fresh."""

    action: Action
    portal: Portal
    body: bytes


@dataclass(slots=True)
class AskedCall:
    """A function call message that waits for its verdict. ``answers`` is the column of its answer."""

    action: Action
    reading: Reading
    body: bytes
    answers: tuple[Column, ...]


@dataclass(slots=True)
class AskedNothing:
    """A request that is decided and written down like any other, but that the gateway does not carry even when allowed."""

    action: Action
    why: str
    whole: bool  # a cycle of its own, as a Query is
    code: str = ""  # the server's own SQLSTATE for it, where drivers go by that


@dataclass(slots=True)
class AskedStart:
    """The settings of the startup packet, before the login."""

    action: Action


Asked: TypeAlias = AskedQuery | AskedParse | AskedBind | AskedExecute | AskedCall | AskedNothing | AskedStart


def reading_of(asked: Asked) -> Reading | None:
    """What the request reads as; None for one that is not sent on as it is."""
    match asked:
        case AskedQuery() | AskedParse() | AskedCall():
            return asked.reading
        case AskedBind():
            return asked.prepared.reading
        case AskedExecute():
            return asked.portal.prepared.reading
        case AskedNothing() | AskedStart():
            return None
        case _:
            assert_never(asked)


def resolved_of(asked: Asked) -> Resolved:
    """What the tokens in it stand for."""
    match asked:
        case AskedQuery() | AskedBind():
            return asked.resolved
        case AskedExecute():
            return asked.portal.resolved
        case _:
            return PLAIN


def fault_of(asked: Asked) -> str:
    """What is wrong with the request itself, so that nobody need be asked about it; empty where nothing is."""
    if isinstance(asked, AskedNothing):
        return asked.why
    reading = reading_of(asked)
    return (reading.error or _elsewhere(reading)) if reading is not None else ""


def _elsewhere(reading: Reading) -> str:
    """Why a yes to this text would be a yes to more than it says; empty where it says it all."""
    if any(statement.executes for statement in reading.statements):
        return "EXECUTE means whatever was prepared under that name: send the statement itself"
    if may_be_held(reading) and _CURRENT.search(reading.text) and lexer.names_a_cursors_row(reading.text.encode()):
        return "CURRENT OF means whatever row a cursor is at: name the row by its key"
    return ""


_CURRENT = re.compile("current", re.IGNORECASE)


def may_be_held(reading: Reading) -> bool:
    """Whether people may be asked about it: reads are answered by covering, seldom by asking."""
    return any(deed.reach is not Reach.READ for statement in reading.statements for deed in statement.deeds)


def forms(bind: wire.Bind, types: tuple[int, ...]) -> tuple[str, ...]:
    """For each value of a Bind its format and, where the Parse names it, its type by OID: the same bytes mean another value."""
    count = len(bind.values)
    return (_kept_forms if count <= KEPT_VALUES else _forms)(bind.formats, count, types)


def _forms(formats: tuple[int, ...], count: int, types: tuple[int, ...]) -> tuple[str, ...]:
    formats = formats * count if len(formats) == 1 else formats or (0,) * count
    named = (*types, *(0,) * (count - len(types)))
    return tuple(f"{'binary' if form else 'text'} {oid}" for form, oid in zip(formats, named, strict=False))


KEPT_VALUES = 64
_kept_forms = lru_cache(256)(_forms)


def not_carried(asked: Asked) -> str:
    """Why an allowed request is not carried all the same; empty for one that is."""
    if isinstance(asked, AskedNothing):
        return asked.why
    reading = reading_of(asked)
    if reading is not None and (why := contrary(reading)):
        return why
    plans = [statement.copy for statement in reading.statements if statement.copy is not None] if reading is not None else []
    return next((plan.refusal for plan in plans if plan.refusal), "")


def untaggable(asked: Asked, session: str) -> str:
    """Why it would take the session's tag away in a way that cannot be written anew; empty where it does not."""
    reading = reading_of(asked)
    if reading is None or not tagged.sets_the_name(reading):
        return ""
    if isinstance(asked, AskedQuery) and wire.query_text(asked.body) != reading.text:
        return tagged.INSTEAD  # it is sent with values in the place of tokens, and not written anew a second time
    return "" if tagged.with_tag(reading, session) is not None else tagged.INSTEAD


def uncounted_of(asked: Asked) -> str:
    """Why nobody could tell how many rows it changes; empty where the server says it."""
    reading = reading_of(asked)
    return uncounted(reading) if reading is not None else ""


def unknown(text: str, why: str) -> Reading:
    """The reading of a request that has no text to read."""
    deed = Deed(
        verb="sql.unknown",
        reach=VERBS["sql.unknown"],
        resource=Resource(kind="target", name=""),
        facts={**FACTS, "why_unknown": why},
    )
    return Reading(text, (Statement((deed,), None, frozenset()),))


def shown(text: str, parameters: Sequence[bytes | None], touches: bool, detectors: frozenset[str]) -> str:
    """A text and what was bound to it, as a log may show them: covered, without comments, and without literals in most cases.

    Literals stay only in statements that read and write rows, away from masked columns. Anywhere else one may be a password,
    in more ways of writing it than detectors know.
    """
    plain = (_kept_plain if len(text) <= KEPT_CHARACTERS else _plain)(text, detectors) if not touches else None
    if plain is None:
        return (_kept_bare if len(text) <= KEPT_CHARACTERS else _bare)(text, detectors)
    bound = ", ".join([_readable(value) for value in parameters])
    return (f"{plain} -- {cover_text(bound, detectors)}" if bound else plain)[:SHOWN_CHARACTERS]


def _plain(text: str, detectors: frozenset[str]) -> str | None:
    """The text covered, without its comments, if its literals may stay."""
    said = uncommented(text) if _about_rows(text) else None
    return None if said is None else cover_sql(said, detectors)


def _bare(text: str, detectors: frozenset[str]) -> str:
    """The text without its literals."""
    return cover_sql(normalise(text), detectors)[:SHOWN_CHARACTERS]


def kept_plain(text: str, detectors: frozenset[str]) -> str | None:
    """The text as ``shown`` begins, away from masked columns; None where its literals may not stay, or it is long."""
    return _kept_plain(text, detectors) if len(text) <= SHOWN_CHARACTERS else None


KEPT_CHARACTERS = 4096  # of a text whose shown form is kept: 1,024 of them are a few MB
_kept_plain = lru_cache(1024)(_plain)
_kept_bare = lru_cache(1024)(_bare)

_ABOUT_ROWS = frozenset({"sql.select", "sql.insert", "sql.update", "sql.delete", "sql.merge", "sql.explain", "sql.session"})


def _about_rows(text: str) -> bool:
    """Whether the text, read by itself, only reads and writes rows, or sets what the server itself knows."""
    return all(deed.verb in _ABOUT_ROWS and "." not in str(deed.facts["setting"]) for deed in read(text).deeds)


def _readable(value: bytes | None) -> str:
    """A bound value as text, if it is one: of a number in binary form only the length, whatever its bytes happen to spell."""
    if value is None:
        return "NULL"
    try:
        text = value[:200].decode("utf-8")
    except UnicodeDecodeError:
        return f"{len(value)} bytes"
    return text if text.translate(_SPACES).isprintable() else f"{len(value)} bytes"


_SPACES = str.maketrans("\t\r\n", "   ")
