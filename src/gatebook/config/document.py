"""From the bytes of a YAML file to plain values, closed: no custom tags, no merge keys, no key twice, no growing aliases.

Words are typed as YAML 1.2's core schema does: ``true``, ``false``, ``null`` and decimal numbers; ``on``, ``no``, ``1:30`` and
``2026-01-01`` are text. Each value's line is kept for the faults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from gatebook.errors import ConfigError

LONGEST_BYTES = 1 << 20  # a config is written by hand; this is some twenty thousand lines
NODES = 50_000  # with every alias counted as often as it is used
DEEPEST = 32  # levels; the shape needs six

Path: TypeAlias = tuple[str | int, ...]
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "null", "int", "map", "seq")}
_STRANGE = re.compile(r"found character '(\\?.{1,3})' that cannot start any token")


class _Loader(yaml.SafeLoader):
    """A safe loader with few words of its own."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (as PyYAML has it)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^(?:0|-?[1-9][0-9]{0,17})$"), list("-0123456789"))
_Loader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the value, the line of each key or item (from 1), and faults that did not stop the reading."""

    value: Any
    lines: Mapping[Path, int]
    faults: list[str]


def read(source: bytes, name: str) -> Document:
    """Read one document; raises ConfigError where there is nothing to go on with."""
    if len(source) > LONGEST_BYTES:
        raise ConfigError([f"{name}: more than {LONGEST_BYTES} bytes: expected a configuration written by hand"])
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}: byte {error.start}: expected UTF-8 (line {line})"]) from None
    loader, node = _compose(text, name)
    walk = _Walk(name)
    if node is not None:
        walk.into(node, ())
    try:
        value = loader.construct_document(node) if node is not None and not walk.fatal else None
    except (yaml.YAMLError, ValueError, TypeError):
        raise ConfigError([f"{name}: a tag (!…): expected plain values without tags"]) from None
    if walk.fatal:
        raise ConfigError(walk.faults)
    return Document(value, walk.lines, walk.faults)


def _compose(text: str, name: str) -> tuple[_Loader, yaml.Node | None]:
    try:
        loader = _Loader(text)
        return loader, loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError([f"{name}: {_problem(error)}: expected YAML{where}"]) from None
    except yaml.YAMLError:
        raise ConfigError([f"{name}: a control character: expected YAML, which is text"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: nested too deeply: expected at most {DEEPEST} levels"]) from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What the parser objects to, without what it quotes: a password may begin with any character, a tag's or alias's too."""
    problem = error.problem or error.context or "unreadable"
    if found := _STRANGE.search(problem):
        return found[0]
    return re.split("['\"]", problem, maxsplit=1)[0].strip() or "unreadable"


@dataclass(slots=True)
class _Walk:
    """Goes through the nodes once, following aliases, before any value is made of them."""

    name: str
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    fatal: bool = False
    nodes: int = 0

    def into(self, node: yaml.Node, path: Path) -> None:
        self.nodes += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self.nodes > NODES or len(path) > DEEPEST:
            self._stop()
        elif node.tag not in _PLAIN:
            self._fault(path, "a tag (!…)", "a plain value", node)
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for place, item in enumerate(node.value):
                if self.nodes > NODES:
                    return
                self.into(item, (*path, place))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if self.nodes > NODES:
                return
            if key.tag == _MERGE:
                self._fault(path, "<<", "the keys themselves: merge keys are not read", key)
            elif key.tag != _TEXT or not isinstance(key, yaml.ScalarNode):
                self._fault(path, "a key that is not text", "text (quote it)", key)
            elif key.value in seen:
                self._fault((*path, key.value), f"written twice, first in line {seen[key.value]}", "it once", key, fatal=False)
            else:
                seen[key.value] = line
                self.lines[(*path, key.value)] = line
                self.into(value, (*path, key.value))

    def _fault(self, path: Path, found: str, expected: str, node: yaml.Node, *, fatal: bool = True) -> None:
        self.fatal = self.fatal or fatal
        where = f"{spelled(path)}: " if path else ""
        self.faults.append(f"{self.name}: {where}{found}: expected {expected} (line {node.start_mark.line + 1})")

    def _stop(self) -> None:
        if not self.fatal or self.nodes <= NODES:
            self.fatal = True
            self.faults.append(
                f"{self.name}: aliases that grow, or nested too deeply: expected at most {NODES} values, {DEEPEST} levels deep"
            )
        self.nodes = NODES + 1


def spelled(path: Path) -> str:
    """A path as people write it: ``targets[0].tls.mode``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
