"""What a statement asks about masked columns without showing them: conditions, keys, order, errors, collisions.

``WHERE ssn LIKE '1%'`` spells out a value bit by bit, however well it is covered in the answer. A reading says which columns
decide something (``Statement.tests``); the catalog says which of them are masked. What is not known counts as any.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from gatebook.masking.rules import ANY, MaskSet, style_of
from gatebook.model import Deed
from gatebook.protocols.postgres.catalog import Catalog
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
    there = {one: known for one in statement.relations if (known := catalog.by_name[one]) is not None}
    masked = {one: known.masked(sets) for one, known in there.items()}
    found = frozenset(_found(tests, masked)) if any(masked.values()) else frozenset()
    return Probed(
        frozenset(f"{there[relation].name}.{name}" for relation, name in found),
        frozenset(each for relation, name in found for each in there[relation].sets_of(sets, name)),
        frozenset(_checked(statement, catalog, sets)) if statement.written else frozenset(),
    )


def _found(tests: Iterable[Origin], masked: Mapping[Relation, frozenset[str]]) -> Iterator[tuple[Relation, str]]:
    """The masked columns that are tested. A name without a relation may be a column of any."""
    for relation, name in tests:
        for one in masked if relation is None else (relation,):
            there = masked.get(one, frozenset())
            yield from ((one, column) for column in (there if name == ANY else there & {name}))


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


def _checked(statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> Iterator[str]:
    for relation, name in statement.written:
        known = catalog.by_name.get(relation) if relation is not None else None
        if known is not None:
            yield from (f"{known.name}.{column}" for column in known.checked(sets, {name}))


def _any(origins: Collection[Origin]) -> frozenset[str]:
    return frozenset({ANY}) if origins else frozenset()
