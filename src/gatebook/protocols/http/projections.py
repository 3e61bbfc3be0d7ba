"""Names that a query gives to fields of its answer: ``select=x:ssn`` of PostgREST, ``$compute=ssn as x`` of OData.

A rule on fields goes by the names in an answer, so each that is given here stands for whatever its item names besides. That
is more than it need be, never less. What cannot be told is said, and nothing under a rule on fields goes on then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CHARACTERS = 8_192  # of one parameter
NAMES = 1_000  # in all of them
UNTOLD = "{}, so nobody knows under which names fields stand in its answer"

_SELECTS = frozenset({"select", "$select"})
_COMPUTES = frozenset({"$compute", "$apply", "$expand", "compute", "apply", "expand"})
_PROGRAMS = frozenset({"jq", "jmespath", "jsonata"})  # a program that makes the answer
_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<cast>::\s*[^,():"!.]*)|(?P<hint>![^,():"]*)|(?P<spread>\.\.\.)|(?P<mark>[(),])"""
    r"""|(?P<joint>->>|->|[:.])|(?P<name>(?:[^,():"!.\-]|-(?!>))+)""",
    re.DOTALL,
)
_AS = re.compile(r"\bas\s+([\w.]+)", re.IGNORECASE)
_WORD = re.compile(r"\w+")

Aliases = dict[str, frozenset[str]]


def renamed(query: Iterable[tuple[str, str]]) -> tuple[Aliases, str]:
    """Names with those that they may stand for, and why not all of them can be told, or ``""``."""
    aliases: dict[str, set[str]] = {}
    why = ""
    for name, value in query:
        called = name.casefold()
        if called not in _SELECTS | _COMPUTES | _PROGRAMS:
            continue
        if called in _PROGRAMS or len(value) > CHARACTERS:
            why = why or UNTOLD.format(f"its parameter {called} is not read")
        elif called in _COMPUTES:
            _computed(value, aliases)
        else:
            why = why or _selected(value, aliases)
    if sum(map(len, aliases.values())) > NAMES:
        return {}, UNTOLD.format(f"its query gives more than {NAMES} names")
    return {name: frozenset(others) for name, others in aliases.items()}, why


def _computed(value: str, aliases: dict[str, set[str]]) -> None:
    words = set(_WORD.findall(value))
    for found in _AS.finditer(value):
        aliases.setdefault(found[1], set()).update(words - {found[1]})


def _selected(value: str, aliases: dict[str, set[str]]) -> str:
    """The items of a list, each up to its comma or bracket."""
    item: set[str] = set()
    depth = at = 0
    while at < len(value):
        found = _TOKEN.match(value, at)
        if found is None:
            return UNTOLD.format("its parameter select cannot be read")
        at = found.end()
        match found.lastgroup:
            case "spread":
                return UNTOLD.format("its parameter select lifts fields (...) out of what they stand in")
            case "quoted":
                item.add(re.sub(r"\\(.)", r"\1", found[0][1:-1]))
            case "name":
                item.add(found[0].strip())
            case "mark":
                _told(item, aliases)
                item = set()
                depth += {"(": 1, ")": -1}.get(found[0], 0)
                if depth < 0:
                    return UNTOLD.format("its parameter select cannot be read")
    _told(item, aliases)
    return UNTOLD.format("its parameter select cannot be read") if depth else ""


def _told(item: set[str], aliases: dict[str, set[str]]) -> None:
    for name in item if len(item) > 1 else ():
        aliases.setdefault(name, set()).update(item - {name})
