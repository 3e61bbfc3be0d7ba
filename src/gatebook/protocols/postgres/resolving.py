"""Tokens on their way back: resolved where they are compared with their column, or written into one, and nowhere else.

A token stands for a value that the client may not see. So it is turned back only as a whole value, in a place that can do
nothing with it but compare it for equality with a column of the same mask set, or write it into a table's column whose mask is
the same or stricter. Anywhere else it stays the text that it is. Where it would end up in a masked column unresolved, where one
parameter stands in another place too, or where the server would show the text it is put into, the statement is refused. So is
one that writes a covered value back over the real one.

The record, the ledger and approvals keep the token: only the bytes for the target hold the value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gatebook.masking import tokens
from gatebook.masking.rules import STRICTNESS, MaskSet, Style
from gatebook.masking.styles import is_ours
from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.reading import Place, Reading, Slot, Statement

# What a statement may do that holds a token: what shows or keeps its own text (EXPLAIN, DECLARE, the catalog) is not here.
_VERBS = frozenset(
    "sql.select sql.insert sql.update sql.delete sql.merge sql.copy_out sql.lock sql.sequence sql.notify".split()
)
_ECHO = "current_query"  # a function that shows the text it is called from

FOREIGN = "it holds a token of another run, identity, target or mask set, or one that was changed; read the column again"
ELSEWHERE = (
    "a token may only be compared (=, IN) with its own column, or written into a table's column under the same or a stricter "
    "mask; here it would stand in another place too"
)
SHOWN_BACK = "a token cannot be used in a statement that shows or keeps its own text, such as EXPLAIN, DECLARE or PREPARE"
AS_PARAMETER = "a token in the text of a prepared statement is not resolved; send it as a parameter"
WRITTEN_BACK = "it would write a covered value over the real one; leave the column out, or write a new value"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What tokens in one request stand for: ``places`` where they do, the values by slot. ``refusal`` says why it cannot go."""

    places: frozenset[Place] = frozenset()
    values: Mapping[Slot, bytes] = field(default_factory=dict, repr=False)
    refusal: str = ""

    def text(self, text: str) -> str:
        """The text with the values of its constants. Their quotes are doubled; backslashes mean themselves, as pinned."""
        raw, found = text.encode(), [(slot.at, slot) for slot in self.values if not slot.param]
        for at, slot in sorted(found, key=lambda one: one[0], reverse=True):
            old = b"'" + slot.text.encode() + b"'"
            if raw[at : at + len(old)] != old:
                raise AssertionError("a constant is not where the parser said")
            raw = raw[:at] + b"'" + self.values[slot].replace(b"'", b"''") + b"'" + raw[at + len(old) :]
        return raw.decode()

    def parameters(self, values: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
        """The parameters with their values."""
        known = {slot.param: value for slot, value in self.values.items() if slot.param}
        return tuple(known.get(number, value) for number, value in enumerate(values, start=1))


PLAIN = Resolved()


def resolve(
    reading: Reading,
    given: Sequence[bytes | None],
    catalog: Catalog,
    sets: Collection[MaskSet],
    keys: Mapping[str, Sequence[bytes]],
) -> Resolved:
    """What the tokens in a text and its parameters stand for. ``keys`` are those of each mask set, today's first."""
    places: set[Place] = set()
    values: dict[Slot, bytes] = {}
    for statement in reading.statements:
        for place in statement.places:
            value = _given(place.slot, given)
            columns = _columns(place, statement, catalog, sets) if value is not None and is_ours(value) else []
            if value is None or not columns:
                continue
            if not tokens.is_token(value):
                if place.writes:
                    return Resolved(refusal=WRITTEN_BACK)
                continue
            found = _meant(value, place, columns, sets, keys)
            if found is None:
                return Resolved(frozenset({place}), refusal=FOREIGN)
            if not place.alone:
                return Resolved(refusal=ELSEWHERE)
            places.add(place)
            values[place.slot] = found
    return Resolved(frozenset(places), values, _misplaced(reading, values, places)) if values else PLAIN


def _given(slot: Slot, given: Sequence[bytes | None]) -> bytes | None:
    if not slot.param:
        return slot.text.encode()
    return given[slot.param - 1] if 0 < slot.param <= len(given) else None


def _columns(place: Place, statement: Statement, catalog: Catalog, sets: Collection[MaskSet]) -> list[tuple[Known, int]]:
    """The masked columns that a place may be about, each with its number. A relation that is not known has none to tell."""
    found = []
    for relation, name in place.origins:
        relations = statement.relations if relation is None else (relation,)
        for known in (catalog.by_name.get(one) for one in relations):
            if known is not None:
                numbers = sorted(known.columns)
                chosen = numbers[int(name[1:]) - 1 : int(name[1:])] if name[:1] == "#" else _named(known, name)
                found += [(known, number) for number in chosen if known.style(sets, number)]
    return found


def _named(known: Known, name: str) -> list[int]:
    return [number for number, column in known.columns.items() if column == name]


def _meant(
    token: bytes,
    place: Place,
    columns: Sequence[tuple[Known, int]],
    sets: Collection[MaskSet],
    keys: Mapping[str, Sequence[bytes]],
) -> bytes | None:
    """The value, if every column that may be meant is one that this token may meet in this place."""
    for one in sets:
        value = next((found for key in keys.get(one.name, ()) if (found := tokens.unseal(token, key)) is not None), None)
        if value is not None:
            return value if all(_may_meet(one, place, known, number, sets) for known, number in columns) else None
    return None


def _may_meet(one: MaskSet, place: Place, known: Known, number: int, sets: Collection[MaskSet]) -> bool:
    if known.under or known.opaque:  # of a view nobody here can tell which column of which table it is
        return False
    style = known.style(sets, number)
    stricter = place.writes and style is not None and STRICTNESS.index(style) > STRICTNESS.index(Style.TOKEN)
    return stricter or known.style([one], number) is Style.TOKEN


def _misplaced(reading: Reading, values: Mapping[Slot, bytes], places: Collection[Place]) -> str:
    """Why tokens that could be resolved may not be, all the same."""
    numbers = {slot.param for slot in values if slot.param}
    for statement in reading.statements:
        if any(place.slot.param in numbers and place not in places for place in statement.places):
            return ELSEWHERE
        if numbers & statement.parameters:
            return ELSEWHERE
    verbs = {deed.verb for deed in reading.deeds}
    if any(statement.prepares is not None or statement.executes is not None for statement in reading.statements):
        return SHOWN_BACK
    if not verbs <= _VERBS or len(reading.statements) != 1 or _ECHO in reading.text.lower():
        return SHOWN_BACK
    return ""
