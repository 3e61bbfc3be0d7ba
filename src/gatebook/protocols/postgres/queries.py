"""The statements that can stand inside one another: SELECT, INSERT, UPDATE, DELETE, MERGE, with their CTEs.

Each yields its ``Rows``; what it does goes to the walk, wherever it stands: a DELETE in a CTE of a sub-select is a deed like
any other. A name of a CTE hides a relation only where the CTE is in scope, as the server has it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from gatebook.protocols.postgres import catalog_relations, conditions, constants, functions, slots
from gatebook.protocols.postgres.mentions import Target
from gatebook.protocols.postgres.outputs import (
    ANY,
    PENDING,
    Flow,
    Rows,
    Scope,
    Source,
    base,
    computed,
    derived,
    joined,
    set_operation,
    settled,
    starred,
    united,
)
from gatebook.protocols.postgres.reading import Output, Relation
from gatebook.protocols.postgres.shapes import (
    is_bare_star,
    is_bounded,
    is_itself,
    is_plain,
    leftmost,
    meant_by,
    plain_name,
    whens,
)
from gatebook.protocols.postgres.walk import Node, TooMuchError, Walk, alias_of, field_names, named

PG_SETTINGS = "pg_settings"
LIST_ITEMS = 1664  # the server's own limit for a select list


class Queries(Walk):
    """A walk that knows queries."""

    def query(self, kind: str, body: Node, scope: Scope | None) -> Rows:
        """Walk a query of any kind and say what rows it yields."""
        self._check_fields(kind, body)
        match kind:
            case "SelectStmt":
                clause = leftmost(body).get("intoClause")
                if clause is None:
                    return self._select(body, scope)
                with self.moving():
                    rows = self._select(body, scope)
                self.into(clause, rows)
                return Rows()
            case "InsertStmt":
                return self._insert(body, scope)
            case "UpdateStmt":
                return self._update(body, scope)
            case "DeleteStmt":
                return self._delete(body, scope)
            case "MergeStmt":
                return self._merge(body, scope)
            case _:
                self.unknown(f"a {kind} is not known")
                return Rows((Flow({ANY}, False).output(star=True),), (None,))

    def _check_fields(self, kind: str, body: Node) -> None:
        if not body.keys() <= _FIELDS.get(kind, _NO_FIELDS):
            self.unknown(f"a {kind} holds a part that is not known")

    def node(self, kind: str, body: Node, scope: Scope, flow: Flow) -> None:
        """Queries that stand where an expression may; else as Walk."""
        if kind in ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"):
            flow.add(united(self.query(kind, body, scope).outputs))
        else:
            super().node(kind, body, scope, flow)

    # WITH -----------------------------------------------------------------------------------------------------------

    def _with(self, body: Node, scope: Scope) -> None:
        clause = body.get("withClause")
        if clause is None:
            return
        items = [item["CommonTableExpr"] for item in clause["ctes"]]
        if clause.get("recursive"):
            for item in items:
                scope.ctes[item["ctename"]] = computed(Flow({PENDING + item["ctename"]}))
        for item in items:
            scope.ctes[item["ctename"]] = self._cte(item, scope)

    def _cte(self, item: Node, scope: Scope) -> Rows | Source:
        kind, query = next(iter(item["ctequery"].items()))
        mark = PENDING + item["ctename"]
        rows = settled(self.query(kind, query, Scope(scope)), mark)
        if mark in self.met:
            self.met = (self.met | united(rows.outputs).columns) - {mark}
        if (None, mark) in self.tests:
            self.tests = (self.tests | united(rows.outputs).origins) - {(None, mark)}
        names = field_names(item.get("aliascolnames", []))
        if "search_clause" in item or "cycle_clause" in item:  # adds columns that hold whole rows
            self.test(united(rows.outputs))
            return computed(united([*rows.outputs]))
        if not names:
            return rows
        if not rows.exact or len(names) > len(rows.outputs):
            return derived(rows, names)
        return Rows(rows.outputs, (*names, *rows.labels[len(names) :]))

    # SELECT ---------------------------------------------------------------------------------------------------------

    def _select(self, body: Node, scope: Scope | None) -> Rows:
        inner = Scope(scope)
        self._with(body, inner)
        if "larg" in body:
            rows = set_operation(*(self._arm(body[side], inner) for side in ("larg", "rarg")))
            inner.sources[""] = derived(rows, ())
            self.meet(united(rows.outputs))  # rows of one side may decide which of the other come
            if body["op"] != "SETOP_UNION" or not body.get("all"):
                self.test(united(rows.outputs))
        elif "valuesLists" in body:
            rows = self._values(body["valuesLists"], inner)
        else:
            self._from(body.get("fromClause", ()), inner)
            self.setting_meant = constants.setting_of_a_row(body)
            rows = self._items(body.get("targetList", ()), inner)
            self.setting_meant = None
        for part in _CLAUSES:
            if part in body:
                self.decide(body[part], inner)
        self._keys(body, rows)
        for locking in body.get("lockingClause", ()):
            self._lock(locking["LockingClause"], inner)
        return rows

    def _keys(self, body: Node, rows: Rows) -> None:
        """Outputs that decide by their place or name: DISTINCT, and the keys of GROUP BY, DISTINCT ON and ORDER BY."""
        distinct = body.get("distinctClause", [])
        if distinct and not any(distinct):
            self.test(united(rows.outputs))
            return
        for key in [*distinct, *body.get("groupClause", ()), *body.get("sortClause", ())]:
            self.test(united(meant_by(key, rows)))

    def _arm(self, body: Node, scope: Scope) -> Rows:
        """One side of a set operation; an INTO on its left takes the whole."""
        self._check_fields("SelectStmt", body)
        return self._select(body, scope)

    def into(self, clause: Node, rows: Rows) -> None:
        """A new table made of rows: SELECT INTO, CREATE TABLE AS."""
        self.do("sql.create", self.table(named(clause["rel"])))
        self.move(united(rows.outputs))

    def _values(self, lists: list[Node], scope: Scope) -> Rows:
        flows: list[Flow] = []
        for item in lists:
            cells = item["List"].get("items", [])
            flows.extend(Flow() for _ in range(len(cells) - len(flows)))
            for flow, cell in zip(flows, cells, strict=False):
                if "ParamRef" in cell:  # which may stand in tens of thousands of cells
                    self._parameter(cell["ParamRef"], scope, flow, [])
                elif "A_Const" not in cell:
                    flow.add(self.flow(cell, scope))
        return Rows(tuple(flow.output() for flow in flows), tuple(f"column{number}" for number in range(1, len(flows) + 1)))

    def _items(self, items: Any, scope: Scope) -> Rows:
        outputs: list[Output] = []
        labels: list[str | None] = []
        for item in items:
            target = item["ResTarget"]
            value = target["val"]
            star = self._star(value, scope)
            if star is not None:
                outputs.extend(star.outputs)
                labels.extend(star.labels)
            else:
                outputs.append(self.flow(value, scope).output())
                labels.append(target.get("name") or plain_name(value))
            if len(outputs) > LIST_ITEMS:
                raise TooMuchError
        return Rows(tuple(outputs), tuple(labels))

    def _star(self, value: Node, scope: Scope) -> Rows | None:
        """What a star expands to; None if the item is no star."""
        if "A_Indirection" in value and "A_Star" in value["A_Indirection"]["indirection"][-1]:
            flow = self.flow(value, scope)
            return Rows((Flow(flow.columns, False).output(star=True),), (None,))
        if "ColumnRef" not in value or "A_Star" not in value["ColumnRef"]["fields"][-1]:
            return None
        self.columns.add(ANY)
        self.spend(len(scope.sources) + len(scope.unnamed))
        names = field_names(value["ColumnRef"]["fields"])
        if len(names) == 1:
            return scope.star()
        source = scope.source(names[-2])
        if source is None:
            return Rows((Flow({ANY}, False).output(star=True),), (None,))
        return source.rows if source.rows is not None and source.rows.exact else starred([source])

    def _lock(self, locking: Node, scope: Scope) -> None:
        """FOR UPDATE and its like; without names it locks what FROM names, sub-selects included."""
        chosen = [scope.source(item["RangeVar"]["relname"]) for item in locking.get("lockedRels", ())] or scope.all()
        relations = [relation for source in chosen if source is not None for relation in source.relations]
        self.spend(len(relations))
        for relation in relations:
            self.do("sql.lock", self.table(relation))
        if not relations:
            self.do("sql.lock")

    # FROM -----------------------------------------------------------------------------------------------------------

    def _from(self, items: Any, scope: Scope) -> None:
        for item in items:
            self._from_item(item, scope)

    def _from_item(self, item: Node, scope: Scope) -> None:
        kind, body = next(iter(item.items()))
        match kind:
            case "RangeVar":
                alias, renamed = alias_of(body)
                scope.sources[alias or body["relname"]] = self._relation(body, renamed, scope)
            case "RangeSubselect":
                self._subselect(body, scope)
            case "JoinExpr":
                self._join(body, scope)
            case "RangeTableSample":
                self._sample(body, scope)
            case "RangeFunction" | "RangeTableFunc" | "JsonTable":
                self._function_rows(body, scope)
            case _:
                self.unknown(f"a {kind} is not known")

    def _relation(self, body: Node, renamed: list[str], scope: Scope) -> Source:
        if "schemaname" not in body:
            cte = scope.cte(body["relname"])
            if isinstance(cte, Rows):
                return derived(cte, renamed)
            if cte is not None:
                return Source(otherwise=cte.whole()) if renamed else cte
        return base(self.read(named(body)), renamed)

    def read(self, relation: Relation) -> Relation:
        """Note that the statement reads a relation."""
        self.reads.append(relation)
        self.relations.add(relation)
        self.tables.add(str(relation))
        return relation

    def _subselect(self, body: Node, scope: Scope) -> None:
        alias, renamed = alias_of(body)
        inside = Scope(scope if body.get("lateral") else scope.outside())
        kind, query = next(iter(body["subquery"].items()))
        before = len(self.reads)
        rows = self.query(kind, query, inside)
        self.spend(len(self.reads) - before)
        self._add(scope, alias, derived(rows, renamed, tuple(self.reads[before:])))

    def _join(self, body: Node, scope: Scope) -> None:
        alias, renamed = alias_of(body)
        inside = Scope(scope, joined=True) if alias else scope
        before = (len(inside.sources), len(inside.unnamed))
        self._from_item(body["larg"], inside)
        self._from_item(body["rarg"], inside)
        inside.merged = inside.merged or "usingClause" in body or bool(body.get("isNatural"))
        self.trusts |= {"="} if inside.merged else set()
        self.columns.update(field_names(body.get("usingClause", [])))
        self.met.update([ANY] if body.get("isNatural") else field_names(body.get("usingClause", [])))
        for name in field_names(body.get("usingClause", [])):
            self.test(inside.column(name))
        if body.get("isNatural"):
            self.columns.add(ANY)
            self.test(united(source.whole() for source in inside.all()))
        if "quals" in body:
            self.spend(len(inside.sources))
            self.decide(body["quals"], inside.since(*before))
        self.spend(len(inside.sources))
        if "join_using_alias" in body:
            scope.merged = True
            scope.sources[body["join_using_alias"]["aliasname"]] = joined(inside.all(), ())
        if alias:
            scope.merged = scope.merged or inside.merged
            scope.sources[alias] = joined(inside.all(), renamed)

    def _sample(self, body: Node, scope: Scope) -> None:
        method = field_names(body["method"])
        if method[-1] not in functions.SAMPLES or method[:-1] not in ([], ["pg_catalog"]):
            self.functions.add(".".join(method))
            self.unknown(f"samples by {'.'.join(method)}, which is not known")
        self._from_item(body["relation"], scope)
        self.decide([body.get("args", []), body.get("repeatable", [])], scope)

    def _function_rows(self, body: Node, scope: Scope) -> None:
        alias, _ = alias_of(body)
        parts = [value for key, value in body.items() if key != "alias" and isinstance(value, (dict, list))]
        self._add(scope, alias, computed(self.decide(parts, scope)))  # how many rows come is up to the arguments

    def _add(self, scope: Scope, alias: str, source: Source) -> None:
        if alias:
            scope.sources[alias] = source
        else:
            scope.unnamed.append(source)

    # Writes ---------------------------------------------------------------------------------------------------------

    def _target(self, body: Node, verb: str, scope: Scope, where: bool | None = None) -> Relation:
        """Note a write to the relation of this statement, and let its columns be seen."""
        relation = named(body["relation"])
        self.write(relation, verb, where)
        scope.sources[alias_of(body["relation"])[0] or relation.name] = base(relation, ())
        return relation

    def write(self, relation: Relation, verb: str, where: bool | None = None) -> None:
        """Note a write; to the server's own relations it changes the server."""
        self.relations.add(relation)
        resource = self.table(relation)
        if catalog_relations.is_system(relation):
            self.do("sql.setting" if relation.name == PG_SETTINGS else "sql.alter", resource)
        self.do(verb, resource, where)

    def _seen_as(self, body: Node) -> Target:
        name = body["relation"]["relname"]
        target = Target(name, alias_of(body["relation"])[0] or name, conditions.copies(body.get("withClause"), name))
        return conditions.with_twins(
            target, [body[part] for part in ("fromClause", "usingClause", "sourceRelation") if part in body]
        )

    def _insert(self, body: Node, scope: Scope | None) -> Rows:
        inner = Scope(scope)
        source = body.get("selectStmt")
        with self.moving():
            self._with(body, inner)
            if source is not None:
                kind, query = next(iter(source.items()))
                self.move(united(self.query(kind, query, inner).outputs))
        self._named_columns(body.get("cols", ()), inner)
        self._target(body, "sql.insert", inner)
        self._given([item["ResTarget"]["name"] for item in body.get("cols", ())], named(body["relation"]), source)
        if "onConflictClause" in body:
            self._on_conflict(body, body["onConflictClause"], inner, source is None or is_bounded(source))
        return self._returning(body, inner)

    def _named_columns(self, items: Any, scope: Scope) -> None:
        self.columns.update(item["ResTarget"]["name"] for item in items)
        self.flow(list(items), scope)  # subscripts may call functions

    def _given(self, names: list[str], relation: Relation, source: Node | None) -> None:
        """Note what an INSERT writes into which column."""
        self.written.update((relation, name) for name in names or [ANY])
        for number, value in slots.given(source or {}):
            if number < len(names) or not names:
                alone = "larg" not in (source or {}).get("SelectStmt", {})
                self.place(value, relation, names[number] if names else f"#{number + 1}", alone=alone)

    def _on_conflict(self, body: Node, clause: Node, scope: Scope, bounded: bool) -> None:
        """DO UPDATE changes only rows that are given: values that are spelled out bound it as a condition does."""
        inner = Scope(scope, sources={"excluded": base(named(body["relation"]), ())})
        if "infer" in clause:
            for item in clause["infer"].get("indexElems", ()):
                self.columns.update([item["IndexElem"]["name"]] if "name" in item["IndexElem"] else [])
            self.decide(clause["infer"], inner)
        if clause["action"] != "ONCONFLICT_UPDATE":
            return
        where = bounded or conditions.narrows(clause.get("whereClause"), self._seen_as(body))
        self.write(named(body["relation"]), "sql.update", where)
        self._assign(clause.get("targetList", ()), body, inner, alone=True)
        self.decide(clause.get("whereClause", []), inner)

    def _assign(self, items: Any, body: Node, scope: Scope, *, alone: bool) -> None:
        """SET: what flows into a column moves, save its own value as it is: reshaped it may look like nothing masked."""
        for item in items:
            target = item["ResTarget"]
            self.columns.add(target["name"])
            self.place({} if "indirection" in target else target["val"], named(body["relation"]), target["name"])
            if alone and is_itself(target, body):
                self.flow(target["val"], scope)
                continue
            with self.moving():
                self.move(self.flow([target["val"], target.get("indirection", [])], scope))

    def _update(self, body: Node, scope: Scope | None) -> Rows:
        inner = Scope(scope)
        where = conditions.narrows(body.get("whereClause"), self._seen_as(body))
        self._chosen(body, "fromClause", "sql.update", inner, where)
        self._assign(body.get("targetList", ()), body, inner, alone="fromClause" not in body)
        return self._returning(body, inner)

    def _delete(self, body: Node, scope: Scope | None) -> Rows:
        inner = Scope(scope)
        where = conditions.narrows(body.get("whereClause"), self._seen_as(body))
        self._chosen(body, "usingClause", "sql.delete", inner, where)
        return self._returning(body, inner)

    def _chosen(self, body: Node, others: str, verb: str, scope: Scope, where: bool) -> None:
        """WITH, FROM and WHERE of UPDATE and DELETE: which rows are left tells what other relations hold, value by value."""
        with nullcontext() if is_plain(body, others) else self.moving():
            self._with(body, scope)
            self._target(body, verb, scope, where)
            self._from(body.get(others, ()), scope)
            self.decide(body.get("whereClause", []), scope)

    def _merge(self, body: Node, scope: Scope | None) -> Rows:
        with self.moving():
            inner = Scope(scope)
            self._with(body, inner)
            self._merged(body, inner)
        return self._returning(body, inner)

    def _merged(self, body: Node, inner: Scope) -> None:
        seen_as = self._seen_as(body)
        joins = conditions.narrows(body["joinCondition"], seen_as)
        actions = [
            (item["MergeWhenClause"], self._merge_where(item["MergeWhenClause"], seen_as, joins)) for item in whens(body)
        ]
        self._target(body, "sql.merge", inner, all(where for when, where in actions if when["commandType"] in _CHANGES))
        relation = named(body["relation"])
        self._from([body["sourceRelation"]], inner)
        self.decide(body["joinCondition"], inner)
        for when, where in actions:
            self._merge_when(when, where, body, relation, inner)

    def _merge_where(self, when: Node, seen_as: Target, joins: bool) -> bool:
        """A row that no source row matches is bounded by its own condition alone."""
        own = conditions.narrows(when.get("condition"), seen_as)
        return own or (joins and when["matchKind"] != "MERGE_WHEN_NOT_MATCHED_BY_SOURCE")

    def _merge_when(self, when: Node, where: bool, body: Node, relation: Relation, scope: Scope) -> None:
        self.decide(when.get("condition", []), scope)
        match when["commandType"]:
            case "CMD_UPDATE":
                self.write(relation, "sql.update", where)
                self._assign(when.get("targetList", ()), body, scope, alone=False)
            case "CMD_DELETE":
                self.write(relation, "sql.delete", where)
            case "CMD_INSERT":
                self.write(relation, "sql.insert")
                self._named_columns(when.get("targetList", ()), scope)
                self.move(self.flow(when.get("values", []), scope))
                names = [item["ResTarget"]["name"] for item in when.get("targetList", ())]
                values = {"List": {"items": when.get("values", [])}}
                self._given(names, relation, {"SelectStmt": {"valuesLists": [values]}})
            case "CMD_NOTHING":
                pass
            case other:
                self.unknown(f"a MERGE action {other} is not known")

    def _returning(self, body: Node, scope: Scope) -> Rows:
        clause = body.get("returningClause")
        if clause is None:
            return Rows()
        target = base(named(body["relation"]), ())
        options = [option["ReturningOption"]["value"] for option in clause.get("options", ())]
        inner = Scope(scope, sources=dict.fromkeys(["old", "new", *options], target))
        return self._returned(clause["exprs"], inner, scope)

    def _returned(self, items: list[Node], inner: Scope, scope: Scope) -> Rows:
        """RETURNING's items; a bare star is the statement's relations, without OLD and NEW."""
        found = [self._items([item], scope if is_bare_star(item["ResTarget"]["val"]) else inner) for item in items]
        return Rows(
            tuple(output for rows in found for output in rows.outputs), tuple(label for rows in found for label in rows.labels)
        )


# Every field that the grammar can put into a query. Each is walked below, or means nothing by itself.
_NO_FIELDS: frozenset[str] = frozenset()
_FIELDS = {
    "SelectStmt": frozenset(
        (
            "distinctClause intoClause targetList fromClause whereClause groupClause groupDistinct havingClause windowClause "
            "valuesLists sortClause limitOffset limitCount limitOption lockingClause withClause op all larg rarg"
        ).split()
    ),
    "InsertStmt": frozenset("relation cols selectStmt onConflictClause returningClause withClause override".split()),
    "UpdateStmt": frozenset("relation targetList whereClause fromClause returningClause withClause".split()),
    "DeleteStmt": frozenset("relation usingClause whereClause returningClause withClause".split()),
    "MergeStmt": frozenset("relation sourceRelation joinCondition mergeWhenClauses returningClause withClause".split()),
}
_CLAUSES = (
    "whereClause",
    "groupClause",
    "havingClause",
    "windowClause",
    "distinctClause",
    "sortClause",
    "limitOffset",
    "limitCount",
)
_CHANGES = frozenset({"CMD_UPDATE", "CMD_DELETE"})
