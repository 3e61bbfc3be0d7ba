"""What a statement asks about masked columns without showing them: conditions, keys, order, errors, collisions.

``WHERE ssn LIKE '1%'`` spells out a value bit by bit, however well it is covered in the answer. A reading says which columns
decide something (``Statement.tests``); the catalog says which of them are masked. What is not known counts as any.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from gatebook.masking.rules import ANY, MaskSet, style_of
from gatebook.model import Deed
from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.reading import Origin, Place, Relation, Statement

Fact = bool | int | str | frozenset[str]


class Probed(NamedTuple):
    """Masked columns that decide something, their mask sets, and those that keys or references check."""

    columns: frozenset[str]
    sets: frozenset[str]
    keys: frozenset[str]

    def on(self, deed: Deed) -> Mapping[str, Fact]:
        """The deed's facts with these in them."""
        return {**deed.facts, "tests_masked": self.columns, "tested_sets": self.sets, "keys_masked": self.keys}


NOTHING = Probed(frozenset(), frozenset(), frozenset())


def probed(statement: Statement, catalog: Catalog, sets: Collection[MaskSet], resolved: Collection[Place]) -> Probed:
    """What this statement finds out about masked columns. Comparisons in ``resolved`` are with tokens, which tell nothing."""
    tests = statement.tests | compared(statement, resolved)
    if not sets or not (tests or statement.written):
        return NOTHING
    if not all(_is_told(relation, catalog) for relation in statement.relations):
        every = frozenset(one.name for one in sets)
        return Probed(_any(tests), every if tests else frozenset(), _any(statement.written))
    found = [
        (known, name)
        for origin in tests
        for known in _meant(origin, statement, catalog)
        for name in _masked(known, origin[1], sets)
    ]
    return Probed(
        frozenset(f"{known.name}.{name}" for known, name in found),
        frozenset(one for known, name in found for one in known.sets_of(sets, name)),
        frozenset(_checked(statement, catalog, sets)),
    )


def _is_told(relation: Relation, catalog: Catalog) -> bool:
    """Whether the target said what this name stands for, were it nothing."""
    return catalog.by_name.get(relation) is not None or relation in catalog.absent


def compared(statement: Statement, resolved: Collection[Place]) -> frozenset[Origin]:
    """The columns that are compared with values other than these."""
    places = (place for place in statement.places if not place.writes and place not in resolved)
    return frozenset(origin for place in places for origin in place.origins)


def by_names(statement: Statement, sets: Collection[MaskSet]) -> Probed:
    """The same as far as names tell, where no catalog can be asked."""
    tests = statement.tests | compared(statement, ())
    found = {(f"{relation}.{name}" if relation else name): _covering(sets, relation, name) for relation, name in tests}
    shown = {column: names for column, names in found.items() if names}
    return Probed(frozenset(shown), frozenset(name for names in shown.values() for name in names), frozenset())


def _covering(sets: Collection[MaskSet], relation: Relation | None, name: str) -> list[str]:
    schema, tables = (relation.schema or "", [relation.name]) if relation else ("", [])
    return [one.name for one in sets if style_of([one], schema, tables, name)]


def _meant(origin: Origin, statement: Statement, catalog: Catalog) -> Iterable[Known]:
    """The relations that this may be a column of."""
    relation = origin[0]
    relations = statement.relations if relation is None else (relation,)
    return [known for known in map(catalog.by_name.get, relations) if known is not None]


def _masked(known: Known, name: str, sets: Collection[MaskSet]) -> frozenset[str]:
    masked = known.masked(sets)
    return masked if name == ANY else masked & {name}


def _checked(statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> Iterator[str]:
    for relation, name in statement.written:
        known = catalog.by_name.get(relation) if relation is not None else None
        if known is not None:
            yield from (f"{known.name}.{column}" for column in known.checked(sets, {name}))


def _any(origins: Collection[Origin]) -> frozenset[str]:
    return frozenset({ANY}) if origins else frozenset()
