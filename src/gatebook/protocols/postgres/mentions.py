"""The relation that a statement changes, and where an expression of a parse tree mentions its columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gatebook.protocols.postgres.constants import bare

Node = dict[str, Any]

# System columns that are the same for most rows or mean nothing; ctid is a row's own address and counts.
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax"})


@dataclass(frozen=True, slots=True)
class Target:
    """The relation a statement changes: its own name, and the name by which the statement calls it.

    ``copies`` are the CTEs that yield all of its rows, ``twins`` the FROM items that do.
    """

    name: str
    alias: str
    copies: frozenset[str] = frozenset()
    twins: frozenset[str] = frozenset()


def nodes(root: Any) -> Iterator[tuple[str, Any]]:
    """Every node below, itself included, without recursion."""
    stack = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key < "a":
                    yield key, value
                if isinstance(value, (dict, list)):
                    stack.append(value)


def mentions(root: Any, target: Target, *, inner: bool = False) -> bool:
    """Whether a column of the target is named below. Inside a sub-select only a qualified name surely is the target's."""
    stack = [(root, inner)]
    while stack:
        item, hidden = stack.pop()
        if isinstance(item, list):
            stack.extend((part, hidden) for part in item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "ColumnRef":
                    if is_targets(names_of(value), target, hidden):
                        return True
                elif key == "SelectStmt":
                    if not _shadows(value, target):
                        stack.append((value, True))
                elif isinstance(value, (dict, list)):
                    stack.append((value, hidden))
    return False


def _shadows(select: Node, target: Target) -> bool:
    for kind, body in nodes(select.get("fromClause")):
        alias = body.get("alias", {}).get("aliasname") if isinstance(body, dict) else None
        if alias == target.alias or (kind == "RangeVar" and alias is None and body["relname"] == target.alias):
            return True
    return False


def names_of(column: Node) -> list[str]:
    """The parts of a column's name; "*" for a star."""
    return [field["String"].get("sval", "") if "String" in field else "*" for field in column["fields"]]


def is_targets(names: list[str], target: Target, hidden: bool) -> bool:
    """Whether a name is a column of the target; ``hidden`` where an unqualified one may be another's."""
    if names[-1] in _SYSTEM_COLUMNS:
        return False
    if len(names) == 1:
        return not hidden and names[0] != target.alias
    return names[-2] == target.alias


def key_of(node: Any, target: Target) -> object:
    """A value that is equal for the same expression, wherever it stands: no locations, casts or the target's own qualifier."""
    if isinstance(node, list):
        return tuple(key_of(item, target) for item in node)
    if not isinstance(node, dict):
        return node
    node = bare(node)
    field = node.get("A_Indirection", {})
    if "ColumnRef" in field.get("arg", {}) and len(field["indirection"]) == 1 and "String" in field["indirection"][0]:
        names = [name for name in names_of(field["arg"]["ColumnRef"]) if name != "*"]
        node = {"ColumnRef": {"fields": [*({"String": {"sval": name}} for name in names), field["indirection"][0]]}}
    if "ColumnRef" in node and len(node) == 1:
        names = names_of(node["ColumnRef"])
        return ("column", *(names[-1:] if len(names) > 1 and names[-2] == target.alias else names))
    if "SubLink" in node and node["SubLink"]["subLinkType"] == "EXPR_SUBLINK":
        select = node["SubLink"]["subselect"].get("SelectStmt", {})
        if not select.get("fromClause") and select.get("targetList"):
            return key_of(select["targetList"][0]["ResTarget"]["val"], target)
    return tuple((key, key_of(value, target)) for key, value in node.items() if key != "location")
