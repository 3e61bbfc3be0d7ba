"""What of an answer is covered, and what a text does with masked columns: reading and catalog put together.

A column that the server says comes from a table is judged by that table and attribute number, so an alias changes nothing. A
column without a table of its own (an expression) is judged by the columns it may come from; where that is not certain and the
statement can reach a masked column at all, it is covered whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gatebook.masking.rules import MaskSet, Style
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.postgres import probing
from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.disguise import calls_in_disguise
from gatebook.protocols.postgres.oids import UNTYPED
from gatebook.protocols.postgres.own_code import own_code
from gatebook.protocols.postgres.reading import Output, Place, Reading, Statement
from gatebook.protocols.postgres.rows import Column, Cover
from gatebook.protocols.postgres.unsettled import NOWHERE, UNPLACED, unplaced

OPEN = Cover(style=None, whole=False)
WHOLE = Cover(style=None, whole=True)
SYSTEM_COLUMNS = 0x8000  # attribute numbers are 16-bit and signed: from here on they are ctid, xmin and their like
_SYSTEM_NAMES = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_WRITES = frozenset({"sql.insert", "sql.update", "sql.delete", "sql.merge", "sql.copy_in"})


def covers(columns: Sequence[Column], statement: Statement | None, catalog: Catalog, sets: Collection[MaskSet]) -> list[Cover]:
    """How each column of one result is covered."""
    if not sets:
        return [OPEN] * len(columns)
    return [
        _of_table(column, catalog, sets) if column.table_oid else _of_expression(number, len(columns), statement, catalog, sets)
        for number, column in enumerate(columns)
    ]


def copied(count: int, statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> tuple[list[int], list[Cover]]:
    """Type and cover of each column of a COPY … TO STDOUT with ``count`` columns; its answer names none of them."""
    plan = statement.copy
    known = catalog.by_name.get(plan.relation) if plan is not None and plan.relation is not None else None
    numbers = known.copied(plan.columns) if plan is not None and known is not None else ()
    if known is not None and len(numbers) == count:
        return [known.types[number] for number in numbers], [_by_rule(known, number, sets) for number in numbers]
    if not sets:
        return [UNTYPED] * count, [OPEN] * count
    if plan is None or plan.relation is not None:
        return [UNTYPED] * count, [WHOLE] * count
    return [UNTYPED] * count, [_of_expression(number, count, statement, catalog, sets) for number in range(count)]


def _of_table(column: Column, catalog: Catalog, sets: Collection[MaskSet]) -> Cover:
    known = catalog.by_oid.get(column.table_oid)
    if known is None:
        return WHOLE
    if column.attnum == 0:  # a whole row
        return WHOLE if known.masked(sets) else OPEN
    if column.attnum < 0 or column.attnum >= SYSTEM_COLUMNS:
        return OPEN
    if column.attnum not in known.columns:
        return WHOLE
    return _by_rule(known, column.attnum, sets)


def _by_rule(known: Known, number: int, sets: Collection[MaskSet]) -> Cover:
    style = known.style(sets, number)
    if style is None:
        return OPEN
    return Cover(style, whole=False, mask_set=known.token_set(sets, number) if style is Style.TOKEN else "")


def _of_expression(number: int, count: int, statement: Statement | None, catalog: Catalog, sets: Collection[MaskSet]) -> Cover:
    if statement is None or _unreadable(statement) or namesakes(statement, catalog):
        return WHOLE
    known = catalog.resolved(statement.relations)
    if known is None:
        return WHOLE
    output = _output_at(statement.outputs, number, count)
    if output is None and not statement.relations:
        return WHOLE
    masked = _masked(known, sets)
    if not masked:
        return OPEN
    if output is None or not output.certain or "*" in output.columns:
        return WHOLE
    found = dict.fromkeys(output.columns, False)
    for relation, name in output.origins:
        there = known if relation is None else [one for one in (catalog.by_name.get(relation),) if one is not None]
        if any(name in one.masked(sets) for one in there):
            return WHOLE
        found[name] = found[name] or any(name in one.columns.values() for one in there)
    elsewhere = {name for name, is_column in found.items() if not is_column} - _SYSTEM_NAMES
    return WHOLE if elsewhere else OPEN  # c.f may be a call f(c)


def _output_at(outputs: tuple[Output, ...] | None, number: int, count: int) -> Output | None:
    """The item that made column ``number`` of ``count``; inside what stars expanded to, a star."""
    if outputs is None:
        return None
    stars = [place for place, output in enumerate(outputs) if output.star]
    if not stars:
        return outputs[number] if len(outputs) == count else None
    if number < stars[0]:
        return outputs[number]
    behind = len(outputs) - 1 - stars[-1]
    if count - number <= behind:
        return outputs[len(outputs) - (count - number)]
    return Output(star=True, columns=frozenset({"*"}), certain=False)


def _unreadable(statement: Statement) -> bool:
    return any(deed.reach is Reach.UNKNOWN for deed in statement.deeds)


def _masked(known: Collection[Known], sets: Collection[MaskSet]) -> frozenset[str]:
    return frozenset(name for one in known for name in one.masked(sets))


def answer_columns(reading: Reading, catalog: Catalog) -> frozenset[str]:
    """The names of all columns whose values may stand in the answer, "*" for any."""
    return frozenset(name for statement in reading.statements for name in _answer_columns(statement, catalog))


def _answer_columns(statement: Statement, catalog: Catalog) -> frozenset[str]:
    if statement.outputs is None:
        return frozenset({"*"}) if statement.relations or _unreadable(statement) else frozenset()
    known = catalog.resolved(statement.relations)
    names = frozenset(name for output in statement.outputs for name in output.columns)
    open_ended = "*" in names or any(output.star or not output.certain for output in statement.outputs)
    if known is None:
        return names | ({"*"} if open_ended else set())
    if open_ended or (names and any(one.under or one.opaque for one in known)):
        names |= frozenset(name for one in known for name in one.reads())
    return names - {"*"} if not any(one.opaque for one in known) else names


def touches_masked(reading: Reading, catalog: Catalog, sets: Collection[MaskSet]) -> bool:
    """Whether errors of this text may quote a masked value: it mentions a masked column, or writes to a table that has one."""
    return bool(sets) and any(_touches(statement, catalog, sets) for statement in reading.statements)


def _touches(statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> bool:
    known = catalog.resolved(statement.relations)
    if known is None or _unreadable(statement) or namesakes(statement, catalog):
        return True
    masked = _masked(known, sets)
    mentioned = frozenset(name for deed in statement.deeds for name in _names(deed, "columns"))
    writes = any(deed.verb in _WRITES for deed in statement.deeds)
    if any(one.reads_masked(sets) for one in known):
        return True  # a view may fail by a value that it does not show
    return bool(masked) and (writes or "*" in mentioned or bool(mentioned & masked))


def _names(deed: Deed, fact: str) -> frozenset[str]:
    value = deed.facts.get(fact)
    return value if isinstance(value, frozenset) else frozenset()


def completed(
    reading: Reading, catalog: Catalog, sets: Collection[MaskSet], resolved: Collection[Place] = ()
) -> tuple[Deed, ...]:
    """The deeds with what the catalog adds: qualified names of tables, whether masked columns move or decide something.

    Comparisons in ``resolved`` are with tokens, which tell nothing that the answer does not.
    """
    found = []
    for statement in reading.statements:
        full, moves = _full_names(statement, catalog), _moves_masked(statement, catalog, sets)
        asks = probing.probed(statement, catalog, sets, resolved)
        deeds = list(statement.deeds)
        if why := _may_call(statement, catalog):
            deeds.append(_unknown(statement, why))
        found += [_completed(replace(deed, facts=asks.on(deed)), full, moves) for deed in deeds]
    return tuple(found)


def counted(reading: Reading, catalog: Catalog) -> tuple[int, ...]:
    """How many of the deeds that ``completed`` gives are each statement's."""
    return tuple(len(one.deeds) + bool(_may_call(one, catalog)) for one in reading.statements)


def _asked(statement: Statement, catalog: Catalog) -> Statement:
    """Without the names of relations that are not there: what is said about those is an error of the server."""
    there = ((one, name) for one, name in statement.qualified if one is None or catalog.by_name.get(one, NOWHERE) is not None)
    return replace(statement, qualified=frozenset(there))


def _may_call(statement: Statement, catalog: Catalog) -> str:
    """Why it may call something that its text does not show; empty where it shows all."""
    if calls := calls_in_disguise(_asked(statement, catalog), catalog):
        return f"may call {', '.join(sorted(calls))}, which is no column"
    if why := unplaced(statement, catalog):
        return why
    if why := own_code(statement, catalog):
        return why
    if meant := namesakes(statement, catalog):
        return f"may use {', '.join(sorted(meant))} of somebody's own: write it with pg_catalog, or with its schema"
    return ""


def namesakes(statement: Statement, catalog: Catalog) -> frozenset[str]:
    """The names of functions and operators in it that stand for the server's own, or for somebody's."""
    if catalog.namesakes is None or UNPLACED in statement.trusts:
        return statement.trusts - {UNPLACED}
    return statement.trusts & catalog.namesakes if catalog.namesakes else frozenset()


def _unknown(statement: Statement, why: str) -> Deed:
    facts = {**statement.deeds[0].facts, "why_unknown": why} if statement.deeds else {"why_unknown": why}
    return Deed(verb="sql.unknown", reach=Reach.UNKNOWN, resource=Resource(kind="target", name=""), facts=facts)


def _full_names(statement: Statement, catalog: Catalog) -> dict[str, str]:
    found = ((relation, catalog.by_name.get(relation)) for relation in statement.relations)
    return {str(relation): known.name for relation, known in found if known is not None}


def _moves_masked(statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> bool:
    if namesakes(statement, catalog) and sets:
        return True
    if not statement.moves or not sets:
        return False
    known = catalog.resolved(statement.relations)
    if known is None:
        return True
    masked = _masked(known, sets)
    return bool(masked) and ("*" in statement.moves or bool(statement.moves & masked))


def _completed(deed: Deed, full: dict[str, str], moves: bool) -> Deed:
    tables = frozenset(full.get(name, name) for name in _names(deed, "tables"))
    resource = deed.resource
    if resource.kind == "table":
        resource = Resource(kind="table", name=full.get(resource.name, resource.name))
    return replace(deed, resource=resource, facts={**deed.facts, "tables": tables, "moves_masked": moves})
