"""Where in a document a rule on fields holds: the paths of all mask sets walked at once, as one automaton.

A place is a set of positions in the patterns; going down to a member or an item gives the place below. Places are few and are
made when they are first met. Names that no pattern has all lead to the same place, so that who names the fields cannot make
this grow.

An array on the way need not be named: its items are at the array's own place and, for ``*``, one below.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.masking.rules import STRICTNESS, Level, MaskSet, Style
from gatebook.masking.wild import Wild

Place: TypeAlias = int
TOP: Place = 0
PLACES = 4096  # patterns with many stars have more, but no document meets those that was not made for it
STEPS = 65_536  # that are remembered: names can be made to meet stars in ever other ways
REMEMBERED = 1_024  # names
LONGEST = 256  # of these

_VALUE = "value"  # the member beside which a member "name" says what it is
_NONE: frozenset[Wild] = frozenset()

_Position: TypeAlias = tuple[int, int]  # of which pattern, before which of its parts


class FieldTree:
    """The fields of some mask sets. Keeps what it has worked out, and nothing that depends on a document."""

    def __init__(self, sets: Iterable[MaskSet]) -> None:
        pairs = [(pattern, each) for each in sets for pattern in each.fields]
        self._patterns = [tuple(_folded(part) for part in pattern.parts) for pattern, _ in pairs]
        self._sets = [each for _, each in pairs]
        self._base64 = frozenset(number for number, (pattern, _) in enumerate(pairs) if pattern.base64)
        self._floating = self._closed((number, 0) for number, (pattern, _) in enumerate(pairs) if not pattern.top)
        self._names = {part for parts in self._patterns for part in parts if isinstance(part, str)}
        self._wild = frozenset(part for parts in self._patterns for part in parts if isinstance(part, Wild))
        self._top = self._floating | self._closed((number, 0) for number, (pattern, _) in enumerate(pairs) if pattern.top)
        self._known: dict[frozenset[_Position], Place] = {}
        self._places: list[frozenset[_Position]] = []
        self._meets: dict[str, frozenset[Wild]] = {}
        self._below: dict[tuple[Place, str | Level, frozenset[Wild]], Place] = {}
        self._place(self._top)

    @property
    def names(self) -> frozenset[str]:
        """The names that its patterns have, folded."""
        return frozenset(self._names)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def _place(self, positions: frozenset[_Position]) -> Place:
        found = self._known.get(positions)
        if found is None:
            if len(self._places) >= PLACES:
                raise WireError(f"the document meets the rules on its fields in more than {PLACES} ways")
            found = self._known[positions] = len(self._places)
            self._places.append(positions)
        return found

    def _closed(self, positions: Iterable[_Position]) -> frozenset[_Position]:
        """With what ``**`` lets be skipped."""
        found = set(positions)
        todo = list(found)
        while todo:
            number, at = todo.pop()
            parts = self._patterns[number]
            if at < len(parts) and parts[at] is Level.MANY and (number, at + 1) not in found:
                found.add((number, at + 1))
                todo.append((number, at + 1))
        return frozenset(found)

    @property
    def wild(self) -> bool:
        """Whether names with stars are in it, so that more names count than ``names``."""
        return bool(self._wild)

    def pairs(self, place: Place) -> bool:
        """Whether what stands there beside a name is covered by what that says."""
        return any(
            isinstance(part, Wild) and part.beside
            for number, at in self._places[place]
            for part in self._patterns[number][at : at + 1]
        )

    @property
    def anywhere(self) -> Place:
        """The place of what stands at no known depth: nothing that is tied to the top begins there."""
        return self._place(self._floating)

    def member(self, place: Place, name: str) -> Place:
        """The place of a member by its name, as it stands in the document."""
        return self._member(place, name, self._met(name) if self._wild else _NONE)

    def paired(self, place: Place, name: str, said: str | None) -> Place:
        """The same of a member beside one called ``name``, which says this; None: it may say anything."""
        if not self._wild or name.lower() != _VALUE:
            return self.member(place, name)
        said_so = frozenset(one for one in self._wild if one.beside and (said is None or one.matches(said)))
        return self._member(place, name, self._met(name) | said_so)

    def _met(self, name: str) -> frozenset[Wild]:
        """Those names with stars that mean this one."""
        found = self._meets.get(name)
        if found is not None:
            return found
        found = frozenset(one for one in self._wild if not one.beside and one.matches(name))
        if len(name) <= LONGEST:
            if len(self._meets) >= REMEMBERED:
                self._meets.clear()
            self._meets[name] = found
        return found

    def _member(self, place: Place, name: str, met: frozenset[Wild]) -> Place:
        folded = name.lower()
        key = (place, folded if folded in self._names else Level.ONE, met)
        below = self._below.get(key)
        if below is None:
            if len(self._below) >= STEPS:
                self._below.clear()
            below = self._below[key] = self._place(self._stepped(place, key[1], met) | self._floating)
        return below

    def item(self, place: Place) -> Place:
        """The place of an array's items."""
        key = (place, Level.MANY, _NONE)
        below = self._below.get(key)
        if below is None:
            below = self._below[key] = self._place(self._stepped(place, Level.ONE) | self._inner(place))
        return below

    def _stepped(self, place: Place, step: str | Level, met: frozenset[Wild] = _NONE) -> frozenset[_Position]:
        found = set()
        for number, at in self._places[place]:
            parts = self._patterns[number]
            if at == len(parts):
                continue
            if parts[at] is Level.MANY:
                found.add((number, at))
            elif parts[at] is Level.ONE or parts[at] == step or parts[at] in met:
                found.add((number, at + 1))
        return self._closed(found)

    def _inner(self, place: Place) -> frozenset[_Position]:
        """An array's own positions; where a pattern has ended it holds already, and need not hold again below."""
        return frozenset((number, at) for number, at in self._places[place] if at < len(self._patterns[number]))

    def joined(self, places: Iterable[Place]) -> Place:
        """One place that is all of these, for what may go by several names."""
        return self._place(frozenset().union(*(self._places[place] for place in places)))

    def sets(self, place: Place) -> list[MaskSet]:
        """The mask sets that mean what stands there."""
        return [self._sets[number] for number, at in self._places[place] if at == len(self._patterns[number])]

    @property
    def writes_base64(self) -> bool:
        """Whether any of its patterns means what is written in base64."""
        return bool(self._base64)

    def base64(self, place: Place) -> bool:
        """Whether what stands there is written in base64."""
        if not self._base64:
            return False
        return any(number in self._base64 and at == len(self._patterns[number]) for number, at in self._places[place])

    def style(self, place: Place) -> tuple[Style, str] | None:
        """How what stands there is covered: the strictest style of all that mean it, and a set that has it."""
        found = self.sets(place)
        if not found:
            return None
        strictest = max((each.style for each in found), key=STRICTNESS.index)
        return strictest, min(each.name for each in found if each.style is strictest)

    @property
    def grown(self) -> bool:
        """Whether the next document should begin with a new one."""
        return len(self._places) > PLACES // 2


def _folded(part: str | Level | Wild) -> str | Level | Wild:
    return part.lower() if isinstance(part, str) else part
