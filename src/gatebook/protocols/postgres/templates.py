"""Texts that differ in numbers only, read once: where it is proven that these numbers change nothing of the reading.

Many clients write their values into the text, so that hardly a text comes twice. Here a text is cut into a skeleton, byte for
byte what it is save for its numbers, and those numbers. A text whose skeleton was seen before has the statements of that first
text, where four things hold, all of them closed unless proven open:

- The text is of a plain kind (``_PLAIN``): printable ASCII, no comment, backslash, dollar or parameter, no string or number of
  any other form than ``'…'`` without quotes in it and one to nine digits, and nothing that stands so close to a literal that
  it could change it (E'', U&'', X'', 1e5, 1.5, 0x1F, 1_000). So the server's lexer and this one see the same tokens, and other
  numbers give the same tree. What a string says may matter by itself, as a covered value that comes back does
  (``slots.py``), so strings are part of the skeleton.
- A number may vary only where the tree has it as the constant of ``column = constant`` (or <>, <, >, <=, >=, IN) in the ANDs
  of a WHERE, in the VALUES of an INSERT, or in ``SET column = constant``. All others (arguments of functions, what is cast or
  negated, LIMIT, ORDER BY 1, intervals, options) are part of what must be the same.
- The reading points nowhere into its text: no string in it may be replaced (``Slot.at``).
- The reading does not change when the numbers that may vary are replaced by ones that would be telling (``_TELLING``).

What is found here is the same as a reading of the text itself; a property test holds it to that. Only the reading is shared:
the exact text stays what is sent, digested, shown and looked through by detectors.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gatebook.protocols.postgres import grammar
from gatebook.protocols.postgres.grammar import Node
from gatebook.protocols.postgres.reading import Reading, Statement

CHARACTERS = 4096  # of a text
KEPT = 1024  # skeletons
ALIKE = 4  # templates of one skeleton, which differ in numbers that may not vary
NUMBERS = 256
TIMES = 2  # a skeleton must come before the work of a template is worth it
DULL = -1  # instead of how often a skeleton came: no number of it may vary

PLAIN = r"""(?: [A-Za-z_][A-Za-z0-9_]*+ (?!['"&])
          | "[ !#-\[\]-~]*+" (?!["'])
          | '[ !-&(-\[\]-~\t\n\r]*+' (?!['"A-Za-z0-9_])
          | [0-9]{1,9}+ (?![0-9A-Za-z_.'"])
          | \. (?![0-9'])
          | & (?!['"])
          | [ \t\n\r(),;<>=!+*\[\]:%|]
          | - (?!-)
          | / (?!\*)
    )*+"""
_PLAIN = re.compile(PLAIN, re.VERBOSE | re.ASCII)
_NUMBER = re.compile(r"""("[^"]*"|'[^']*')|(?<![A-Za-z0-9_])([0-9]+)""", re.ASCII)
_MARK = "\x02"  # which no plain text has
_TELLING = ("0", "1", "2", "999999999")
_COMPARISONS = frozenset({"=", "<>", "<", ">", "<=", ">="})

Read = Callable[[str], Reading]


@dataclass(frozen=True, slots=True)
class _Template:
    """``fixed`` are the numbers that must be the same, by their place among all."""

    fixed: tuple[tuple[int, str], ...]
    statements: tuple[Statement, ...]


class Templates:
    """The templates of one process. What is kept is true of the text alone, so that every session may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[_Template]] = OrderedDict()
        self._seen: OrderedDict[str, int] = OrderedDict()

    def find(self, text: str) -> tuple[Statement, ...] | None:
        """The statements of a text that is known but for numbers; None for one that must be read."""
        skeleton = _skeleton(text)
        for template in self._kept.get(skeleton, ()) if skeleton else ():
            if not template.fixed:
                return template.statements
            numbers = _numbers(text)
            if all(numbers[place] == number for place, number in template.fixed):
                return template.statements
        return None

    def fixed(self, reading: Reading) -> tuple[int, ...] | None:
        """The places of the numbers that may not vary, where the reading is one that texts share; None where it is not."""
        skeleton = _skeleton(reading.text)
        for template in self._kept.get(skeleton, ()) if skeleton else ():
            if template.statements is reading.statements:
                return tuple(place for place, _ in template.fixed)
        return None

    def learn(self, text: str, reading: Reading, read: Read) -> None:
        """Take note of a text that was read; ``read`` reads others in the same way, without this."""
        skeleton = _skeleton(text)
        if not skeleton or reading.error or len(reading.statements) != 1 or _points_into(reading.statements[0]):
            return
        numbers = _numbers(text)
        if not 0 < len(numbers) <= NUMBERS or not self._often(skeleton) or len(self._kept.get(skeleton, ())) >= ALIKE:
            return
        places = _variable_places(text)
        if not places or not _changes_nothing(text, places, reading, read):
            self._seen[skeleton] = DULL
            return
        fixed = tuple((place, number) for place, number in enumerate(numbers) if place not in places)
        self._kept.setdefault(skeleton, []).append(_Template(fixed, reading.statements))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _often(self, skeleton: str) -> bool:
        times = self._seen.pop(skeleton, 0)
        self._seen[skeleton] = times = times if times == DULL else min(times + 1, TIMES)
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return times == TIMES


def _skeleton(text: str) -> str:
    """The text with a mark for each number; empty for a text that is not plain."""
    if len(text) > CHARACTERS or not _PLAIN.fullmatch(text):
        return ""
    return _NUMBER.sub(rf"\1{_MARK}", text)  # behind strings and quoted names too, which changes nothing


def _numbers(text: str) -> list[str]:
    return [number for _, number in _NUMBER.findall(text) if number]


def _points_into(statement: Statement) -> bool:
    return any(not place.slot.param for place in statement.places)


def _variable_places(text: str) -> frozenset[int]:
    """The places of those numbers that may be another, among all of the text."""
    tree = grammar.parse(text)
    if len(tree.statements) != 1:
        return frozenset()
    offsets = [found.start() for found in _NUMBER.finditer(text) if found[2]]
    may_vary = {constant.get("location", 0) for constant in _constants(tree.statements[0]["stmt"])}
    return frozenset(place for place, offset in enumerate(offsets) if offset in may_vary)  # bytes, since it is ASCII


def _constants(statement: Node) -> Iterator[Node]:
    """The constants of a statement that may be others."""
    kind, body = next(iter(statement.items()))
    if kind not in ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"):
        return
    if "whereClause" in body:
        yield from _compared(body["whereClause"])
    if kind == "UpdateStmt":
        for target in body.get("targetList", ()):
            yield from _constant(target.get("ResTarget", {}).get("val"))
    if kind == "InsertStmt":
        for row in body.get("selectStmt", {}).get("SelectStmt", {}).get("valuesLists", ()):
            for cell in row.get("List", {}).get("items", ()):
                yield from _constant(cell)


def _compared(condition: Node) -> Iterator[Node]:
    kind, body = next(iter(condition.items()))
    if kind == "BoolExpr" and body.get("boolop") == "AND_EXPR":
        for arm in body["args"]:
            yield from _compared(arm)
    if kind != "A_Expr" or "ColumnRef" not in body.get("lexpr", {}) or len(body.get("name", ())) != 1:
        return
    operator, right = body["name"][0]["String"].get("sval"), body.get("rexpr", {})
    if body["kind"] == "AEXPR_OP" and operator in _COMPARISONS:
        yield from _constant(right)
    elif body["kind"] == "AEXPR_IN" and operator in ("=", "<>"):
        for item in right.get("List", {}).get("items", ()):
            yield from _constant(item)


def _constant(node: Node | None) -> Iterator[Node]:
    if node is not None and "ival" in node.get("A_Const", {}):
        yield node["A_Const"]


def _changes_nothing(text: str, places: frozenset[int], reading: Reading, read: Read) -> bool:
    """Whether the reading stays what it is with telling literals in these places."""
    for telling in _TELLING:
        other = read(_with(text, places, telling))
        if other.error or other.statements != reading.statements:
            return False
    return True


def _with(text: str, places: frozenset[int], telling: str) -> str:
    place = -1

    def put(found: re.Match[str]) -> str:
        nonlocal place
        if not found[2]:
            return found[0]
        place += 1
        return telling if place in places else found[0]

    return _NUMBER.sub(put, text)
