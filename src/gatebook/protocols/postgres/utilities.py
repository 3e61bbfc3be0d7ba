"""The statements that are no queries: definitions, privileges, settings, transactions, COPY, EXPLAIN, PREPARE and the rest.

Most define or maintain something and have one verb for their kind; their expressions are walked, since a default or an index
expression runs now. What is only stored to be run later (views, rules, functions, policies, defaults of a new table) is
walked for its names and moves, not for deeds. A kind that stands in no table here is unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from gatebook.model import Resource
from gatebook.protocols.postgres import copy_options, settings, slots
from gatebook.protocols.postgres.outputs import ANY, Flow, Rows, Scope, final, united
from gatebook.protocols.postgres.queries import Queries
from gatebook.protocols.postgres.reading import CopyPlan, Output, Reading, Relation, Statement
from gatebook.protocols.postgres.walk import TARGET, Node, field_names, literal, named

Outputs = tuple[Output, ...] | None

NOTHING: tuple[Output, ...] = ()
PLAIN_TEXT = (Output(star=False, columns=frozenset(), certain=True),)  # one column that comes from no table
QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

_VERBS: dict[str, str] = {
    "sql.session": "ClosePortalStmt ConstraintsSetStmt ListenStmt UnlistenStmt",
    "sql.notify": "NotifyStmt",
    "sql.lock": "LockStmt",
    "sql.maintain": "ClusterStmt RefreshMatViewStmt ReindexStmt VacuumStmt",
    "sql.server": "CheckPointStmt",
    "sql.do": "DoStmt",
    "sql.create": """
        CompositeTypeStmt CreateAmStmt CreateCastStmt CreateConversionStmt CreateDomainStmt CreateEnumStmt CreateEventTrigStmt
        CreateExtensionStmt CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt CreateFunctionStmt CreateOpClassStmt
        CreateOpFamilyStmt CreatePLangStmt CreatePolicyStmt CreatePublicationStmt CreateRangeStmt CreateRoleStmt
        CreateSchemaStmt CreateSeqStmt CreateStatsStmt CreateStmt CreateSubscriptionStmt CreateTableSpaceStmt
        CreateTransformStmt
        CreateTrigStmt CreateUserMappingStmt CreatedbStmt DefineStmt ImportForeignSchemaStmt IndexStmt RuleStmt ViewStmt""",
    "sql.alter": """
        AlterCollationStmt AlterDatabaseRefreshCollStmt AlterDatabaseStmt AlterDomainStmt AlterEnumStmt AlterEventTrigStmt
        AlterExtensionContentsStmt AlterExtensionStmt AlterFdwStmt AlterForeignServerStmt AlterFunctionStmt
        AlterObjectDependsStmt AlterObjectSchemaStmt AlterOpFamilyStmt AlterOperatorStmt AlterOwnerStmt AlterPolicyStmt
        AlterPublicationStmt AlterRoleStmt AlterSeqStmt AlterStatsStmt AlterSubscriptionStmt AlterTSConfigurationStmt
        AlterTSDictionaryStmt AlterTableMoveAllStmt AlterTableSpaceOptionsStmt AlterTableStmt AlterTypeStmt
        AlterUserMappingStmt CommentStmt RenameStmt SecLabelStmt""",
    "sql.drop": """
        DropOwnedStmt DropRoleStmt DropStmt DropSubscriptionStmt DropTableSpaceStmt DropUserMappingStmt DropdbStmt""",
    "sql.grant": "AlterDefaultPrivilegesStmt GrantRoleStmt GrantStmt ReassignOwnedStmt",
}
VERB_OF_KIND: Mapping[str, str] = {kind: verb for verb, kinds in _VERBS.items() for kind in kinds.split()}

# Parts of definitions that do nothing themselves.
_PARTS = frozenset(
    (
        "ATAlterConstraint AccessPriv AlterTableCmd Constraint CreateOpClassItem FunctionParameter ObjectWithArgs "
        "PartitionBoundSpec PartitionCmd PartitionElem PartitionRangeDatum PartitionSpec PublicationObjSpec PublicationTable "
        "RangeVar ReplicaIdentityStmt RoleSpec StatsElem TableLikeClause TriggerTransition VacuumRelation VariableSetStmt"
    ).split()
)
# Stored now, run later if ever.
_STORED = frozenset(
    "CreateFunctionStmt CreatePolicyStmt AlterPolicyStmt CreateTrigStmt RuleStmt CreateStmt CreateForeignTableStmt".split()
)
# Make the relation they name, so that the catalog need not know it.
_MAKERS = {
    "CreateStmt": "relation",
    "CreateForeignTableStmt": "relation",
    "CreateSeqStmt": "sequence",
    "CompositeTypeStmt": "typevar",
}
# What is copied or answered for later, out of reach of this answer's masks.
_COPIERS = frozenset({"RuleStmt", "CreateTrigStmt", "CreatePublicationStmt", "AlterPublicationStmt"})
_RELATIONS = frozenset(
    f"OBJECT_{kind}"
    for kind in ("TABLE", "VIEW", "MATVIEW", "FOREIGN_TABLE", "SEQUENCE", "INDEX", "COLUMN", "TRIGGER", "RULE", "POLICY")
)
_ON_RELATIONS = frozenset({"OBJECT_COLUMN", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"})
_OBJECT_KINDS = ("removeType", "objtype", "objectType", "renameType")  # fields that say what kind of object is meant
_INNER = QUERIES | VERB_OF_KIND.keys()  # statements inside others, which note their own relations
_WHERE_VERBS = frozenset({"sql.update", "sql.delete", "sql.merge"})
_TRANSACTIONS = {
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "ROLLBACK_TO"), "sql.session"),
    # a prepared transaction outlives its session: whoever names it ends what another began
    **dict.fromkeys(("PREPARE", "COMMIT_PREPARED", "ROLLBACK_PREPARED"), "sql.server"),
}


class Utilities(Queries):
    """A walk that knows every statement. ``prepared`` are the prepared statements by name, as read before."""

    def __init__(self, prepared: Mapping[str, Reading]) -> None:
        super().__init__()
        self.prepared = prepared
        self.prepares: str | None = None
        self.executes: str | None = None
        self.forgets: str | None = None
        self.copy: CopyPlan | None = None

    def statement(self, kind: str, body: Node) -> Outputs:
        """Walk a statement of any kind; what it answers with, None when that is not known."""
        if kind in QUERIES:
            rows = self.query(kind, body, None)
            if not self.reads and not self.deeds:
                self.do("sql.select")
            return final(rows.outputs)
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, body)
        verb = VERB_OF_KIND.get(kind)
        if verb is None:
            self.unknown(f"a {kind} is not known")
            return None
        self._define(kind, verb, body)
        return NOTHING

    def node(self, kind: str, body: Node, scope: Scope, flow: Flow) -> None:
        """Parts of definitions, and statements inside others."""
        if kind in _PARTS:
            flow.add(self.flow(body, scope))
        elif kind in VERB_OF_KIND:
            self.statement(kind, body)
        else:
            super().node(kind, body, scope, flow)

    # Definitions ----------------------------------------------------------------------------------------------------

    def _define(self, kind: str, verb: str, body: Node) -> None:
        if kind == "CreateForeignTableStmt":
            self.flow(body.get("options", []), Scope())
            body = body["base"]
        made = body.get(_MAKERS.get(kind, ""))
        resources = [self.table(named(made))] if made else []
        resources += [self.touch(relation) for relation in _range_vars(body) if relation is not made]
        resources += self._objects(body)
        for resource in resources or [TARGET]:
            self.do(verb, resource)
        if kind in _STORED:
            self._quietly(body)
            self.flow(body.get("partbound", []), Scope())
        elif kind == "DoStmt":
            self.why = self.why or "runs a block of code, which may do anything"
        else:
            self._moved(kind, body, self.flow(body, Scope()))
        if kind in _COPIERS:
            self.moves.add(ANY)

    def _quietly(self, body: Any) -> None:
        with self._stored():
            self.flow(body, Scope())

    @contextmanager
    def _stored(self) -> Iterator[None]:
        """What is not run now: names and functions are noted, deeds are not, nor what converts values."""
        deeds, calls, why, reads, types, converts = self.deeds, self.calls, self.why, self.reads, self.types, self.converts
        self.deeds, self.calls, self.reads, self.types = {}, {}, [], set()
        yield
        self.deeds, self.calls, self.why, self.reads, self.types, self.converts = deeds, calls, why, reads, types, converts

    def _moved(self, kind: str, body: Node, flow: Flow) -> None:
        """What a change of a definition takes out from under the rules for a column."""
        if kind == "AlterTableStmt":
            for command in body.get("cmds", ()):
                self._altered(command["AlterTableCmd"])
        elif kind == "AlterObjectSchemaStmt":
            self.moves.add(ANY)
        elif kind == "RenameStmt":
            self.moves.add(body["subname"] if body["renameType"] == "OBJECT_COLUMN" else ANY)

    def _altered(self, command: Node) -> None:
        if command["subtype"] in ("AT_AttachPartition", "AT_AddInherit"):
            self.moves.add(ANY)
        elif command["subtype"] not in ("AT_AddConstraint", "AT_DropColumn"):
            self.moves |= self.flow(command.get("def", []), Scope()).columns

    def _objects(self, body: Node) -> list[Resource]:
        """The objects that DROP, COMMENT and their like name as lists of words."""
        objects = body.get("objects", [body["object"]] if "object" in body else [])
        kind = next((body[key] for key in _OBJECT_KINDS if key in body), "OBJECT_OBJECT")
        if body.get("targtype") == "ACL_TARGET_ALL_IN_SCHEMA":
            kind = "OBJECT_SCHEMA"
        return [
            self._object(kind, item) for item in objects if "RangeVar" not in item and not ("List" in item and not item["List"])
        ]

    def _object(self, kind: str, item: Node) -> Resource:
        words = _words(item)
        if kind in _ON_RELATIONS:
            words = words[:-1]
        if kind in _RELATIONS and words:
            relation = Relation(words[-2] if len(words) > 1 else None, words[-1])
            self.relations.add(relation)
            return self.table(relation)
        return Resource(kind=kind.removeprefix("OBJECT_").lower(), name=".".join(words))

    def _view(self, body: Node) -> Outputs:
        self.do("sql.create", self.table(named(body["view"])))
        kind, query = next(iter(body["query"].items()))
        with self._stored():
            rows = self.query(kind, query, None)
        self.move(united(rows.outputs))
        return NOTHING

    def _table_as(self, body: Node) -> Outputs:
        kind, query = next(iter(body["query"].items()))
        if kind == "ExecuteStmt":
            outputs = self._execute(query)
            self.into(body["into"], Rows() if outputs is None else Rows(outputs, (None,) * len(outputs)))
            if outputs is None:
                self.moves.add(ANY)
            self.moves |= self.columns
        else:
            with self.moving():
                rows = self.query(kind, query, None)
            self.into(body["into"], rows)
        return NOTHING

    def _truncate(self, body: Node) -> Outputs:
        for item in body["relations"]:
            self.write(named(item["RangeVar"]), "sql.truncate")
        return NOTHING

    # Settings and the session ---------------------------------------------------------------------------------------

    def _set(self, body: Node) -> Outputs:
        self.setting = body.get("name", "all").lower()
        self.do("sql.session" if _may_set(body) else "sql.setting")
        return NOTHING

    def _set_for_all(self, body: Node) -> Outputs:
        self.setting = body["setstmt"].get("name", "all").lower()
        self.do("sql.setting")
        return NOTHING

    def _show(self, body: Node) -> Outputs:
        self.do("sql.session")
        return (Output(star=True, columns=frozenset(), certain=True),) if body["name"].lower() == "all" else PLAIN_TEXT

    def _discard(self, body: Node) -> Outputs:
        self.do("sql.session")
        if body["target"] == "DISCARD_ALL":
            self.forgets, self.setting = "*", "all"
        return NOTHING

    def _transaction(self, body: Node) -> Outputs:
        verb = _TRANSACTIONS.get(body["kind"].removeprefix("TRANS_STMT_"))
        if verb is None:
            self.unknown(f"a transaction statement {body['kind']} is not known")
        else:
            self.do(verb)
        return NOTHING

    def _load(self, body: Node) -> Outputs:
        self.unknown("loads a library into the server")
        return NOTHING

    # Cursors and prepared statements --------------------------------------------------------------------------------

    def _declare(self, body: Node) -> Outputs:
        kind, query = next(iter(body["query"].items()))
        self.statement(kind, query)
        self.do("sql.session")
        return NOTHING

    def _fetch(self, body: Node) -> Outputs:
        self.do("sql.session")
        return NOTHING if body.get("ismove") else None

    def _prepare(self, body: Node) -> Outputs:
        self.prepares = body["name"]
        kind, query = next(iter(body["query"].items()))
        return self.statement(kind, query)

    def _execute(self, body: Node) -> Outputs:
        name = body["name"]
        self.executes = name
        self.move(self.flow(body.get("params", []), Scope()))
        known = self.prepared.get(name)
        if known is None or any(statement.executes is not None for statement in known.statements):
            self.why = self.why or f"runs the prepared statement {name}, which is not known"
            self.calls["sql.execute", TARGET] = None
            return None
        for statement in known.statements:
            self._adopt(statement)
            self._fill(statement, body.get("params", []))
        return known.statements[0].outputs if len(known.statements) == 1 else None

    def _adopt(self, statement: Statement) -> None:
        """Count what a prepared statement does as done here."""
        self.relations |= statement.relations
        self.moves |= statement.moves
        self.qualified |= statement.qualified
        self.tests |= statement.tests
        self.trusts |= statement.trusts
        self.types |= statement.types
        self.converts = self.converts or statement.converts
        self.written |= statement.written
        for place in statement.places:  # what EXECUTE gives is not looked at
            self.tests |= frozenset() if place.writes else place.origins
        for deed in statement.deeds:
            self.do(deed.verb, deed.resource, bool(deed.facts["has_where"]) if deed.verb in _WHERE_VERBS else None)
            self.why = self.why or str(deed.facts["why_unknown"])
            if setting := str(deed.facts["setting"]):
                self.setting = self.setting or setting
                self.settings[deed.verb, setting] = None
            for found, fact in ((self.tables, "tables"), (self.columns, "columns"), (self.functions, "functions")):
                value = deed.facts[fact]
                if isinstance(value, frozenset):
                    found |= value

    def _fill(self, statement: Statement, given: list[Node]) -> None:
        """Note what EXECUTE gives for the parameters of what it runs, where that may stand for something else."""
        for place in statement.places:
            number = place.slot.param
            slot = slots.slot_of(given[number - 1]) if 0 < number <= len(given) else None
            if slot is not None:
                self.places.append(replace(place, slot=slot))

    def _deallocate(self, body: Node) -> Outputs:
        self.do("sql.session")
        self.forgets = "*" if body.get("isall") else body["name"]
        return NOTHING

    # COPY, EXPLAIN, CALL --------------------------------------------------------------------------------------------

    def _copy(self, body: Node) -> Outputs:
        self.copies_to = "program" if body.get("is_program") else "file" if "filename" in body else "client"
        inward = bool(body.get("is_from"))
        verb = {"program": "sql.copy_program", "file": "sql.copy_file"}.get(
            self.copies_to, "sql.copy_in" if inward else "sql.copy_out"
        )
        if "query" in body:
            kind, query = next(iter(body["query"].items()))
            with nullcontext() if self.copies_to == "client" else self.moving():
                outputs = final(self.query(kind, query, None).outputs)
            self.do(verb)
        else:
            outputs = self._copied(body, verb, inward)
        self.flow(body.get("whereClause", []), Scope())
        if self.copies_to == "client":
            self.copy = copy_options.plan(body)
        else:
            self.move(united(outputs))
        return NOTHING if inward else outputs

    def _copied(self, body: Node, verb: str, inward: bool) -> tuple[Output, ...]:
        relation = named(body["relation"])
        names = field_names(body.get("attlist", [])) or [ANY]
        self.columns.update(names)
        if inward:
            self.write(relation, "sql.copy_in")
        else:
            self.read(relation)
        self.do(verb, self.table(relation))
        self.relations.add(relation)
        self.written.update((relation, name) for name in names if inward)
        return () if inward else tuple(Output(name == ANY, frozenset({name}), True) for name in names)

    def _explain(self, body: Node) -> Outputs:
        kind, query = next(iter(body["query"].items()))
        deeds, reads, moves, spills = self.deeds, self.reads, set(self.moves), self.spills
        self.deeds, self.reads = {}, []
        self.statement(kind, query)
        ran, planned = self.deeds, [self.table(relation) for relation in self.reads]
        planned += [resource for _, resource in ran if resource != TARGET]
        if _runs(body.get("options", ())):
            self.deeds = {**deeds, **ran}
            self.reads = [*reads, *self.reads]
        else:
            self.deeds, self.reads, self.moves, self.spills = deeds, reads, moves, spills
        for resource in dict.fromkeys(planned) or {TARGET: None}:
            self.do("sql.explain", resource)
        return PLAIN_TEXT

    def _call_procedure(self, body: Node) -> Outputs:
        call = body["funccall"]
        name = ".".join(field_names(call["funcname"]))
        self.functions.add(name)
        self.move(self.flow(call.get("args", []), Scope()))
        self.do("sql.call", Resource(kind="function", name=name))
        self.why = self.why or f"calls procedure {name}, which may do anything"
        return None


_SPECIAL: dict[str, Callable[[Utilities, Node], Outputs]] = {
    "ViewStmt": Utilities._view,
    "CreateTableAsStmt": Utilities._table_as,
    "TruncateStmt": Utilities._truncate,
    "VariableSetStmt": Utilities._set,
    "AlterSystemStmt": Utilities._set_for_all,
    "AlterDatabaseSetStmt": Utilities._set_for_all,
    "AlterRoleSetStmt": Utilities._set_for_all,
    "VariableShowStmt": Utilities._show,
    "DiscardStmt": Utilities._discard,
    "TransactionStmt": Utilities._transaction,
    "LoadStmt": Utilities._load,
    "DeclareCursorStmt": Utilities._declare,
    "FetchStmt": Utilities._fetch,
    "PrepareStmt": Utilities._prepare,
    "ExecuteStmt": Utilities._execute,
    "DeallocateStmt": Utilities._deallocate,
    "CopyStmt": Utilities._copy,
    "ExplainStmt": Utilities._explain,
    "CallStmt": Utilities._call_procedure,
}


def _may_set(body: Node) -> bool:
    """Whether a SET or RESET is a session's own affair."""
    kind, name = body["kind"], body.get("name", "")
    if kind in ("VAR_RESET_ALL", "VAR_SET_MULTI"):  # SET TRANSACTION and SESSION CHARACTERISTICS
        return True
    if kind in ("VAR_RESET", "VAR_SET_DEFAULT"):
        return settings.resettable(name)
    arguments = body.get("args", [])
    return settings.harmless(name, _plain(arguments[0]) if len(arguments) == 1 else None)


def _plain(node: Node) -> str | None:
    constant = node.get("A_Const", {})
    return str(constant["ival"].get("ival", 0)) if "ival" in constant else literal(node)


def _runs(options: Any) -> bool:
    """Whether EXPLAIN runs the statement: an ANALYZE option that is not surely off."""
    chosen = [option["DefElem"] for option in options if option["DefElem"]["defname"] == "analyze"]
    return any(not _is_off(option.get("arg")) for option in chosen)


def _is_off(argument: Node | None) -> bool:
    if argument is None:
        return False
    if "Integer" in argument:
        return not argument["Integer"].get("ival", 0)
    if "Boolean" in argument:
        return not argument["Boolean"].get("boolval", False)
    return argument.get("String", {}).get("sval", "").lower() in ("off", "false")


def _range_vars(body: Node) -> list[Node]:
    """Every relation a definition names outside of queries, whose CTEs are told apart elsewhere."""
    found: list[Node] = []
    queue: deque[Any] = deque([body])
    while queue:
        item = queue.popleft()
        if isinstance(item, list):
            queue.extend(item)
        elif isinstance(item, dict):
            if "relname" in item:
                found.append(item)
            queue.extend(value for key, value in item.items() if key not in _INNER and isinstance(value, (dict, list)))
    return found


def _words(item: Node) -> list[str]:
    """A name given as words; of a function or operator without its arguments."""
    kind, body = next(iter(item.items()))
    match kind:
        case "String":
            return [body.get("sval", "")]
        case "List":
            return [word for part in body.get("items", []) for word in _words(part)]
        case "ObjectWithArgs":
            return field_names(body.get("objname", []))
        case "TypeName":
            return field_names(body.get("names", []))
        case _:
            return []
