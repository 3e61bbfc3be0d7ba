"""One walk over a statement's parse tree: what it names, calls and does, and where the values of an expression come from.

The walk is closed: a node of a kind that is in no list here or in ``queries`` and ``utilities`` makes the statement unknown.
Expressions are walked with a stack of their own; only queries inside queries recurse, and what is too deep for that ends as
unknown too. The tree is libpg_query's JSON: a node of any kind is ``{"Kind": {fields}}``, a field of a fixed kind holds its
fields directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gatebook.model import Resource
from gatebook.protocols.postgres import catalog_relations, functions, settings, slots
from gatebook.protocols.postgres.outputs import ANY, FLOW_ORIGINS, Flow, Rows, Scope, Source, united
from gatebook.protocols.postgres.reading import Origin, Place, Relation

Node = dict[str, Any]
TARGET = Resource(kind="target", name="")
PLACES = 4096  # values in one statement that may stand for others
STEPS = 1_000_000  # names looked up in FROM items; half a second


class TooMuchError(Exception):
    """The text asks for more work than it is worth: it counts as not read."""


# Kinds that do nothing themselves: what stands below them is walked.
PLAIN: frozenset[str] = frozenset(
    (
        "A_ArrayExpr A_Const A_Indices A_Star Alias ArrayExpr BitString BoolExpr Boolean BooleanTest CTECycleClause "
        "CTESearchClause CaseExpr CaseWhen CoalesceExpr CollateClause ColumnDef CurrentOfExpr DefElem Float GroupingFunc "
        "GroupingSet IndexElem InferClause Integer JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor "
        "JsonArrayQueryConstructor JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg "
        "JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTableColumn "
        "JsonTablePathSpec JsonValueExpr List MergeSupportFunc MinMaxExpr MultiAssignRef NamedArgExpr NullTest ParamRef "
        "RangeTableFuncCol ResTarget ReturningOption RowExpr SQLValueFunction SetToDefault SortBy String TypeCast "
        "TypeName WindowDef XmlExpr XmlSerialize"
    ).split()
)

# Kinds and parts that fail, choose or order by the values below them, wherever they stand.
_DECIDING = frozenset("BoolExpr JsonFuncExpr JsonObjectAgg JsonObjectConstructor JsonParseExpr XmlExpr XmlSerialize".split())
_DECIDING_PARTS = frozenset("agg_filter agg_order over".split())


# Of comparisons that are written as words the operators that are looked up for them.
_BEHIND = {
    "BETWEEN": {">=", "<="}, "NOT BETWEEN": {"<", ">"}, "BETWEEN SYMMETRIC": {">=", "<="}, "NOT BETWEEN SYMMETRIC": {"<", ">"},
}  # fmt: skip


_TYPELESS = frozenset({"A_Const", "ParamRef"})  # take the type that they are cast to


class Walk:
    """What is found in one statement. Owned by the reader of that statement, used once."""

    def __init__(self) -> None:
        self.deeds: dict[tuple[str, Resource], bool | None] = {}
        self.calls: dict[tuple[str, Resource], bool | None] = {}
        self.reads: list[Relation] = []
        self.relations: set[Relation] = set()
        self.tables: set[str] = set()
        self.columns: set[str] = set()
        self.functions: set[str] = set()
        self.trusts: set[str] = set()  # functions and operators that are the server's own unless somebody wrote their like
        self.types: set[str] = set()  # named, without those that came with the server
        self.converts = False  # values of another type than a constant's or parameter's, or rows by the types of their columns
        self.moves: set[str] = set()
        self.met: set[str] = set()  # columns whose values play a part anywhere, conditions included
        self.tests: set[Origin] = set()  # columns whose values decide something: which rows come, in what order, or an error
        self.places: list[Place] = []
        self.parameters: dict[int, int] = {}  # how often each stands in the text, but for those that a column is compared with
        self.written: set[Origin] = set()  # columns that get values
        self.testing = False  # what is walked now decides something
        self.spills = False  # calls something that carries values of its rows away
        self.seen = 0  # names of columns
        self.why = ""
        self.setting = ""
        self.settings: dict[tuple[str, str], None] = {}  # by calls, of which there may be several: verb and name
        self.setting_meant: str | None = None  # by a set_config whose name is a column's
        self.copies_to = ""
        self.qualified: set[tuple[Relation | None, str]] = set()
        self.spent = 0

    # Noting ---------------------------------------------------------------------------------------------------------

    def do(self, verb: str, resource: Resource = TARGET, where: bool | None = None) -> None:
        """Note a deed. Of several on the same relation, one without a condition leaves them all without."""
        known = self.deeds.get((verb, resource))
        self.deeds[verb, resource] = where if known is None or where is None else known and where

    def call(self, verb: str, resource: Resource = TARGET) -> None:
        """Note what a function does, which happens wherever the function stands."""
        self.calls[verb, resource] = None

    def unknown(self, why: str) -> None:
        """Note that something cannot be told; the first reason stands."""
        self.why = self.why or why
        self.calls["sql.unknown", TARGET] = None

    def touch(self, body: Node) -> Resource:
        """Note a relation that the statement changes or defines, and make a resource of it."""
        relation = named(body)
        self.relations.add(relation)
        return self.table(relation)

    def table(self, relation: Relation) -> Resource:
        """A relation as a resource, noted among the tables."""
        name = str(relation)
        self.tables.add(name)
        return Resource(kind="table", name=name)

    def move(self, flow: Flow) -> None:
        """Note that values flow somewhere other than the answer."""
        self.moves |= flow.columns
        if not flow.certain:
            self.moves.add(ANY)

    def meet(self, flow: Flow) -> None:
        """Note that values decide something, where they are not shown."""
        self.met |= flow.columns

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Count every column met meanwhile as moved: a condition beside a series of rows spells out a whole value."""
        before, self.met = self.met, set()
        yield
        self.moves |= self.met
        self.met |= before

    def test(self, flow: Flow) -> None:
        """Note that values decide something other than what stands in their own place of the answer."""
        self.tests |= flow.origins
        if len(self.tests) > FLOW_ORIGINS:
            self.tests = {(None, ANY)}

    @contextmanager
    def tested(self, on: bool = True) -> Iterator[None]:
        """Count every column met meanwhile as tested; or none of a query that stands inside of a test, by itself."""
        before, self.testing = self.testing, on
        yield
        self.testing = before

    def decide(self, root: Any, scope: Scope) -> Flow:
        """Walk what decides something: a condition, a key, a limit, an argument that may fail."""
        with self.tested():
            return self.flow(root, scope)

    def spend(self, steps: int) -> None:
        """Count work that can grow faster than the text; past the limit the text is not read."""
        self.spent += steps
        if self.spent > STEPS:
            raise TooMuchError

    # Expressions ----------------------------------------------------------------------------------------------------

    def flow(self, root: Any, scope: Scope) -> Flow:
        """Walk an expression, or a list of them, and say where its value comes from."""
        flow = Flow()
        stack = [root]
        while stack:
            item = stack.pop()
            if type(item) is list:
                stack.extend(item)
                continue
            for key, value in item.items():
                if key >= "a":
                    if type(value) is dict or type(value) is list:
                        if key == "typeName" and type(value) is dict:
                            self.name_type(value)
                        self._part(key in _DECIDING_PARTS, value, scope, flow, stack)
                elif key in _HANDLERS:
                    _HANDLERS[key](self, value, scope, flow, stack)
                elif key in PLAIN:
                    self._part(key in _DECIDING, value, scope, flow, stack)
                else:
                    self.node(key, value, scope, flow)
        return flow

    def _part(self, decides: bool, value: Any, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """Walk a part later; at once where it begins to decide something, which all below it then does."""
        if decides and not self.testing:
            flow.add(self.decide(value, scope))
        else:
            stack.append(value)

    def node(self, kind: str, body: Node, scope: Scope, flow: Flow) -> None:
        """A node that is neither plain nor an expression: a query, or something nobody here knows."""
        flow.certain = False
        self.unknown(f"a {kind} is not known")

    def query(self, kind: str, body: Node, scope: Scope | None) -> Rows:
        """Walk a query inside an expression; ``queries`` knows how."""
        raise NotImplementedError

    def _column(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        names = field_names(body["fields"])
        self.columns.update(names[-1:])
        self.seen += 1
        for level in levels(scope):
            self.spend(len(level.sources) + 1)
            if len(names) == 1 and names[0] in level.sources:
                self.columns.add(ANY)
        if len(names) == 1:
            found = scope.column(names[0]) if names[0] != ANY else united(source.whole() for source in scope.all())
        else:
            found = self._qualified(names, scope)
        self.meet(found)
        if self.testing:
            self.test(found)
        flow.add(found)

    def _qualified(self, names: list[str], scope: Scope) -> Flow:
        name = names[-1]
        source = scope.source(names[-2])
        if source is None:
            return united([scope.column(names[0]), Flow({ANY}, False)])
        if name == ANY:
            return source.whole()
        self._field(source, name)
        found = source.find(name)
        if name in functions.TAKES_ROW and name not in source.names:
            self.columns.add(ANY)
            return united([source.whole(), Flow({name})])
        return found if found is not None else united([source.whole(), Flow({name}, False)])

    def _field(self, source: Source, name: str) -> None:
        """Note a name behind a dot: ``c.f`` is ``f(c)`` where c has no column f."""
        if source.base:
            self.qualified.update({(source.relations[0], name)} if name not in source.given else ())
        elif name not in source.names and (source.passes or source.otherwise is None or source.rows is not None):
            self.qualified.add((None, name))

    def _indirection(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """``(c).ssn``, ``a[1]``: a field of a row could also be a function of it."""
        argument = self.flow(body["arg"], scope)
        flow.add(argument)
        first = next((step["String"].get("sval", "") for step in body["indirection"] if "String" in step), None)
        if first is not None:
            self._field_of(body["arg"], first, argument, scope)
        for step in body["indirection"]:
            if "String" in step:
                self.columns.add(step["String"].get("sval", ""))
            elif "A_Star" in step:
                self.columns.add(ANY)
            else:
                stack.append(step)

    def _field_of(self, row: Node, name: str, flow: Flow, scope: Scope) -> None:
        """Note a field of a row: of a FROM item by its alias, of a cast to somebody's type, or of anything that holds a row."""
        fields = [part for part in field_names(row["ColumnRef"]["fields"]) if part != ANY] if "ColumnRef" in row else []
        source = scope.source(fields[-1]) if fields else None
        if source is not None:
            self._field(source, name)
        elif "TypeCast" in row and not functions.is_built_in_type(
            type_names := field_names(row["TypeCast"]["typeName"]["names"])
        ):
            relation = Relation(type_names[-2] if len(type_names) > 1 else None, type_names[-1])
            self.relations.add(relation)
            self.qualified.add((relation, name))
        elif ANY in flow.columns:
            self.qualified.add((None, name))

    def _function(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        *qualifier, name = field_names(body["funcname"])
        schema = qualifier[-1] if qualifier else None
        verb = functions.verb_of(schema, name)
        if schema is None and verb != "sql.unknown":
            self.trusts.add(name)
        if verb == "":
            self.converts = self.converts or name in functions.CONVERTS
            if name in functions.NAMES_TYPE:
                self._type_by_name(name, body.get("args", []))
            self._part(name not in functions.NEVER_FAIL, body, scope, flow, stack)
            return
        full = f"{schema}.{name}" if schema else name
        seen = self.seen
        with self.moving():
            arguments = self.decide(
                [part for key, part in body.items() if key != "funcname" and isinstance(part, (dict, list))], scope
            )
        self.spills = self.spills or self.seen > seen
        flow.add(arguments)
        self.functions.add(full)
        self.move(arguments)
        if name == "set_config" and schema in (None, "pg_catalog"):
            self._set_config(body)
        elif verb == "sql.unknown":
            flow.certain = False
            self.unknown(f"calls {full}, which is not known")
        else:
            self.call(verb, _sequence(body) if verb == "sql.sequence" else TARGET)

    def _type_by_name(self, function: str, arguments: list[Node]) -> None:
        named = literal(arguments[-1]) if arguments else None
        if named is None or not functions.PLAIN_TYPE.fullmatch(named):
            self.unknown(f"calls {function} for a type that the text does not name plainly")
        elif not functions.is_built_in_type([named]):
            self.types.add(named.rpartition(".")[2])

    def _set_config(self, body: Node) -> None:
        arguments = body.get("args", [])
        name = literal(arguments[0]) or self.setting_meant if len(arguments) == 3 and "func_variadic" not in body else None
        if name is None or any("NamedArgExpr" in argument for argument in arguments):
            self.unknown("calls set_config for a setting that the text does not name")
            return
        self.setting = name.lower()
        verb = "sql.session" if settings.harmless(name, literal(arguments[1])) else "sql.setting"
        self.settings[verb, self.setting] = None
        self.call(verb)

    def _operator(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        self.check_operator(body.get("name", ()))
        joins = body["kind"] == "AEXPR_OP" and body["name"][-1]["String"].get("sval") == "||"
        sides = [body[side] for side in ("lexpr", "rexpr") if side in body]
        if not (self.testing and self._equal(body, scope, flow)):
            self._part(not joins, sides, scope, flow, stack)

    def _equal(self, body: Node, scope: Scope, flow: Flow) -> bool:
        """Note ``column = value`` as a place where a token may stand; False for any other test."""
        found = slots.compared(body)
        if found is None or len(self.places) + len(found[1]) > PLACES:
            return False
        with self.tested(False):
            column = self.flow(found[0], scope)
        flow.add(column)
        origins = frozenset(column.origins)
        self.places += [Place(slot, origins, writes=False) for slot in found[1]]
        return True

    def place(self, node: Node, relation: Relation, name: str, *, alone: bool = True) -> None:
        """Note that a column is written, and the value that it gets as it is, if that may stand for something else."""
        if name[:1] != "#":
            self.written.add((relation, name))
        slot = slots.slot_of(node)
        if slot is not None:
            if len(self.places) >= PLACES:
                raise TooMuchError
            self.places.append(Place(slot, frozenset(((relation, name),)), writes=True, alone=alone))

    def elsewhere(self) -> frozenset[int]:
        """The parameters that stand in a place other than those noted."""
        left = dict(self.parameters)
        for place in self.places:
            left[place.slot.param] = left.get(place.slot.param, 0) - place.writes
        return frozenset(number for number, times in left.items() if number and times)

    def name_type(self, body: Node) -> None:
        """Note a type: to make a value of it may run code of somebody's own."""
        names = field_names(body.get("names", []))
        if names and not functions.is_built_in_type(names):
            self.types.add(names[-1])
        elif len(names) == 1:
            self.trusts.add(f"type {names[0]}")

    def check_operator(self, name: Any) -> None:
        """An operator of a schema other than pg_catalog is somebody's function."""
        if len(name) == 1:
            self.trusts |= _BEHIND.get(name[0]["String"].get("sval", ""), {name[0]["String"].get("sval", "")})
        elif name and name[0]["String"]["sval"] != "pg_catalog":
            operator = ".".join(field_names(name))
            self.functions.add(operator)
            self.unknown(f"uses operator {operator}, which is not known")

    def _sublink(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        self.check_operator(body.get("operName", ()))
        self.trusts.add("=")  # of IN
        compares = "testexpr" in body
        if compares:
            self._part(True, body["testexpr"], scope, flow, stack)
        kind, query = next(iter(body["subselect"].items()))
        with self.tested(False):
            found = united(self.query(kind, query, scope).outputs)
        if body["subLinkType"] != "EXISTS_SUBLINK":
            self.meet(found)
            if compares or self.testing:
                self.test(found)
        flow.add(found)

    def _null(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """``x IS NULL`` of a column tells no more than an answer does, where NULL stays NULL."""
        if "ColumnRef" in body["arg"]:
            with self.tested(False):
                flow.add(self.flow(body["arg"], scope))
        else:
            stack.append(body["arg"])

    def _case(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """Conditions decide; results are values like any other."""
        tests = [when["CaseWhen"]["expr"] for when in body["args"]] + ([body["arg"]] if "arg" in body else [])
        self.trusts |= {"="} if "arg" in body else set()
        self._part(True, tests, scope, flow, stack)
        stack.extend(when["CaseWhen"]["result"] for when in body["args"])
        stack.extend([body["defresult"]] if "defresult" in body else [])

    def _sort(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        self.check_operator(body.get("useOp", ()))
        stack.append(body["node"])

    def _parameter(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        number = int(body.get("number", 0))
        self.parameters[number] = self.parameters.get(number, 0) + 1

    def _leaf(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """Nothing below matters."""

    def _cast(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        """A cast to text cannot fail; any other may, and tells by it."""
        self.name_type(body["typeName"])
        self.converts = self.converts or not (body["arg"].keys() <= _TYPELESS)
        safe = functions.is_text_type(field_names(body["typeName"].get("names", []))) and "arrayBounds" not in body["typeName"]
        self._part(not safe, body["arg"], scope, flow, stack)
        if "typmods" in body["typeName"]:
            stack.append(body["typeName"]["typmods"])

    def _query(self, body: Node, scope: Scope, flow: Flow, stack: list[Any]) -> None:
        with self.tested(False):
            found = united(self.query("SelectStmt", body, scope).outputs)
        if self.testing:
            self.test(found)
        flow.add(found)


def levels(scope: Scope) -> list[Scope]:
    """This scope and those around it."""
    found: list[Scope] = []
    level: Scope | None = scope
    while level is not None:
        found.append(level)
        level = level.parent
    return found


def field_names(fields: list[Node]) -> list[str]:
    """The parts of a dotted name; "*" for a star, "" for a subscript."""
    return [part["String"].get("sval", "") if "String" in part else ANY if "A_Star" in part else "" for part in fields]


def named(body: Node) -> Relation:
    """A RangeVar as a relation."""
    return Relation(body.get("schemaname"), body.get("relname", ""))


def alias_of(body: Node) -> tuple[str, list[str]]:
    """The alias of a FROM item and the column names it gives; "" when it has none."""
    alias = body.get("alias")
    if alias is None:
        return "", []
    return alias["aliasname"], field_names(alias.get("colnames", []))


def literal(node: Node) -> str | None:
    """The text of a string constant, through casts; None for anything else."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    constant = node.get("A_Const")
    if constant is None or "sval" not in constant:
        return None
    return str(constant["sval"].get("sval", ""))


def _sequence(body: Node) -> Resource:
    arguments = body.get("args") or [{}]
    name = literal(arguments[0])
    return Resource(kind="table", name=name) if name and all(part.isidentifier() for part in name.split(".")) else TARGET


def read_verb(relation: Relation) -> str:
    """The verb of reading a relation."""
    if catalog_relations.is_protected(relation):
        return "sql.protected"
    return "sql.session" if catalog_relations.is_system(relation) else "sql.select"


_Handler = Callable[[Walk, Node, Scope, Flow, list[Any]], None]
_HANDLERS: dict[str, _Handler] = {
    "ColumnRef": Walk._column,
    "A_Const": Walk._leaf,
    "ParamRef": Walk._parameter,
    "String": Walk._leaf,
    "A_Expr": Walk._operator,
    "A_Indirection": Walk._indirection,
    "FuncCall": Walk._function,
    "SubLink": Walk._sublink,
    "SortBy": Walk._sort,
    "TypeCast": Walk._cast,
    "NullTest": Walk._null,
    "CaseExpr": Walk._case,
    "SelectStmt": Walk._query,
}
