"""What the kinds of Kubernetes look like as protobuf, from ``messages.txt``, which scripts/messages makes of the real types.

A kind's line: ``Deployment api/apps/v1.Deployment apps/v1``, its message and the versions of the API in which it is that one.
A message is its name behind ``=``, then a line for each field: ``5 -string nodeName``, number, type and name in JSON. Marks
before a type: ``*`` a list, ``%`` a map by text, ``?`` one that may be missing, ``-`` one whose zero JSON leaves out. A type
with a dot is a message, of the same package where the dot is first. The name ``~`` is of a message whose fields stand among
those of the one around it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache


class Many(Enum):
    """How often a field stands."""

    ONE = ""
    LIST = "*"
    MAP = "%"


INLINE = "~"


@dataclass(frozen=True, slots=True)
class Field:
    """``of`` is ``string`` or another plain type, or the name of a message where ``is_message`` says so."""

    number: int
    name: str
    of: str
    many: Many
    drops_zero: bool
    is_message: bool


@dataclass(frozen=True, slots=True)
class Messages:
    """All there are. ``kinds`` is by version and kind: ``("apps/v1", "Deployment")``."""

    kinds: Mapping[tuple[str, str], str]
    fields: Mapping[str, Mapping[int, Field]]


@cache
def messages() -> Messages:
    """The table, read once."""
    text = pkgutil.get_data(__package__, "messages.txt")
    if text is None:
        raise AssertionError("messages.txt is not in the package")
    return read_table(text.decode())


def read_table(text: str) -> Messages:
    """The table as its text says it."""
    kinds: dict[tuple[str, str], str] = {}
    fields: dict[str, Mapping[int, Field]] = {}
    found: dict[int, Field] = {}
    package = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("="):
            package = line[1:].rpartition(".")[0]
            found = fields.setdefault(line[1:], {})  # type: ignore[assignment]
        elif line[0].isdigit():
            one = _field(line, package)
            found[one.number] = one
        else:
            kind, of, *versions = line.split()
            kinds |= {(version, kind): of for version in versions}
    return Messages(kinds, fields)


def _field(line: str, package: str) -> Field:
    number, of, name = line.split()
    plain = of.lstrip("*%?-")
    mark = of[: len(of) - len(plain)]
    many = Many(mark) if mark in ("*", "%") else Many.ONE
    return Field(int(number), name, package + plain if plain[0] == "." else plain, many, mark == "-", "." in plain)
