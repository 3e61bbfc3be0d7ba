"""Shapes that parts of a query can have, as their nodes show them."""

from __future__ import annotations

from gatebook.protocols.postgres import functions
from gatebook.protocols.postgres.mentions import nodes
from gatebook.protocols.postgres.outputs import Rows
from gatebook.protocols.postgres.reading import Output
from gatebook.protocols.postgres.walk import Node, alias_of, field_names


def is_plain(body: Node, others: str) -> bool:
    """Whether an UPDATE or DELETE looks at no other relation to choose its rows."""
    if others in body or "withClause" in body:
        return False
    return all(kind != "SubLink" for kind, _ in nodes(body.get("whereClause", [])))


def is_itself(target: Node, body: Node) -> bool:
    """Whether SET gives a column its own value, or that of the row which ON CONFLICT met."""
    if "ColumnRef" not in target["val"] or "indirection" in target:
        return False
    *qualifier, name = field_names(target["val"]["ColumnRef"]["fields"])
    own = alias_of(body["relation"])[0] or body["relation"]["relname"]
    return name == target["name"] and (qualifier in ([own], ["excluded"]) or (not qualifier and name not in (own, "excluded")))


def is_bounded(source: Node) -> bool:
    """Whether the rows to insert are spelled out one by one."""
    values = source.get("SelectStmt", {}).get("valuesLists")
    if values is None:
        return False
    called = [field_names(body["funcname"])[-1] for kind, body in nodes(values) if kind == "FuncCall"]
    return all(name not in functions.SETS and functions.verb_of(None, name) != "sql.unknown" for name in called)


def leftmost(body: Node) -> Node:
    """The first SELECT of a set operation."""
    while "larg" in body:
        body = body["larg"]
    return body


def whens(body: Node) -> list[Node]:
    """The actions of a MERGE."""
    return list(body.get("mergeWhenClauses", ()))


def is_bare_star(value: Node) -> bool:
    """Whether an item is a star without a qualifier."""
    fields = value.get("ColumnRef", {}).get("fields", [])
    return len(fields) == 1 and "A_Star" in fields[0]


def meant_by(key: Node, rows: Rows) -> list[Output]:
    """The items of the select list that a key may mean: by its number from 1, or by its name."""
    value = key.get("SortBy", {}).get("node", key)
    number = value.get("A_Const", {}).get("ival", {}).get("ival")
    if number is not None:
        return [rows.outputs[number - 1]] if rows.exact and 0 < number <= len(rows.outputs) else list(rows.outputs)
    if "ColumnRef" not in value or len(value["ColumnRef"]["fields"]) > 1:
        return [output for part in _grouped(value) for output in meant_by(part, rows)]
    name = field_names(value["ColumnRef"]["fields"])[0]
    items = list(zip(rows.outputs, rows.labels, strict=True))
    called = [output for output, label in items if label == name]
    return called or [output for output, label in items if label is None and not output.star]  # the server names those itself


def _grouped(value: Node) -> list[Node]:
    """The keys inside of GROUPING SETS, ROLLUP and CUBE, and of a list of keys in parentheses."""
    inside = value.get("GroupingSet", {}).get("content", []) or value.get("RowExpr", {}).get("args", [])
    return [part for part in inside if part]


def plain_name(value: Node) -> str | None:
    """The name that the server gives an item (its FigureColname), None where that is not plain."""
    kind, body = next(iter(value.items()))
    match kind:
        case "ColumnRef":
            return field_names(body["fields"])[-1]
        case "FuncCall":
            return field_names(body["funcname"])[-1]
        case "CollateClause":
            return plain_name(body["arg"])
        case "TypeCast":
            types = field_names(body["typeName"].get("names", []))
            return plain_name(body["arg"]) or (types[-1] if types else None)
        case "A_Indirection":
            fields = [name for name in field_names(body["indirection"]) if name]
            return fields[-1] if fields else plain_name(body["arg"])
        case _:
            return _SERVERS_NAMES.get(kind)


_SERVERS_NAMES = {"CoalesceExpr": "coalesce", "A_ArrayExpr": "array", "RowExpr": "row", "GroupingFunc": "grouping"}
