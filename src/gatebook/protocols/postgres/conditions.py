"""Does a condition narrow what an UPDATE, DELETE or MERGE touches, as far as a parse tree can show?

A condition counts only if it mentions a column of the relation that is changed, in a way that is not true for every row by
its shape: ``true``, ``1 = 1``, ``$1``, ``x = x``, ``x is null or x is not null``, ``x < 5 or x > 3``, ``x like '%'``,
``coalesce(true, x > 1)``, ``id in (select id from the same relation)``, ``exists (select 1)`` all narrow nothing. What needs
to know the rows is not seen: ``id > 0`` or ``id is not null`` count. Errors lean to "no condition": a condition on the other
relation of a join, a parameter that may be true, or a sub-select that is tied to the outer row by unqualified names only,
counts as none.

All functions take the tree's JSON nodes. Negation is carried down as ``positive``, by De Morgan, so that no rewritten tree is
built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gatebook.protocols.postgres.constants import COMPARISONS, UNKNOWN, bare, sides, truth_of, value_of

Node = dict[str, Any]

# System columns that are the same for most rows or mean nothing; ctid is a row's own address and counts.
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax"})
_OPPOSITES = {"<>": ("=", False), "!=": ("=", False), ">=": ("<", False), "<=": (">", False), "!~~": ("~~", False)}
_ANYTHING = re.compile(r"%+|")  # LIKE patterns that fit every text
_ANY_REGEX = re.compile(r"\^?(\.\*)?\$?")
_AGGREGATES = frozenset(
    """
count sum avg min max bool_and bool_or every array_agg string_agg json_agg jsonb_agg any_value
""".split()
)
CONDITION_WORK = 2_000_000  # half a second; a list of 50,000 constants is half of it


@dataclass(frozen=True, slots=True)
class Target:
    """The relation a statement changes: its own name, and the name by which the statement calls it.

    ``copies`` are the CTEs that yield all of its rows.
    """

    name: str
    alias: str
    copies: frozenset[str] = frozenset()


def narrows(condition: Node | None, target: Target) -> bool:
    """Whether the condition surely is no constant, and is about the target's rows."""
    if condition is None:
        return False
    column = _equals_constant(condition)
    if column is not None:
        return _is_targets(_names(column), target, False)
    return not _too_large(condition) and _real(condition, True, target)


def _equals_constant(condition: Node) -> Node | None:
    """The column of ``column = constant``, which most conditions are; None for anything else."""
    body = condition.get("A_Expr")
    if body is None or body["kind"] != "AEXPR_OP" or not {"A_Const", "ParamRef"} & body["rexpr"].keys():
        return None
    return body["lexpr"].get("ColumnRef") if "lexpr" in body and body["name"][-1]["String"]["sval"] == "=" else None


def _too_large(condition: Node) -> bool:
    """Whether nodes times depth, which bounds the work here, is past what a condition is worth."""
    stack: list[tuple[Any, int]] = [(condition, 1)]
    count = deepest = 0
    while stack:
        item, depth = stack.pop()
        count += 1
        deepest = max(deepest, depth)
        parts = item.values() if isinstance(item, dict) else item
        stack.extend((part, depth + 1) for part in parts if isinstance(part, (dict, list)))
    return count * deepest > CONDITION_WORK


def _real(node: Node, positive: bool, target: Target) -> bool:
    kind, body = next(iter(node.items()))
    special = _BY_KIND.get(kind)
    return special(body, positive, target) if special else _mentions(node, target)


def _bool(body: Node, positive: bool, target: Target) -> bool:
    if body["boolop"] == "NOT_EXPR":
        return _real(body["args"][0], not positive, target)
    if (body["boolop"] == "AND_EXPR") is positive:
        return any(_real(arm, positive, target) for arm in body["args"])
    arms = [(arm, sign) for arm, sign in _arms(body, positive) if truth_of(arm) not in (None, not sign)]
    return bool(arms) and all(_real(arm, sign, target) for arm, sign in arms) and not _covers_all(arms, target)


def _arms(body: Node, positive: bool) -> Iterator[tuple[Node, bool]]:
    """The arms of an OR (or of a negated AND), with those of the ORs inside it."""
    for arm in body["args"]:
        sign = positive
        while "BoolExpr" in arm and arm["BoolExpr"]["boolop"] == "NOT_EXPR":
            arm, sign = arm["BoolExpr"]["args"][0], not sign
        inner = arm.get("BoolExpr")
        if inner is not None and (inner["boolop"] == "OR_EXPR") is sign:
            yield from _arms(inner, sign)
        else:
            yield arm, sign


def _covers_all(arms: list[tuple[Node, bool]], target: Target) -> bool:
    """Whether the arms of an OR complete one another: p or not p, x < 5 or x > 3, x <> 1 or x <> 2."""
    seen: dict[object, set[bool]] = {}
    bounds: dict[object, list[tuple[str, object]]] = {}
    for arm, sign in arms:
        subject, holds = _claim(arm, target)
        seen.setdefault(subject, set()).add(holds is sign)
        bound = _bound(arm, sign, target)
        if bound is not None:
            bounds.setdefault(bound[0], []).append(bound[1:])
    return any(len(signs) == 2 for signs in seen.values()) or any(_everything(of_one) for of_one in bounds.values())


def _claim(arm: Node, target: Target) -> tuple[object, bool]:
    """What an arm says, as a comparable subject and whether it says so or the opposite."""
    if "NullTest" in arm:
        test = arm["NullTest"]
        return ("null", _key(test["arg"], target)), test["nulltesttype"] == "IS_NULL"
    if "A_Expr" in arm:
        body = arm["A_Expr"]
        operator, left, right = sides(body)
        base, holds = _OPPOSITES.get(operator, (operator, True))
        return (body["kind"], base, _key(left, target), _key(right, target)), holds
    return _key(arm, target), True


_NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "<>": "=", "!=": "="}


def _bound(arm: Node, sign: bool, target: Target) -> tuple[object, str, object] | None:
    """A comparison with a constant as (what is compared, operator, constant); None for anything else."""
    body = arm.get("A_Expr")
    if body is None or body["kind"] != "AEXPR_OP":
        return None
    operator, left, right = sides(body)
    if operator not in COMPARISONS or not isinstance(right, dict):
        return None
    constant = value_of(right)
    if constant is None:
        return None
    return _key(left, target), operator if sign else _NEGATED[operator], constant


def _everything(bounds: list[tuple[str, Any]]) -> bool:
    unequal = {value for operator, value in bounds if operator in ("<>", "!=")}
    if len(unequal) > 1:
        return True
    equal = {value for operator, value in bounds if operator in ("=", "<=", ">=")}
    below = [value for operator, value in bounds if operator in ("<", "<=")]
    above = [value for operator, value in bounds if operator in (">", ">=")]
    return _overlap(above, below, equal, Decimal) or _overlap(above, below, equal, str)


def _overlap(above: list[Any], below: list[Any], equal: set[Any], kind: type) -> bool:
    lows: list[Any] = [value for value in above if isinstance(value, kind)]
    highs: list[Any] = [value for value in below if isinstance(value, kind)]
    low, high = min(lows, default=None), max(highs, default=None)
    return low is not None and high is not None and (low < high or (low == high and low in equal))


def _expression(body: Node, positive: bool, target: Target) -> bool:
    operator, left, right = sides(body)
    kind = body["kind"]
    if kind in ("AEXPR_OP_ANY", "AEXPR_OP_ALL") and isinstance(right, dict) and "SubLink" in right:
        return _membership(left, right["SubLink"], positive, target)
    if not _mentions({"A_Expr": body}, target) or _fits_anything(kind, operator, right):
        return False
    if _same(left, right, target) or _reckons_itself(left, right, target):
        return False
    return all(_real(side, True, target) for side in (left, right) if _is_condition(side))


def _fits_anything(kind: str, operator: str, right: Any) -> bool:
    pattern = value_of(right) if isinstance(right, dict) else None
    if kind in ("AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
        return isinstance(pattern, str) and _ANYTHING.fullmatch(pattern) is not None and pattern != ""
    return operator in ("~", "~*") and isinstance(pattern, str) and _ANY_REGEX.fullmatch(pattern) is not None


def _same(left: Any, right: Any, target: Target) -> bool:
    """Whether a value is compared with itself, alone or as one of a list."""
    key = _key(left, target)
    return any(_key(item, target) == key for item in _items(right))


def _items(right: Any) -> list[Any]:
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


def _reckons_itself(left: Any, right: Any, target: Target) -> bool:
    """``x + 0 = x``: arithmetic over one column on both sides."""
    columns: list[set[object]] = []
    for side in (left, right):
        found: set[object] = set()
        for kind, body in nodes(side):
            if kind == "ColumnRef":
                found.add(_key({kind: body}, target))
            elif kind not in _ARITHMETIC:
                return False
        columns.append(found)
    return len(columns[0]) == 1 and columns[0] == columns[1]


_ARITHMETIC = frozenset({"A_Expr", "A_Const", "TypeCast", "String", "Integer", "CollateClause", "List"})
_CONDITIONS = frozenset({"BoolExpr", "NullTest", "BooleanTest"})


def _is_condition(side: Any) -> bool:
    if not isinstance(side, dict) or len(side) != 1:
        return False
    kind, body = next(iter(side.items()))
    if kind == "A_Expr":
        return bool(body.get("name")) and body["name"][-1]["String"].get("sval") in COMPARISONS
    return kind in _CONDITIONS


def _null_test(body: Node, positive: bool, target: Target) -> bool:
    argument = bare(body["arg"])
    if _is_condition(argument):
        return False
    if "CoalesceExpr" in argument and any(truth_of(item) is not UNKNOWN for item in argument["CoalesceExpr"]["args"]):
        return False
    if "ColumnRef" in argument and _names(argument["ColumnRef"])[-1:] == ["ctid"]:
        return False
    return _mentions(argument, target)


def _boolean_test(body: Node, positive: bool, target: Target) -> bool:
    test = body["booltesttype"]
    if test.endswith("UNKNOWN"):
        return "ColumnRef" in body["arg"] and _mentions(body["arg"], target)
    return _real(body["arg"], positive if test in ("IS_TRUE", "IS_NOT_FALSE") else not positive, target)


def _case(body: Node, positive: bool, target: Target) -> bool:
    results = [when["CaseWhen"]["result"] for when in body["args"]]
    if "defresult" in body:
        results.append(body["defresult"])
    if all(truth_of(result) is positive for result in results):
        return False
    tests = [when["CaseWhen"]["expr"] for when in body["args"]]
    if "arg" in body:
        tests.append(body["arg"])
    return any(_real(part, True, target) for part in tests) or any(_real(part, positive, target) for part in results)


def _coalesce(body: Node, positive: bool, target: Target) -> bool:
    known = [item for item in body["args"] if truth_of(item) is not None]
    return bool(known) and _real(known[0], positive, target)


def _cast(body: Node, positive: bool, target: Target) -> bool:
    return _real(body["arg"], positive, target)


def _never(body: Node, positive: bool, target: Target) -> bool:
    return False


def _always(body: Node, positive: bool, target: Target) -> bool:
    return True


# Sub-selects -----------------------------------------------------------------------------------------------------------


def _sublink(body: Node, positive: bool, target: Target) -> bool:
    if body["subLinkType"] in ("ANY_SUBLINK", "ALL_SUBLINK"):
        return _membership(body.get("testexpr"), body, positive, target)
    select = body["subselect"].get("SelectStmt", {})
    if not select.get("fromClause"):
        if body["subLinkType"] == "EXPR_SUBLINK" and select.get("targetList"):
            return _real(select["targetList"][0]["ResTarget"]["val"], positive, target)
        return narrows(select.get("whereClause"), target)
    return _tied(select, target)


def _tied(select: Node, target: Target) -> bool:
    """Whether EXISTS over this select depends on the outer row: its conditions name the target, and no row comes by itself."""
    aggregates = any(
        kind == "FuncCall" and body["funcname"][-1]["String"].get("sval") in _AGGREGATES
        for kind, body in nodes(select.get("targetList"))
    )
    if aggregates and not select.get("groupClause"):
        return False
    return _mentions([select.get("whereClause"), *_quals(select["fromClause"])], target, inner=True)


def _quals(items: list[Node]) -> Iterator[Node]:
    for kind, body in nodes(items):
        if kind == "JoinExpr" and "quals" in body:
            yield body["quals"]


def _membership(left: Any, link: Node, positive: bool, target: Target) -> bool:
    """``x IN (select …)`` and ``x = ANY (array(select …))``: not if the select is all of the same relation."""
    return left is not None and _mentions(left, target) and _chooses(link["subselect"].get("SelectStmt", {}), target)


def _chooses(select: Node, target: Target) -> bool:
    if "larg" in select:
        return _chooses(select["larg"], target) and _chooses(select["rarg"], target)
    if "valuesLists" in select:
        return not _mentions(select["valuesLists"], target)
    where = select.get("whereClause")
    if not select.get("fromClause"):
        return not _mentions(select.get("targetList"), target)
    if _mentions(select.get("targetList"), target, inner=True):
        return False
    all_rows = {target.name, *target.copies}
    reads_target = any(kind == "RangeVar" and body["relname"] in all_rows for kind, body in nodes(select["fromClause"]))
    if where is None:
        return not reads_target or "limitCount" in select
    return any(kind == "ColumnRef" for kind, _ in nodes(where)) and (not reads_target or _inner_narrows(where, select))


def copies(clause: Node | None, name: str) -> frozenset[str]:
    """The CTEs of a WITH clause that yield every row of the relation of this name."""
    found: frozenset[str] = frozenset()
    for item in clause["ctes"] if clause else ():
        cte = item["CommonTableExpr"]
        select = cte["ctequery"].get("SelectStmt", {})
        if not _too_large(select) and not _chooses(select, Target(name, name, found)):
            found |= {cte["ctename"]}
    return found


def _inner_narrows(where: Node, select: Node) -> bool:
    nothing: dict[str, Any] = {"relname": ""}
    relation: dict[str, Any] = next((body for kind, body in nodes(select["fromClause"]) if kind == "RangeVar"), nothing)
    name = relation["relname"]
    return narrows(where, Target(name, relation.get("alias", {}).get("aliasname", name)))


# Looking at nodes ------------------------------------------------------------------------------------------------------


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


def _mentions(root: Any, target: Target, *, inner: bool = False) -> bool:
    """Whether a column of the target is named below. Inside a sub-select only a qualified name surely is the target's."""
    stack = [(root, inner)]
    while stack:
        item, hidden = stack.pop()
        if isinstance(item, list):
            stack.extend((part, hidden) for part in item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == "ColumnRef":
                    if _is_targets(_names(value), target, hidden):
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


def _names(column: Node) -> list[str]:
    return [field["String"].get("sval", "") if "String" in field else "*" for field in column["fields"]]


def _is_targets(names: list[str], target: Target, hidden: bool) -> bool:
    if names[-1] in _SYSTEM_COLUMNS:
        return False
    if len(names) == 1:
        return not hidden and names[0] != target.alias
    return names[-2] == target.alias


def _key(node: Any, target: Target) -> object:
    """A value that is equal for the same expression, wherever it stands: no locations, casts or the target's own qualifier."""
    if isinstance(node, list):
        return tuple(_key(item, target) for item in node)
    if not isinstance(node, dict):
        return node
    node = bare(node)
    if "ColumnRef" in node and len(node) == 1:
        names = _names(node["ColumnRef"])
        return ("column", *(names[-1:] if len(names) > 1 and names[-2] == target.alias else names))
    if "SubLink" in node and node["SubLink"]["subLinkType"] == "EXPR_SUBLINK":
        select = node["SubLink"]["subselect"].get("SelectStmt", {})
        if not select.get("fromClause") and select.get("targetList"):
            return _key(select["targetList"][0]["ResTarget"]["val"], target)
    return tuple((key, _key(value, target)) for key, value in node.items() if key != "location")


_BY_KIND = {
    "BoolExpr": _bool,
    "A_Expr": _expression,
    "NullTest": _null_test,
    "BooleanTest": _boolean_test,
    "CaseExpr": _case,
    "CoalesceExpr": _coalesce,
    "TypeCast": _cast,
    "CollateClause": _cast,
    "SubLink": _sublink,
    "A_Const": _never,
    "ParamRef": _never,
    "CurrentOfExpr": _always,
}
