"""What of a request that waits could be tried in a preview, as its session stands now; or why nothing of it can."""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.asked import Asked, AskedBind, AskedQuery
from gatebook.protocols.postgres.catalog import Known
from gatebook.protocols.postgres.drafts import SOON, Apart, Draft, take_apart, why_not
from gatebook.protocols.postgres.reading import Reading

IN_A_TRANSACTION = "its session has a transaction open, whose work no other connection sees"


@dataclass(frozen=True, slots=True)
class Tryable:
    """``known`` is what it changes, as the session's catalog has it. ``why`` says why it is not tried, where it is not."""

    draft: Draft | None = None
    known: Known | None = None
    why: str = ""


def tryable(asked: Asked | None, answers: Answers, *, whole: bool) -> Tryable:
    """What of it could be tried. ``whole`` says that it is a script that people decide about as one."""
    if whole:
        return Tryable(why="a script is not tried")
    if not isinstance(asked, AskedQuery | AskedBind):
        return Tryable(why="only a statement that is sent by itself is tried")
    reading = asked.reading if isinstance(asked, AskedQuery) else asked.prepared.reading
    if why := why_not(reading):
        return Tryable(why=why)
    if answers.block is not False or answers.own_block or answers.ran:
        return Tryable(why=IN_A_TRANSACTION)
    if any(deed.facts["moves_masked"] for deed in asked.action.deeds):
        return Tryable(why="masked columns would flow into others, where nobody could tell them")
    return _drafted(asked, answers, reading)


def _drafted(asked: AskedQuery | AskedBind, answers: Answers, reading: Reading) -> Tryable:
    catalog = answers.catalog
    apart = take_apart(wire.query_text(asked.body) if isinstance(asked, AskedQuery) else reading.text)
    if not isinstance(apart, Apart):
        return Tryable(why=apart)
    found = {relation: catalog.by_name.get(relation) for relation in sorted(reading.relations, key=str)}
    known = found.get(apart.target)
    oids = {relation: one.oid for relation, one in found.items() if one is not None}
    settings = dict(line.partition("=")[::2] for line in catalog.settings.splitlines())
    if known is None or len(oids) != len(found) or not settings.get("current_user") or not catalog.search_path:
        return Tryable(why="what its names mean in its session could not be looked up")
    if any(one is not None and one.schema.startswith("pg_temp") for one in found.values()):
        return Tryable(why="it names a temporary table, which its session alone has")
    bind = wire.bind(asked.body) if isinstance(asked, AskedBind) else None
    values, formats = (bind.values, bind.formats) if bind is not None else ((), ())
    types = asked.prepared.types if isinstance(asked, AskedBind) else ()
    timely = apart.timely or any(SOON.search(value.decode("utf-8", "replace")) for value in values if value is not None)
    draft = Draft(apart, oids, catalog.search_path, settings, values, formats, types, timely=timely)
    return Tryable(draft, known)
