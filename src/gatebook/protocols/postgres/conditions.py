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
from dataclasses import replace
from decimal import Decimal
from typing import Any

from gatebook.protocols.postgres.constants import COMPARISONS, UNKNOWN, bare, both_ways, items_of, sides, truth_of, value_of
from gatebook.protocols.postgres.mentions import Target, is_targets, key_of, mentions, names_of, nodes

Node = dict[str, Any]

_OPPOSITES = {"<>": ("=", False), "!=": ("=", False), ">=": ("<", False), "<=": (">", False), "!~~": ("~~", False)}
_ANYTHING = re.compile(r"%+|")  # LIKE patterns that fit every text
_ANY_REGEX = re.compile(r"\^?(\.\*)?\$?")
_REFLEXIVE = frozenset({"=", "<=", ">=", "~~", "~~*", "~=", "@>", "<@"})  # true of a value and itself
_AGGREGATES = frozenset(
    """
count sum avg min max bool_and bool_or every array_agg string_agg json_agg jsonb_agg any_value
""".split()
)
CONDITION_WORK = 2_000_000  # half a second; a list of 50,000 constants is half of it


def narrows(condition: Node | None, target: Target) -> bool:
    """Whether the condition surely is no constant, and is about the target's rows."""
    if condition is None:
        return False
    column = _equals_constant(condition)
    if column is not None:
        return is_targets(names_of(column), target, False)
    return not _too_large(condition) and (_real(condition, True, target) or _tied_to_twin(condition, target))


def with_twins(target: Target, items: Any) -> Target:
    """The target with the FROM items that are the same relation, all of it."""
    found: set[str] = set()
    for kind, body in nodes(items):
        alias = body.get("alias", {}).get("aliasname", body.get("relname", "")) if isinstance(body, dict) else ""
        same = kind == "RangeVar" and body["relname"] in {target.name, *target.copies}
        if kind == "RangeSubselect":
            select = body["subquery"].get("SelectStmt", {})
            same = not _too_large(select) and not _chooses(select, Target(target.name, target.name, target.copies))
        if same and alias != target.alias:
            found.add(alias)
    return replace(target, twins=frozenset(found))


def _tied_to_twin(condition: Node, target: Target) -> bool:
    """Whether a row is tied to its own copy, which is narrowed by something else."""
    arms = _all_of(condition)
    others = [arm for arm in arms if not _is_tie(arm, target)]
    return len(others) < len(arms) and any(
        _real(arm, True, replace(target, alias=twin)) for arm in others for twin in target.twins
    )


def _all_of(condition: Node) -> list[Node]:
    body = condition.get("BoolExpr")
    return [inner for arm in body["args"] for inner in _all_of(arm)] if body and body["boolop"] == "AND_EXPR" else [condition]


def _is_tie(arm: Node, target: Target) -> bool:
    """``t.id = twin.id``: every row has such a copy."""
    body = arm.get("A_Expr")
    if body is None or not target.twins:
        return False
    operator, left, right = sides(body)
    keys = [key_of(side, target) for side in (left, right)]
    names = [key[-1] if isinstance(key, tuple) and key[:1] == ("column",) else None for key in keys]
    owners = {_owner(side) for side in (left, right)}
    return operator in _REFLEXIVE and names[0] is not None and names[0] == names[1] and bool(owners & {*target.twins, ""})


def _owner(side: Any) -> str:
    names = names_of(bare(side)["ColumnRef"]) if isinstance(side, dict) and "ColumnRef" in bare(side) else []
    return names[-2] if len(names) > 1 else ""


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
    return special(body, positive, target) if special else mentions(node, target)


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
        return ("null", key_of(test["arg"], target)), test["nulltesttype"] == "IS_NULL"
    if "BooleanTest" in arm:
        test = arm["BooleanTest"]
        subject, holds = _claim(test["arg"], target)
        kind = test["booltesttype"].removeprefix("IS_")
        if kind.endswith("UNKNOWN"):
            return ("unknown", subject), kind == "UNKNOWN"
        return subject, holds is (kind in ("TRUE", "NOT_FALSE"))
    if "A_Expr" in arm:
        body = arm["A_Expr"]
        operator, left, right = sides(body)
        base, holds = _OPPOSITES.get(operator, (operator, True))
        return (body["kind"], base, key_of(left, target), key_of(right, target)), holds
    return key_of(arm, target), True


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
    return key_of(left, target), operator if sign else _NEGATED[operator], constant


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
    left, right = (_without_nothing(side, target) for side in (left, right))
    if not mentions([left, right], target) or _fits_anything(kind, operator, right) or _is_tie({"A_Expr": body}, target):
        return False
    if _is_condition(left, cast=True) and both_ways(operator, left, right):
        return False
    if _same(left, right, target) or _reckons_itself(operator, left, right, target):
        return False
    return all(_real(side, True, target) for side in (left, right) if _is_condition(side))


def _without_nothing(side: Any, target: Target) -> Any:
    """Nothing for ``x - x``, ``x * 0`` and their like, whatever x is; else the side itself."""
    body = bare(side).get("A_Expr") if isinstance(side, dict) else None
    if body is None or body["kind"] != "AEXPR_OP" or "lexpr" not in body:
        return side
    operator = body["name"][-1]["String"].get("sval", "")
    parts = [body["lexpr"], body["rexpr"]]
    if operator in ("*", "&") and any(value_of(part) in (Decimal(0), "0") for part in parts):
        return []
    same = key_of(parts[0], target) == key_of(parts[1], target)
    return [] if operator in ("-", "/", "%", "#") and same else side


def _fits_anything(kind: str, operator: str, right: Any) -> bool:
    pattern = value_of(right) if isinstance(right, dict) else None
    if kind in ("AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
        return isinstance(pattern, str) and _ANYTHING.fullmatch(pattern) is not None and pattern != ""
    return operator in ("~", "~*") and isinstance(pattern, str) and _ANY_REGEX.fullmatch(pattern) is not None


def _same(left: Any, right: Any, target: Target) -> bool:
    """Whether a value is compared with itself, alone or as one of a list."""
    key = key_of(left, target)
    return any(key_of(item, target) == key for item in items_of(right))


def _reckons_itself(operator: str, left: Any, right: Any, target: Target) -> bool:
    """``x + 0 = x``, ``concat(x) = x``: one column, the same on both sides."""
    columns: list[set[object]] = []
    plain = _ARITHMETIC | {"FuncCall"} if operator in _REFLEXIVE else _ARITHMETIC
    for side in (left, right):
        found: set[object] = set()
        for kind, body in nodes(side):
            if kind == "ColumnRef":
                found.add(key_of({kind: body}, target))
            elif kind not in plain:
                return False
        columns.append(found)
    return len(columns[0]) == 1 and columns[0] == columns[1]


_ARITHMETIC = frozenset({"A_Expr", "A_Const", "TypeCast", "String", "Integer", "CollateClause", "List"})
_CONDITIONS = frozenset({"BoolExpr", "NullTest", "BooleanTest"})


def _is_condition(side: Any, *, cast: bool = False) -> bool:
    if not isinstance(side, dict) or len(side) != 1:
        return False
    side = bare(side) if cast else side
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
    if "ColumnRef" in argument and names_of(argument["ColumnRef"])[-1:] == ["ctid"]:
        return False
    return mentions(argument, target)


def _boolean_test(body: Node, positive: bool, target: Target) -> bool:
    test = body["booltesttype"]
    if test.endswith("UNKNOWN"):
        return "ColumnRef" in body["arg"] and mentions(body["arg"], target)
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
    conditions = [*([select["whereClause"]] if "whereClause" in select else []), *_quals(select["fromClause"])]
    inside = with_twins(target, select["fromClause"])
    arms = [arm for condition in conditions for arm in _all_of(condition)]
    others = [arm for arm in arms if not _is_tie(arm, inside)]
    if len(others) == len(arms):
        return mentions(conditions, target, inner=True)
    return any(_real(arm, True, replace(target, alias=twin)) for arm in others for twin in inside.twins)


def _quals(items: list[Node]) -> Iterator[Node]:
    for kind, body in nodes(items):
        if kind == "JoinExpr" and "quals" in body:
            yield body["quals"]


def _membership(left: Any, link: Node, positive: bool, target: Target) -> bool:
    """``x IN (select …)`` and ``x = ANY (array(select …))``: not if the select is all of the same relation."""
    return left is not None and mentions(left, target) and _chooses(link["subselect"].get("SelectStmt", {}), target)


def _chooses(select: Node, target: Target) -> bool:
    if "larg" in select:
        return _chooses(select["larg"], target) and _chooses(select["rarg"], target)
    if "valuesLists" in select:
        return not mentions(select["valuesLists"], target)
    where = select.get("whereClause")
    if not select.get("fromClause"):
        return not mentions(select.get("targetList"), target)
    if mentions(select.get("targetList"), target, inner=True):
        return False
    all_rows = {target.name, *target.copies}
    reads_target = any(kind == "RangeVar" and body["relname"] in all_rows for kind, body in nodes(select["fromClause"]))
    if where is None:
        return not reads_target
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
