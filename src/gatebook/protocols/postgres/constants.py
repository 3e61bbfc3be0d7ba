"""Constants in a parse tree: what an expression is worth when no row is needed to tell."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

Node = dict[str, Any]

COMPARISONS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})
UNKNOWN = object()
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def bare(node: Node) -> Node:
    """The expression without the casts and collations around it."""
    while len(node) == 1 and ("TypeCast" in node or "CollateClause" in node):
        body = node.get("TypeCast") or node["CollateClause"]
        if "arg" not in body:
            break
        node = body["arg"]
    return node


def sides(body: Node) -> tuple[str, Any, Any]:
    """Operator, left and right, with a constant turned to the right."""
    operator = body["name"][-1]["String"].get("sval", "") if body.get("name") else ""
    left, right = body.get("lexpr"), body.get("rexpr")
    if isinstance(left, dict) and "A_Const" in left and operator in COMPARISONS:
        return _FLIPPED.get(operator, operator), right, left
    return operator, left, right


def value_of(node: Node) -> Decimal | str | None:
    """A constant as a number or text, texts put together included; None for anything else."""
    node = bare(node)
    joined = node.get("A_Expr", {})
    if joined.get("name") and joined["name"][-1]["String"].get("sval") == "||" and "lexpr" in joined:
        parts = [value_of(joined["lexpr"]), value_of(joined["rexpr"])]
        return f"{parts[0]}{parts[1]}" if None not in parts else None
    constant = node.get("A_Const")
    if constant is None:
        return None
    if "sval" in constant:
        return str(constant["sval"].get("sval", ""))
    if "ival" in constant:
        return Decimal(constant["ival"].get("ival", 0))
    try:
        return Decimal(constant["fval"]["fval"]) if "fval" in constant else None
    except InvalidOperation:
        return None


_WORDS = {
    "t": True,
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "f": False,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def truth_of(node: Node) -> object:
    """True, False or None (null) for a constant condition, else UNKNOWN."""
    node = bare(node)
    if "BoolExpr" in node and node["BoolExpr"]["boolop"] == "NOT_EXPR":
        inner = truth_of(node["BoolExpr"]["args"][0])
        return (not inner) if isinstance(inner, bool) else inner
    if "A_Expr" in node:
        return _compared(node["A_Expr"])
    constant = node.get("A_Const")
    if constant is None:
        return UNKNOWN
    if constant.get("isnull"):
        return None
    if "boolval" in constant:
        return bool(constant["boolval"].get("boolval", False))
    return _WORDS.get(str(constant["sval"].get("sval", "")).lower(), UNKNOWN) if "sval" in constant else UNKNOWN


def _compared(body: Node) -> object:
    operator, left, right = sides(body)
    if body["kind"] != "AEXPR_OP" or not isinstance(left, dict) or not isinstance(right, dict):
        return UNKNOWN
    one, other = value_of(left), value_of(right)
    if one is None or other is None or type(one) is not type(other) or operator not in ("=", "<>"):
        return UNKNOWN
    return (one == other) is (operator == "=")


def items_of(right: Any) -> list[Any]:
    """What a value is compared with: the items of a list or array, or the one expression."""
    if isinstance(right, list):
        return right
    if not isinstance(right, dict):
        return [right]
    if "List" in right:
        return list(right["List"].get("items", []))
    array = bare(right)
    if "A_ArrayExpr" in array:
        return list(array["A_ArrayExpr"].get("elements", []))
    return [right]


def both_ways(operator: str, condition: Node, right: Any) -> bool:
    """Whether a condition, compared with constants, fits whether it is true or false; cast, it is a word or a number."""
    if operator not in COMPARISONS:
        return "TypeCast" in condition or operator.startswith("BETWEEN")
    constants = [item for item in items_of(right) if isinstance(item, dict)]
    if "TypeCast" not in condition:
        return {True, False} <= {truth for item in constants if isinstance(truth := truth_of(item), bool)}
    every = any if operator == "=" else all
    return bool(constants) and all(every(_holds(operator, is_true, item) for item in constants) for is_true in (True, False))


def _holds(operator: str, is_true: bool, constant: Node) -> bool:
    value = value_of(constant)
    if value is None:
        return truth_of(constant) is is_true
    if isinstance(value, Decimal):
        return _compares(operator, value.compare(Decimal(is_true)))
    word = "true" if is_true else "false"
    return _compares(operator, Decimal((value > word) - (value < word)))


def _compares(operator: str, other_is: Decimal) -> bool:
    """Whether ``one operator other`` holds, from how the other compares with the one."""
    holds = {"=": other_is == 0, "<": other_is > 0, ">": other_is < 0, "<=": other_is >= 0, ">=": other_is <= 0}
    return holds.get(operator, other_is != 0)


def setting_of_a_row(body: Node) -> str | None:
    """The setting in SELECT set_config(name, 'a', false) FROM pg_settings WHERE name = 'b', word for word, as pg_dump sends it.

    Nothing else is taken for it: in any other place the call may come before the condition, or mean another name.
    """
    tables, items, where = body.get("fromClause", []), body.get("targetList", []), body.get("whereClause", {})
    if len(tables) != 1 or len(items) != 1 or body.keys() - {"fromClause", "targetList", "whereClause", "limitOption", "op"}:
        return None
    table, call = tables[0].get("RangeVar", {}), items[0]["ResTarget"].get("val", {}).get("FuncCall", {})
    arguments, condition = call.get("args", [{}]), where.get("A_Expr", {})
    plain = (
        table.get("relname") == "pg_settings" and table.get("schemaname", "pg_catalog") == "pg_catalog" and "alias" not in table
    )
    if not plain or not _is_name(arguments[0]) or not all("A_Const" in argument for argument in arguments[1:]):
        return None
    if condition.get("kind") != "AEXPR_OP" or len(condition.get("name", [])) != 1:
        return None
    operator, column, value = sides(condition)
    wanted = value_of(value) if operator == "=" and _is_name(column) and isinstance(value, dict) else None
    return wanted if isinstance(wanted, str) else None


def _is_name(node: Any) -> bool:
    fields = node.get("ColumnRef", {}).get("fields", []) if isinstance(node, dict) else []
    return [field.get("String", {}).get("sval") for field in fields] == ["name"]
