"""What can a text of SQL do? ``read`` answers from the text alone, by PostgreSQL's own grammar.

    text -> grammar (libpg_query) -> one tree per statement -> walk: queries, utilities -> deeds, outputs, moves

- ``grammar`` parses, within limits of length and depth; ``lexer`` finds tokens.
- ``walk`` follows expressions and calls, ``queries`` SELECT and the writes, ``utilities`` everything else.
- ``conditions`` tells whether a WHERE narrows anything, ``outputs`` where the values of a select list come from.
- ``functions``, ``settings`` and ``catalog_relations`` are the reviewed tables of what the server brings along.

Closed unless proven open: a text that does not parse, is too long or too deep, or holds anything that no table knows has the
deed ``sql.unknown``, whatever else it has. Nothing here knows the catalog, the policy or the session: names are as the text
says them, triggers, rules, views, casts and operators of the target's own are not seen. docs/what-a-statement-can-do.md says
all of it.

Pure: the same text and the same prepared statements give the same reading, and no text makes it raise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gatebook.model import Deed, Resource
from gatebook.protocols.postgres import grammar, lexer
from gatebook.protocols.postgres.mentions import nodes
from gatebook.protocols.postgres.naming import naming
from gatebook.protocols.postgres.outputs import clean, known
from gatebook.protocols.postgres.reading import FACTS, VERBS, Reading, Statement, Tally
from gatebook.protocols.postgres.templates import Templates
from gatebook.protocols.postgres.utilities import Utilities
from gatebook.protocols.postgres.walk import TARGET, Node, TooMuchError, read_verb

DEEDS = 2000  # in one text; each costs a decision
KEPT_READINGS = 4096
KEPT_CHARACTERS = (
    4096  # longer texts are read each time, as are those of more parts: thousands of them would be too much to keep
)
KEPT_PARTS = 64  # but the latest of them is: it is asked for again until it is decided
SHOWN_CHARACTERS = 256 * 1024  # a text without its literals is for people

STRANGE = "its tree has a form that is not known"  # as a newer grammar might make; no text of this one should

NONE_PREPARED: Mapping[str, Reading] = MappingProxyType({})
HIDDEN = "…"


def read(text: str, prepared: Mapping[str, Reading] = NONE_PREPARED) -> Reading:
    """Read a text of SQL. ``prepared`` are the session's prepared statements by name, which EXECUTE may run."""
    reading = _KEPT.get(text) or _LATEST.get(text) or _first(text)
    if prepared and any(statement.executes is not None for statement in reading.statements):
        return _read(text, prepared)
    return reading


def _first(text: str) -> Reading:
    """Read a text that is not kept: as one that differs in numbers only, if there was one, else by itself."""
    statements = _TEMPLATES.find(text)
    if statements is not None:
        return _keep(Reading(text, statements))
    reading = _keep(_read(text, NONE_PREPARED))
    _TEMPLATES.learn(text, reading, lambda other: _read(other, NONE_PREPARED))
    return reading


def fixed_numbers(reading: Reading) -> tuple[int, ...] | None:
    """Which numbers of a text may not vary, by their place, where its reading is shared by texts that differ in the others."""
    return _TEMPLATES.fixed(reading)


def normalise(text: str) -> str:
    """The text without its literals (``$1``, ``$2`` …) and comments, or ``…`` where they could not all be told."""
    if len(text) > SHOWN_CHARACTERS or "\0" in text or read(text).error:
        return HIDDEN
    try:
        shown = lexer.without_literals(text.encode())
    except UnicodeEncodeError:
        return HIDDEN
    return HIDDEN if shown is None else shown


def uncommented(text: str) -> str | None:
    """The text without its comments; None where they could not all be told, or it is too long to show."""
    if len(text) > SHOWN_CHARACTERS or "\0" in text or read(text).error:
        return None
    try:
        return lexer.without_comments(text.encode())
    except UnicodeEncodeError:
        return None


_TEMPLATES = Templates()
_KEPT: OrderedDict[str, Reading] = OrderedDict()  # by exact text, oldest first; a reading never changes, so nothing goes stale
_LATEST: dict[str, Reading] = {}  # one at most: the last that was too large to be kept


def _keep(reading: Reading) -> Reading:
    size = sum(len(statement.deeds) + len(statement.outputs or ()) for statement in reading.statements)
    if len(reading.text) <= KEPT_CHARACTERS and size <= KEPT_PARTS:
        _KEPT[reading.text] = reading
        if len(_KEPT) > KEPT_READINGS:
            _KEPT.popitem(last=False)
    else:
        _LATEST.clear()
        _LATEST[reading.text] = reading
    return reading


def _read(text: str, prepared: Mapping[str, Reading]) -> Reading:
    try:
        reading = _read_tree(text, grammar.parse(text), prepared)
    except (RecursionError, TooMuchError):
        return Reading(text, (_unknown(grammar.TOO_DEEP),))
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration):
        return Reading(text, (_unknown(STRANGE),))
    if sum(len(statement.deeds) for statement in reading.statements) > DEEDS:
        return Reading(text, (_unknown(grammar.TOO_DEEP),))
    return reading


def _read_tree(text: str, tree: grammar.Tree, prepared: Mapping[str, Reading]) -> Reading:
    if tree.why:
        return Reading(text, (_unknown(tree.why),), tree.error, tree.position)
    names = dict(prepared)
    statements: list[Statement] = []
    for raw in tree.statements:
        statement = read_node(raw["stmt"], len(tree.statements), names)
        statements.append(statement)
        _remember(names, text, statement)
    return Reading(text, tuple(statements) or (_empty(),))


def _remember(names: dict[str, Reading], text: str, statement: Statement) -> None:
    """What PREPARE and DEALLOCATE mean for the statements after them in the same text."""
    if statement.prepares is not None:
        names[statement.prepares] = Reading(text, (statement,))
    if statement.forgets == "*":
        names.clear()
    elif statement.forgets is not None:
        names.pop(statement.forgets, None)


def read_node(node: Node, count: int, prepared: Mapping[str, Reading]) -> Statement:
    """Read one statement's tree, of ``count`` in its text."""
    walk = Utilities(prepared)
    kind, body = next(iter(node.items()))
    outputs = walk.statement(kind, body)
    for relation in dict.fromkeys(walk.reads):
        verb = read_verb(relation)
        walk.do(verb, TARGET if verb == "sql.session" else walk.table(relation))
    moves = walk.moves | walk.met if walk.spills else walk.moves
    return Statement(
        deeds=tuple(_deeds({**walk.deeds, **walk.calls}, _facts(walk, count), walk.settings)),
        outputs=outputs,
        relations=frozenset(walk.relations),
        moves=clean(moves) if moves else frozenset(),
        prepares=walk.prepares,
        executes=walk.executes,
        forgets=walk.forgets,
        copy=walk.copy,
        qualified=frozenset(walk.qualified),
        tests=known(walk.tests),
        places=tuple(walk.places),
        parameters=walk.elsewhere(),
        written=frozenset(walk.written),
        tally=_tally(kind, body, walk),
        transaction=body["kind"].removeprefix("TRANS_STMT_") if kind == "TransactionStmt" else "",
        snapshots=kind not in _NO_SNAPSHOT,
        trusts=frozenset(walk.trusts),
        naming=naming(kind, body),
        types=frozenset(walk.types),
        converts=walk.converts,
    )


# PlannedStmtRequiresSnapshot of the server's pquery.c, and what closes.
_NO_SNAPSHOT = frozenset(
    "TransactionStmt LockStmt VariableSetStmt VariableShowStmt ConstraintsSetStmt FetchStmt ClosePortalStmt ListenStmt "
    "NotifyStmt UnlistenStmt CheckPointStmt DiscardStmt DeallocateStmt".split()
)
_ROWLESS = frozenset(
    "sql.session sql.select sql.explain sql.copy_out sql.lock sql.sequence sql.notify sql.maintain sql.protected "
    "sql.setting".split()
)
_CHANGES = frozenset({"sql.insert", "sql.update", "sql.delete", "sql.merge", "sql.copy_in"})
_CHANGING = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


def _tally(kind: str, body: Node, walk: Utilities) -> Tally:
    """Whether the tag of its end counts all rows that it changes itself: a statement inside another is not in it.

    Of a PREPARE it is that of what is prepared.
    """
    verbs = {verb for verb, _ in (*walk.deeds, *walk.calls)} - _ROWLESS
    if not verbs:
        return Tally.NONE
    if kind == "ExecuteStmt":
        known = walk.prepared.get(body["name"])
        return known.statements[0].tally if known is not None and len(known.statements) == 1 else Tally.UNCOUNTED
    if kind == "PrepareStmt":
        kind, body = next(iter(body["query"].items()))
    changes = sum(1 for inner, _ in nodes({kind: body}) if inner in _CHANGING)
    copies = walk.copy is not None and walk.copy.inward and not changes
    counted = verbs <= _CHANGES and (copies or (kind in _CHANGING and changes == 1))
    return Tally.COUNTED if counted else Tally.UNCOUNTED


_SETS = frozenset({"sql.session", "sql.setting"})
Facts = dict[str, bool | int | str | frozenset[str]]


def _facts(walk: Utilities, count: int) -> Facts:
    return {
        "tables": frozenset(walk.tables),
        "columns": frozenset(walk.columns),
        "functions": frozenset(walk.functions),
        "has_where": False,
        "statements": count,
        "setting": walk.setting,
        "copies_to": walk.copies_to,
        "why_unknown": walk.why,
        "tests_masked": frozenset(),
        "tested_sets": frozenset(),
        "keys_masked": frozenset(),
        "moves_masked": False,
    }


def _deeds(
    done: Mapping[tuple[str, Resource], bool | None], facts: Facts, settings: Iterable[tuple[str, str]]
) -> Iterable[Deed]:
    """One for each that was done; of calls that set several settings one for each of these, which rules may tell apart."""
    for (verb, resource), where in done.items():
        own = {**facts, "has_where": True} if where else facts
        names = [name for does, name in settings if does == verb and verb in _SETS]
        for name in names or [""]:
            yield Deed(verb=verb, reach=VERBS[verb], resource=resource, facts={**own, "setting": name} if name else own)


def _unknown(why: str) -> Statement:
    deed = Deed(verb="sql.unknown", reach=VERBS["sql.unknown"], resource=TARGET, facts={**FACTS, "why_unknown": why})
    return Statement((deed,), None, frozenset())


def _empty() -> Statement:
    """A text without a statement: the server answers that it was empty."""
    deed = Deed(verb="sql.session", reach=VERBS["sql.session"], resource=TARGET, facts={**FACTS, "statements": 0})
    return Statement((deed,), (), frozenset(), tally=Tally.NONE)
