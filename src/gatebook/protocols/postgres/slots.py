"""Values that stand in a text as they are and may stand for others: parameters, and constants that look like our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gatebook.masking import styles
from gatebook.protocols.postgres import functions
from gatebook.protocols.postgres.reading import Slot

Node = dict[str, Any]


def slot_of(node: Node) -> Slot | None:
    """A parameter, or a string constant that may stand for something else; None for any other value."""
    if "TypeCast" in node and functions.is_text_type(_words(node["TypeCast"]["typeName"].get("names", ()))):
        if "typmods" in node["TypeCast"]["typeName"] or "arrayBounds" in node["TypeCast"]["typeName"]:
            return None
        node = node["TypeCast"]["arg"]
    if "ParamRef" in node:
        return Slot(param=int(node["ParamRef"].get("number", 0)))
    constant = node.get("A_Const", {})
    text = constant.get("sval", {}).get("sval", "")
    return Slot(text=text, at=int(constant.get("location", 0))) if text and styles.is_ours(text.encode()) else None


def compared(body: Node) -> tuple[Node, list[Slot]] | None:
    """The column and the values of ``column = value`` and ``column IN (values)``, if all are slots; None for anything else."""
    if body["name"][-1]["String"].get("sval") != "=" or body["kind"] not in ("AEXPR_OP", "AEXPR_IN"):
        return None
    left, right = body.get("lexpr", {}), body.get("rexpr", {})
    if body["kind"] == "AEXPR_OP" and "ColumnRef" not in left:
        left, right = right, left
    items = right.get("List", {}).get("items", []) if body["kind"] == "AEXPR_IN" else [right]
    slots = [slot for slot in map(slot_of, items) if slot is not None]
    return (left, slots) if "ColumnRef" in left and slots and len(slots) == len(items) else None


def given(source: Node) -> Iterator[tuple[int, Node]]:
    """The values that an INSERT's source gives by their place, from 0; of a SELECT as far as no star moves them."""
    select = source.get("SelectStmt", {})
    for row in select.get("valuesLists", ()):
        yield from enumerate(row["List"].get("items", ()))
    for side in ("larg", "rarg"):
        yield from given({"SelectStmt": select.get(side, {})}) if side in select else ()
    for number, item in enumerate(select.get("targetList", ())):
        value = item["ResTarget"]["val"]
        if "A_Star" in value.get("ColumnRef", {}).get("fields", [{}])[-1]:
            return
        yield number, value


def _words(names: Any) -> list[str]:
    return [part["String"].get("sval", "") for part in names]
