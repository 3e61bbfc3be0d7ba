"""What a rule must keep to beyond Cedar's own grammar and types. Each fault says what stands there and what was expected.

Most of these close a hole where a forbid would silently never apply: a misspelt annotation or kind, an approval that lifts
nothing, a table named by an id that another spelling of the same table does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import orjson
from cedarpy import pst

from gatebook.model import Hold, Kind, Reach

NO_RULE = "no-rule"  # the rule named when nothing permits
POLICY_ERROR = "policy-error"  # when an evaluation failed
TOO_MANY = "too-many-deeds"  # when one text does more than is evaluated
EXPIRED = "identity-expired"  # when the proof of identity is over
RESERVED = frozenset({NO_RULE, POLICY_ERROR, TOO_MANY, EXPIRED})

PERMIT_ONLY = frozenset({"mask", "unmask", "most_rows"})
FORBID_ONLY = frozenset({"approvers", "hold", "instead"})
ANNOTATIONS = frozenset({"id", "reason", "mode"}) | PERMIT_ONLY | FORBID_ONLY

ROWS_MAX = 10**9  # of a ceiling: no table that one statement should change whole has more
TEXT_MAX = 300  # characters of a reason: it travels in every protocol's error
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ROWS = re.compile(r"[1-9][0-9]{0,9}")
_PARAMETER = re.compile(r"\{[^{}]*\}")
_APPROVER = re.compile(r"group:[^\s,:][^,]*")
_LITERALS: Mapping[str, frozenset[str]] = {
    "kind": frozenset(Kind),
    "reach": frozenset(Reach),
    "copies_to": frozenset({"", "client", "file", "program"}),
}


# Actions of Kubernetes that are, or hold, requests about many objects at once.
_MANY = frozenset("k8s.list k8s.watch k8s.deletecollection k8s.read k8s.write k8s.admin k8s.unknown".split())

# What the texts of a rule may name of the deed they are said about.
FILLED = frozenset(
    "tables columns functions tests_masked tested_sets keys_masked route tool fields resource namespace name images host_paths "
    "capabilities role_refs subjects webhooks command programs repository branch tag paths secrets authors models".split()
)
FILLED_NAMES = 5  # then dots: the text travels in every protocol's error
_ROOM = re.compile(r"\{(\w+)\}")


def filled(text: str, context: str) -> str:
    """The text of a rule with the names that a request's context has for it."""
    if "{" not in text:
        return text
    facts = orjson.loads(context)
    return _ROOM.sub(lambda room: _names(facts.get(room[1], [])), text)


def _names(values: list[str] | str) -> str:
    values = [values] if isinstance(values, str) else values
    shown = [value if value.isprintable() else ascii(value) for value in values[:FILLED_NAMES]]
    return ", ".join(one[:80] for one in shown) + (", …" if len(values) > FILLED_NAMES else "")


def listed(value: str) -> tuple[str, ...]:
    """The names in an annotation's value: ``"pii, secrets"`` names two."""
    return tuple(part.strip() for part in value.split(",")) if value.strip() else ()


def faults(rule: pst.Template) -> Iterator[str]:
    """What is wrong with one parsed rule, each as ``what: expected …``."""
    yield from _annotation_faults(rule)
    yield from _approval_faults(rule)
    yield from _table_faults(rule)
    yield from _route_faults(rule)
    yield from _object_faults(rule)
    yield from _literal_faults(rule)


def mentions(rule: pst.Template, attribute: str) -> bool:
    """Whether a condition of the rule reads an attribute of this name."""
    return any(isinstance(node, pst.GetAttr) and node.attr == attribute for node in _nodes(rule.clauses))


def _annotation_faults(rule: pst.Template) -> Iterator[str]:
    allowed = ANNOTATIONS - (FORBID_ONLY if rule.effect == "permit" else PERMIT_ONLY)
    for name, value in sorted(rule.annotations.items()):
        if name not in ANNOTATIONS:
            yield f"@{name}: expected one of {', '.join('@' + known for known in sorted(ANNOTATIONS))}"
        elif name not in allowed:
            yield f"@{name} on a {rule.effect}: expected on a {'forbid' if rule.effect == 'permit' else 'permit'} only"
        elif expected := _expected(name, value):
            yield f"@{name}({value!r}): expected {expected}"
    if "id" not in rule.annotations:
        yield '@id: expected one on every rule, as @id("no-drop")'


def _expected(name: str, value: str) -> str:
    """What the annotation's value should have been, or "" when it is right."""
    match name:
        case "id" if not _ID.fullmatch(value) or value in RESERVED:
            return f"lower-case letters, digits and dashes, at most 63, and none of {', '.join(sorted(RESERVED))}"
        case "approvers" if not _all(_APPROVER, value):
            return 'groups, as "group:dba" or "group:dba, group:security"'
        case "mask" | "unmask" if not _all(_NAME, value):
            return 'names of mask sets, as "pii" or "pii, secrets"'
        case "most_rows" if not _ROWS.fullmatch(value) or int(value) > ROWS_MAX:
            return f"a number of rows from 1 to {ROWS_MAX}"
        case "hold" if value not in (Hold.WAIT, Hold.ANSWER):
            return "wait or answer"
        case "mode" if value != "shadow":
            return "shadow"
        case "reason" | "instead" if not 0 < len(value) <= TEXT_MAX or not value.isprintable():
            return f"a text of 1 to {TEXT_MAX} printable characters on one line"
        case "reason" | "instead" if not FILLED.issuperset(_ROOM.findall(value)):
            return f"in braces only {', '.join(sorted(FILLED))}"
    return ""


def _all(pattern: re.Pattern[str], value: str) -> bool:
    names = listed(value)
    return bool(names) and all(pattern.fullmatch(name) for name in names)


def _approval_faults(rule: pst.Template) -> Iterator[str]:
    """An approval may lift a forbid that names its approvers, and do nothing else anywhere."""
    uses = [lifts for clause in rule.clauses for lifts in _uses(clause.expr, isinstance(clause, pst.Unless))]
    if "approvers" not in rule.annotations:
        if rule.effect == "forbid" and "hold" in rule.annotations:
            yield "@hold: expected @approvers beside it: what nobody may approve is not held"
        if uses:
            yield "context.approved: expected only in a forbid with @approvers"
    elif rule.effect == "forbid" and not (uses and all(uses)):
        yield "@approvers: expected unless { context.approved } on the forbid, so that an approval lifts it"


def _uses(expr: pst.Expr, lifts: bool) -> Iterator[bool]:
    """For each use of ``context.approved``, whether it being true can only lift the forbid."""
    match expr:
        case pst.GetAttr(attr="approved"):
            yield lifts
        case pst.UnaryOp(op="not"):
            yield from _uses(expr.arg, not lifts)
        case pst.BinaryOp(op="and" | "or"):
            yield from _uses(expr.left, lifts)
            yield from _uses(expr.right, lifts)
        case _:
            yield from (False for node in _nodes(expr) if isinstance(node, pst.GetAttr) and node.attr == "approved")


def _table_faults(rule: pst.Template) -> Iterator[str]:
    """A statement may leave the schema out: a forbid that needs it would miss that spelling."""
    if rule.effect == "permit":
        return
    for uid in sorted(pst.entity_uids(rule), key=str):
        target, _, name = uid.id.partition("/")
        if str(uid.type) == "Table" and "." in name:
            bare = name.rpartition(".")[2]
            yield f'{uid}: expected resource in Table::"{target}/{bare}", since a statement may leave the schema out'


def _route_faults(rule: pst.Template) -> Iterator[str]:
    """A path may be written in other letters, or go by its template: only ``in``, and small letters, hold for all of these."""
    for uid in sorted(pst.entity_uids(rule), key=str):
        target, slash, path = uid.id.partition("/")
        if str(uid.type) != "Route":
            continue
        if not target or not slash or path.endswith("/") or "//" in path:
            yield f'{uid}: expected target and path, as Route::"crm/iam/users"'
        elif rule.effect == "forbid" and _PARAMETER.sub("", path) != _PARAMETER.sub("", path).casefold():
            yield f"{uid}: expected small letters, which hold for capitals too: a path may be written in either"
    named = rule.resource.entity if isinstance(rule.resource, pst.ScopeEq) else None
    if rule.effect == "forbid" and isinstance(named, pst.EntityUid) and str(named.type) == "Route":
        yield f"resource == {named}: expected resource in it, which holds however the path is written"


def _object_faults(rule: pst.Template) -> Iterator[str]:
    """A list may have objects of all namespaces, and one of a namespace has all objects: a forbid must not miss those."""
    if rule.effect == "permit" or _about_one(rule):
        return
    for uid in sorted(pst.entity_uids(rule), key=str):
        if str(uid.type) == "Object" and uid.id.count("/") > 2:
            whole = uid.id.rpartition("/")[0]
            yield f'{uid}: expected Object::"{whole}", since a list has this one, too, or verbs that are about one object'
    names = {str(uid.type) for uid in pst.entity_uids(rule)}
    narrow = names & {"Object", "Namespace"} or mentions(rule, "namespace")
    if narrow and not mentions(rule, "all_namespaces"):
        yield "a namespace: expected `|| context.all_namespaces` beside it, since a list may be of all of them"


def _about_one(rule: pst.Template) -> bool:
    """Whether it is about verbs alone that name the one object that they are about."""
    actions = [uid.id for uid in pst.entity_uids(rule.action) if str(uid.type) == "Action"]
    return bool(actions) and not any(name in _MANY or not name.startswith("k8s.") for name in actions)


def _literal_faults(rule: pst.Template) -> Iterator[str]:
    for node in _nodes(rule.clauses):
        if isinstance(node, pst.BinaryOp):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(one, pst.GetAttr) and one.attr in _LITERALS:
                    yield from _unknown_literals(one.attr, other)


def _unknown_literals(attribute: str, value: pst.Expr) -> Iterator[str]:
    known = _LITERALS[attribute]
    for node in _nodes(value):
        if isinstance(node, pst.StringLit) and node.value not in known:
            yield f'{attribute} "{node.value}": expected one of {", ".join(sorted(known - {""}))}'


def _nodes(root: object) -> Iterator[Any]:
    """Every node under ``root``, itself included; the order is of no meaning."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(node)
        elif isinstance(node, Mapping):
            stack.extend(node.values())
        elif is_dataclass(node) and not isinstance(node, type):
            yield node
            stack.extend(getattr(node, field.name) for field in fields(node))
