"""What a statement does to names of relations: which may stand for something else behind it in the same text.

A name without a schema is looked for along the search path, temporary tables first. So it stands for another relation once the
one that it stood for is dropped, renamed, moved, hidden by a view, or undone with its transaction. A table that the text itself
makes is nothing to be told apart: whoever may make it knows what it is.
"""

from __future__ import annotations

from typing import Any

from gatebook.protocols.postgres.reading import NAMES_KEPT, Naming

Node = dict[str, Any]

ANY_NAME = "*"
HANGING = "+"  # what hangs on others, or on the session: views, tables below others, temporary ones

_TABLES = frozenset(f"OBJECT_{kind}" for kind in ("TABLE", "VIEW", "MATVIEW", "FOREIGN_TABLE", "SEQUENCE", "INDEX"))
_FULL = frozenset({"OBJECT_SCHEMA", "OBJECT_EXTENSION"})  # of relations
_EVERY = Naming(changes=frozenset({ANY_NAME}))
_WHOLE = frozenset({"DropOwnedStmt", "ImportForeignSchemaStmt", "GrantRoleStmt"})


def naming(kind: str, body: Node) -> Naming:
    """What this statement does to names."""
    if kind in _WHOLE:
        return _EVERY
    found = _FINDERS.get(kind)
    return found(body) if found is not None else NAMES_KEPT


def _dropped(body: Node) -> Naming:
    cascades = body.get("behavior") == "DROP_CASCADE"
    what = body["removeType"]
    if what not in _TABLES:
        return _EVERY if what in _FULL or (cascades and what not in _PARTS) else NAMES_KEPT
    names = {_last(item) for item in body["objects"]}
    return Naming(changes=frozenset(names | ({HANGING} if cascades else set())))


_PARTS = frozenset({"OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"})  # on which no relation hangs


def _last(item: Node) -> str:
    parts = item["List"]["items"]
    return str(parts[-1]["String"].get("sval", ""))


def _renamed(body: Node) -> Naming:
    if body["renameType"] == "OBJECT_SCHEMA":
        return _EVERY
    return _changes(body["relation"]["relname"], body["newname"]) if body["renameType"] in _TABLES else NAMES_KEPT


def _moved(body: Node) -> Naming:
    if body["objectType"] == "OBJECT_EXTENSION":
        return _EVERY
    return _changes(body["relation"]["relname"]) if body["objectType"] in _TABLES else NAMES_KEPT


def _of_schema(body: Node) -> Naming:
    """A schema whose names can be seen no more, or can be now."""
    return _EVERY if "OBJECT_SCHEMA" in (body.get("objtype"), body.get("objectType")) else NAMES_KEPT


def _made(body: Node) -> Naming:
    relation = body.get("relation") or body["into"]["rel"]
    if "schemaname" in relation:
        return NAMES_KEPT
    return _making(relation, body.get("oncommit") or body.get("into", {}).get("onCommit"), body.get("if_not_exists", False))


def _making(relation: Node, at_commit: str | None, unless_there: bool) -> Naming:
    name = frozenset({relation["relname"]})
    fleeting = name if at_commit == "ONCOMMIT_DROP" else frozenset()
    return Naming(makes=frozenset() if unless_there else name, fleeting=fleeting)


def _selected(body: Node) -> Naming:
    into = body.get("intoClause")
    if into is None or "schemaname" in into["rel"]:
        return NAMES_KEPT
    return _making(into["rel"], into.get("onCommit"), False)


def _view(body: Node) -> Naming:
    return _changes(body["view"]["relname"])


def _foreign(body: Node) -> Naming:
    return _changes(body["base"]["relation"]["relname"])


def _schema(body: Node) -> Naming:
    parts = [naming(*next(iter(item.items()))) for item in body.get("schemaElts", ())]
    return Naming(changes=frozenset(name for part in parts for name in part.changes))


def _discarded(body: Node) -> Naming:
    return Naming(changes=frozenset({HANGING})) if body["target"] in ("DISCARD_TEMP", "DISCARD_ALL") else NAMES_KEPT


def _explained(body: Node) -> Naming:
    return naming(*next(iter(body["query"].items())))


def _transaction(body: Node) -> Naming:
    return _EVERY if body["kind"] in ("TRANS_STMT_COMMIT_PREPARED", "TRANS_STMT_ROLLBACK_PREPARED") else NAMES_KEPT


def _changes(*names: str) -> Naming:
    return Naming(changes=frozenset(names))


_FINDERS = {
    "DropStmt": _dropped,
    "RenameStmt": _renamed,
    "AlterObjectSchemaStmt": _moved,
    "GrantStmt": _of_schema,
    "AlterOwnerStmt": _of_schema,
    "CreateStmt": _made,
    "CreateTableAsStmt": _made,
    "SelectStmt": _selected,
    "ViewStmt": _view,
    "CreateForeignTableStmt": _foreign,
    "CreateSchemaStmt": _schema,
    "DiscardStmt": _discarded,
    "ExplainStmt": _explained,
    "TransactionStmt": _transaction,
}
