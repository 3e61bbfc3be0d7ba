"""A held write as a preview would try it: its text taken apart, and every name in it that could stand for somebody's own code.

A preview needs one plain INSERT, UPDATE, DELETE or MERGE, and what it changes as rows: so its own RETURNING is cut off and one
of the gateway's takes its place. That the rest means what it meant is proven by the grammar: without the RETURNING both texts
have the same tree.

Names are as the text says them; what they stand for is for the target's catalog to say (``side_effects.py``). An operator that
no name in the text shows (of IN, BETWEEN, USING, CASE …) is among them all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatebook.protocols.postgres import grammar, lexer
from gatebook.protocols.postgres.mentions import Node, nodes
from gatebook.protocols.postgres.reading import Reading, Relation, Tally

PLAIN = "one plain INSERT, UPDATE, DELETE or MERGE"
NAMES = 500  # in one text that the catalog is asked about

_KINDS = {"InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete", "MergeStmt": "merge"}
_WRITES = {"insert": "sql.insert", "update": "sql.update", "delete": "sql.delete", "merge": "sql.merge"}
IMPLIED = frozenset({"=", "<>", "<", "<=", ">", ">=", "~", "~~", "!~~", "~~*", "!~~*"})
# What they give depends on the session they run in, or they reach further than their name says.
SESSIONS_OWN = frozenset(
    """
current_setting currval lastval pg_backend_pid pg_my_temp_schema pg_is_other_temp_schema pg_listening_channels
pg_prepared_statement pg_cursor pg_stat_clear_snapshot pg_stat_force_next_flush pg_input_is_valid pg_input_error_info
pg_trigger_depth inet_client_addr inet_client_port pg_current_xact_id pg_current_xact_id_if_assigned txid_current
txid_current_if_assigned pg_sleep pg_sleep_for pg_sleep_until
""".split()
)
# They give another value each time, so that what a row becomes cannot be held to what people saw.
TIMELY = frozenset(
    """
now clock_timestamp statement_timestamp transaction_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7
age pg_current_snapshot txid_current_snapshot pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn
array_shuffle array_sample
""".split()
)
_OWN_ROWS = re.compile(r'\bwith\b|\bold\b|\bnew\b|"', re.IGNORECASE)
SOON = re.compile(r"now|today|tomorrow|yesterday|allballs", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Apart:
    """What ``take_apart`` finds in a text. ``head`` is the text without its own RETURNING, ``outputs`` what that says, if any.

    The text calls its ``target`` by ``alias``. ``given`` are the columns of new rows that it gives values, ``"*"`` for all;
    None for what defaults may fill in. ``sets`` are the columns that it changes in rows that are there; ``timely`` says that
    some value in it is another each time; ``replaces`` that it is an INSERT … ON CONFLICT DO UPDATE.
    """

    verb: str
    head: str
    outputs: str
    target: Relation
    alias: str
    functions: frozenset[str]
    operators: frozenset[str]
    types: frozenset[str]
    given: frozenset[str] | None
    timely: bool
    sets: frozenset[str]
    replaces: bool

    @property
    def answers_oddly(self) -> bool:
        """Whether its own RETURNING cannot have a column added: it may name old and new rows itself."""
        return _OWN_ROWS.search(self.outputs) is not None


@dataclass(frozen=True, slots=True)
class Draft:
    """A write that may be tried: its text taken apart, and what gives it its meaning in its session. Values may be secret.

    ``oids`` are what the session's names stand for, ``settings`` those that say what a text means, the current user among them.
    """

    apart: Apart
    oids: Mapping[Relation, int]
    search_path: str
    settings: Mapping[str, str]
    values: tuple[bytes | None, ...] = field(default=(), repr=False)
    formats: tuple[int, ...] = ()
    types: tuple[int, ...] = ()
    timely: bool = False  # a value in it is another each time


def why_not(reading: Reading) -> str:
    """Why a text of this kind is never tried; empty where it may be."""
    if reading.error or len(reading.statements) != 1:
        return f"only {PLAIN} by itself is tried"
    statement = reading.statements[0]
    verbs = [deed.verb for deed in statement.deeds]
    writes = [verb for verb in verbs if verb in _WRITES.values()]
    if statement.tally is not Tally.COUNTED or statement.prepares or statement.executes or statement.copy or not writes:
        return f"only {PLAIN} is tried"
    others = sorted({verb for verb in verbs if verb not in _WRITES.values() and verb != "sql.select"})
    return f"it does more than change rows ({', '.join(others)})" if others else ""


def take_apart(text: str) -> Apart | str:
    """The one write in a text, or why it is not tried."""
    tree = grammar.parse(text)
    if tree.why or len(tree.statements) != 1:
        return f"only {PLAIN} by itself is tried"
    kind, body = next(iter(tree.statements[0]["stmt"].items()))
    verb = _KINDS.get(kind)
    if verb is None:
        return f"only {PLAIN} is tried"
    cut = _without_returning(text, kind, body)
    if cut is None:
        return "its RETURNING cannot be told from the rest of it"
    relation = body["relation"]
    target = Relation(relation.get("schemaname"), relation["relname"])
    if "catalogname" in relation:
        return "it names its table by the database"
    functions, operators, types = _names(body)
    if len(functions | operators | types) > NAMES:
        return "it names too much"
    head, outputs = cut
    return Apart(
        verb,
        head,
        outputs,
        target,
        relation.get("alias", {}).get("aliasname", target.name),
        functions,
        operators,
        types,
        _given(verb, body),
        _timely(body, functions),
        _sets(body),
        replaces=body.get("onConflictClause", {}).get("action") == "ONCONFLICT_UPDATE",
    )


def _without_returning(text: str, kind: str, body: Node) -> tuple[str, str] | None:
    """The text up to its RETURNING and what that says; None when the grammar does not read the rest as the same."""
    data = text.encode()
    found = [one for one in lexer.tokens(data) or [] if not lexer.is_comment(one[0])]
    while found and data[found[-1][1] : found[-1][2]] == b";":
        found.pop()
    if not found:
        return None
    end, at = found[-1][2], None
    if "returningClause" in body or "returningList" in body:
        at = next((one for one in reversed(found) if data[one[1] : one[2]].lower() == b"returning"), None)
        if at is None:
            return None
    head = data[: at[1] if at else end].decode()
    left = {key: value for key, value in body.items() if key not in ("returningClause", "returningList")}
    again = grammar.parse(head)
    if again.why or len(again.statements) != 1 or again.statements[0]["stmt"] != {kind: left}:
        return None
    return head, data[at[2] : end].decode().strip() if at else ""


def _names(body: Node) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    functions: set[str] = set()
    operators: set[str] = set(IMPLIED)
    for kind, value in nodes(body):
        match kind:
            case "FuncCall":
                functions.add(_last(value["funcname"]))
            case "A_Expr":
                operators.add(_last(value["name"]))
            case "SubLink":
                operators.add(_last(value.get("operName", ())))
            case "SortBy":
                operators.add(_last(value.get("useOp", ())))
    return frozenset(functions - {""}), frozenset(operators - {""}), frozenset(_types(body))


def _types(root: Any) -> Iterator[str]:
    """The names of all types below: the grammar writes a type with its kind or, where nothing else can stand, without."""
    stack = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key in ("TypeName", "typeName"):
                    yield _last(value.get("names", ()))
                stack.append(value)


def _last(parts: Sequence[Any]) -> str:
    return str(parts[-1].get("String", {}).get("sval", "")) if parts else ""


def _given(verb: str, body: Node) -> frozenset[str] | None:
    """The columns of new rows that the text itself gives values; None when any may be left to its default."""
    if any(kind == "SetToDefault" for kind, _ in nodes(body)):
        return None
    if verb in ("update", "delete"):
        return frozenset({"*"})
    if verb == "insert":
        return frozenset(one["ResTarget"]["name"] for one in body.get("cols", ())) or None
    inserts = [
        [one["ResTarget"]["name"] for one in clause["MergeWhenClause"].get("targetList", ())]
        for clause in body.get("mergeWhenClauses", ())
        if clause["MergeWhenClause"].get("commandType") == "CMD_INSERT"
    ]
    if not inserts:
        return frozenset({"*"})
    return frozenset.intersection(*map(frozenset, inserts)) or None


def _sets(body: Node) -> frozenset[str]:
    """The columns that rows which are there already are given."""
    clauses = [one["MergeWhenClause"] for one in body.get("mergeWhenClauses", ())]
    lists = [body.get("targetList", ()), body.get("onConflictClause", {}).get("targetList", ())]
    lists += [one.get("targetList", ()) for one in clauses if one.get("commandType") == "CMD_UPDATE"]
    return frozenset(one["ResTarget"].get("name", "*") for items in lists for one in items)


def _timely(body: Node, functions: frozenset[str]) -> bool:
    if functions & TIMELY:
        return True
    for kind, value in nodes(body):
        if kind == "SQLValueFunction":
            return True
        if kind == "A_Const" and SOON.search(str(value.get("sval", {}).get("sval", ""))):
            return True
    return False
