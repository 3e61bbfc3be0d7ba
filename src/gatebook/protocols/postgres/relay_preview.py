"""A preview: a held write is tried on a connection of the gateway's own, in a transaction that is rolled back. Sans I/O.

    login -> begin -> look -> mean -> names -> try -> settle -> over

``begin`` opens a transaction with short timeouts and locks what the write changes as the write itself would, so that triggers
and constraints cannot be added behind the question's back. ``look`` asks the catalog whether the whole call tree is known to be
free of side effects (``side_effects.py``). ``mean`` gives names and literals the meaning they have in the requester's session,
and ``names`` makes sure of it: the same role, the same tables. Only then the write itself goes out, under a permit of its own,
inside a query that counts, hashes and shows the rows it changes. ``settle`` has deferred constraints checked. Whatever comes,
the last word is ROLLBACK, and no lock outlives it.

What is shown is covered here, by every mask set that the target has or a rule may add, and by all detectors: an approver sees
no more than the strictest of rules lets anybody see. A row's changes are told before its values are covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from struct import pack

from gatebook.errors import WireError
from gatebook.masking.rules import MaskSet, Style
from gatebook.masking.styles import COVERED
from gatebook.model import Permit
from gatebook.protocols.postgres import bonds, quoting, rows, side_effects, wire
from gatebook.protocols.postgres.bonds import Bond
from gatebook.protocols.postgres.catalog import Known
from gatebook.protocols.postgres.drafts import Draft
from gatebook.protocols.postgres.login import Login
from gatebook.protocols.postgres.pinned import check_pinned
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.postgres.side_effects import Found
from gatebook.protocols.relay import Covering, Credential, Effect, Own, ToServer

OWN = frozenset({"login", "begin", "question", "meaning", "undo"})
LOCK_MILLISECONDS, STATEMENT_MILLISECONDS, IDLE_MILLISECONDS = 1_000, 3_000, 5_000
SHOWN_ROWS = 20
SHOWN_COLUMNS = 60
SHOWN_CHARACTERS = 200  # of a value
ANSWER_BYTES = 8 * 1024 * 1024  # of one answer, in which nothing but the shown rows can be long
_SAME = ("current_user", "row_security", "session_replication_role")  # not made the same, but must be
_UNNAMED = ""  # statement and portal
_CHANGED = '"gatebook_changed"'
REASONS = 3  # why it is not tried, that are named

_WORDS = {
    "23502": "a column would be null that must not be",
    "23503": "a foreign key would be violated",
    "23505": "a unique key would be violated",
    "23514": "a check would be violated",
    "23P01": "an exclusion constraint would be violated",
    "25006": "it takes reads only",
    "40001": "its rows were being changed by somebody else",
    "40P01": "it would wait for somebody who waits for it",
    "42501": "its role may not see all of the rows that it changes",
    "53300": "it has no connection left",
    "55P03": f"its rows were locked by somebody else for over {LOCK_MILLISECONDS / 1000:.0f} s",
    "57014": f"it takes longer than {STATEMENT_MILLISECONDS / 1000:.0f} s",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """One row: what it was and what it becomes, None where there is no such row; ``changed`` are places of columns."""

    before: tuple[str | None, ...] | None
    after: tuple[str | None, ...] | None
    changed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a preview. With ``why`` there is nothing to show but that.

    ``follows`` are tables whose rows foreign keys change further; ``more_columns`` how many are not shown.
    """

    why: str = ""
    bond: Bond | None = None
    columns: tuple[str, ...] = ()
    more_columns: int = 0
    keys: tuple[str, ...] = ()
    sample: tuple[Changed, ...] = ()
    follows: tuple[str, ...] = ()
    masked: dict[str, int] = field(default_factory=dict)


def login(credential: Credential, session: str, nonce: str, stretched: Stretched) -> Login:
    """The login of a preview. The session is named to the target, so that its own log tells whose preview it was."""
    pinned = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
    return Login(credential, {"application_name": f"gatebook preview {session}"[:63], **pinned}, nonce, stretched)


class Preview:
    """One preview. Feed it what the target sends until ``tried`` says what came of it.

    ``known`` is what it changes, as the session knows it.
    """

    def __init__(self, permit: Permit, draft: Draft, known: Known, login: Login, covering: Covering) -> None:
        self.tried: Tried | None = None
        self._permit, self._draft, self._known, self._covering = permit, draft, known, covering
        self._login = login
        self._frames = wire.Frames(ANSWER_BYTES)
        self._step = "login"
        self._found: Found | None = None
        self._columns: tuple[rows.Column, ...] = ()
        self._rows: list[bytes] = []
        self._size, self._tag = 0, ""
        self._made = Tried()
        self._out: list[Effect] = []

    def start(self) -> list[Effect]:
        """The first words."""
        return [Own("login", self._login.hello)]

    def feed(self, data: bytes) -> list[Effect]:
        """Take what the target sent."""
        self._frames.add(data)
        try:
            while self.tried is None and (found := self._frames.message()) is not None:
                self._take(*found)
        except WireError as fault:
            self._over(str(fault))
        except (ValueError, IndexError):
            self._over("the target's answer to it is not one")
        out, self._out = self._out, []
        return out

    def end(self, why: str) -> list[Effect]:
        """It is over, whatever it was about: time is up, or the target is gone."""
        if self.tried is None:
            self._over(why)
        out, self._out = self._out, []
        return out

    @property
    def interrupt(self) -> bytes:
        """What has the target stop what it does, on a connection of its own, once the login is so far."""
        return wire.cancel_request(self._login.key) if self._login.key else b""

    # What the target says -------------------------------------------------------------------------------------------

    def _take(self, kind: bytes, body: bytes) -> None:
        if self._step == "login":
            self._log_in(kind, body)
        elif kind == b"E":
            self._refused(wire.report_fields(body).get("C", ""))
        elif kind == b"Z":
            self._next()
        elif kind == b"T":
            self._columns, self._rows, self._size = rows.parse_row_description(body), [], 0
        elif kind == b"D":
            self._row(body)
        elif kind == b"C":
            self._tag = body.rstrip(b"\0").decode("utf-8", "replace")
        elif kind == b"S":
            check_pinned(*wire.parameter_status(body))
        elif kind not in (b"N", b"1", b"2", b"n", b"I"):
            raise WireError(f"the target sent {kind!r} to a preview")

    def _log_in(self, kind: bytes, body: bytes) -> None:
        answer = self._login.feed(kind, body)
        if answer:
            self._out.append(Own("login", answer))
        if self._login.ready:
            for name, value in self._login.settings.items():
                check_pinned(name, value)
            self._step = "begin"
            self._say("begin", self._begin())

    def _row(self, body: bytes) -> None:
        self._rows.append(body)
        self._size += len(body)
        if self._size > ANSWER_BYTES or len(self._rows) > side_effects.ROWS:
            raise WireError("what it would show is too long")

    def _refused(self, code: str) -> None:
        what = _WORDS.get(code, f"it answered SQLSTATE {code}" if code.isalnum() else "it answered an error")
        doing = {"try": "trying it", "settle": "its deferred constraints"}.get(self._step, "getting ready to try it")
        self._over(f"the target refused {doing}: {what}")

    # Step by step ---------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        match self._step:
            case "begin":
                self._step = "look"
                self._say("question", side_effects.question(self._draft))
            case "look":
                self._looked()
            case "mean":
                self._step = "names"
                self._say("question", self._naming())
            case "names":
                self._named()
            case "try":
                self._was_tried()
            case "settle":
                self._over("")
            case _:
                raise AssertionError(f"a preview went on at {self._step}")

    def _begin(self) -> str:
        table = self._table
        return (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; "
            f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}; SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MILLISECONDS}; "
            f"SET LOCAL search_path = pg_catalog, pg_temp; LOCK TABLE {table} IN ROW EXCLUSIVE MODE"
        )

    @property
    def _table(self) -> str:
        return f"{quoting.identifier(self._known.schema)}.{quoting.identifier(self._known.tables[0])}"

    def _looked(self) -> None:
        self._found = side_effects.judge(self._draft, map(wire.data_row, self._rows))
        if self._found.reasons:
            named = "; ".join(self._found.reasons[:REASONS])
            more = len(self._found.reasons) - REASONS
            self._over(f"it is not known to be free of side effects: {named}" + (f"; and {more} more" if more > 0 else ""))
            return
        self._step = "mean"
        self._say("meaning", self._meaning())

    def _meaning(self) -> str:
        meant = {name: value for name, value in self._draft.settings.items() if value and name not in _SAME}
        meant["search_path"] = self._draft.search_path
        calls = (f"set_config({quoting.literal(name)}, {quoting.literal(value)}, true)" for name, value in meant.items())
        return f"SELECT {', '.join(calls)}"

    def _naming(self) -> str:
        names = (
            f"pg_catalog.to_regclass({quoting.literal(quoting.relation(one))})::pg_catalog.oid::pg_catalog.int8"
            for one in self._draft.oids
        )
        same = (f"pg_catalog.current_setting({quoting.literal(name)})" for name in _SAME[1:])
        return f"SELECT {', '.join(('current_user::pg_catalog.text', *same, *names))}"

    def _named(self) -> None:
        found = [cell or b"" for cell in wire.data_row(self._rows[0])] if self._rows else [b""]
        said, settings = [cell.decode("utf-8", "replace") for cell in found], self._draft.settings
        if said[: len(_SAME)] != [settings.get(name) for name in _SAME]:
            self._over("its session acts as another role than its login's, or has row security or triggers set otherwise")
        elif said[len(_SAME) :] != [str(oid) for oid in self._draft.oids.values()]:
            self._over("a name in it means something in its session alone, as a temporary table's does")
        else:
            self._try()

    def _try(self) -> None:
        if self._found is None:
            raise AssertionError("nothing is tried before the catalog was asked")
        self._step, self._rows, self._tag = "try", [], ""
        text, self._made = self._trying(self._found)
        draft = self._draft
        types = pack(f"!H{len(draft.types)}I", len(draft.types), *draft.types)
        bound = pack(f"!H{len(draft.formats)}H", len(draft.formats), *draft.formats) + pack("!H", len(draft.values))
        bound += b"".join(pack("!i", -1) if one is None else pack("!I", len(one)) + one for one in draft.values)
        messages = (
            wire.message(b"P", b"\0" + text.encode() + b"\0" + types),
            wire.message(b"B", b"\0\0" + bound + pack("!H", 0)),
            wire.describe("P", _UNNAMED),
            wire.execute(_UNNAMED),
            wire.SYNC,
        )
        self._out.append(ToServer(self._permit, b"".join(messages)))

    def _trying(self, found: Found) -> tuple[str, Tried]:
        """The text that tries it, and what is known of its answer."""
        apart = self._draft.apart
        way = bonds.way_of(apart, found.version, found.keys)
        every = tuple(name for _, name in sorted(self._known.columns.items()))
        columns = every[:SHOWN_COLUMNS]
        made = Tried(columns=columns, more_columns=len(every) - len(columns), keys=found.keys, follows=found.follows)
        if (not way and apart.verb != "update") or any(name.startswith(bonds.RESERVED) for name in every):
            return apart.head, replace(made, columns=(), more_columns=0)
        after = not (self._draft.timely or found.timely)
        made = replace(made, bond=Bond(rows=0, way=way, after=after, keys=found.keys if way == "key" else ()))
        return self._wrapped(way, columns, found.keys, after=after), made

    def _wrapped(self, way: str, columns: Sequence[str], keys: Sequence[str], *, after: bool) -> str:
        """The write inside a query that counts all it changes, and shows some of it.

        The query sees tables as they were before the write: so a look by its primary key shows what a row was.
        """
        apart = self._draft.apart
        how = bonds.hashing(apart, self._table, way, keys, after=after) if way else bonds.Hashing("", "''::pg_catalog.text")
        before, becomes = self._rows_of(way, columns)
        of_key = [f"{quoting.identifier(apart.alias)}.{quoting.identifier(key)}" for key in keys] if way == "key" else []
        cells = [how.hashes, *(flag for flag, _ in (before, becomes)), *before[1], *becomes[1], *of_key]
        returned = ", ".join(f"{cell} AS g{number}" for number, cell in enumerate(cells))
        count = len(columns)
        shown = [f"x.g{number}" for number in range(1, 3 + 2 * count)]
        looked = ""
        if way == "key":
            shown[2 : 2 + count] = [f'"{bonds.KEYED}".{quoting.identifier(name)}' for name in columns]
            same = (
                f'"{bonds.KEYED}".{quoting.identifier(key)} OPERATOR(pg_catalog.=) x.g{3 + 2 * count + number}'
                for number, key in enumerate(keys)
            )
            looked = f' LEFT JOIN {self._table} AS "{bonds.KEYED}" ON {" AND ".join(same)}'
        counted = f"SELECT pg_catalog.count(*) FROM {_CHANGED}"  # noqa: S608 (names are quoted, or the gateway's own)
        some = f"SELECT * FROM {_CHANGED} LIMIT {SHOWN_ROWS}"  # noqa: S608
        return (
            f"WITH {_CHANGED} AS ({apart.head}\nRETURNING {how.begins}{returned})\n"  # noqa: S608
            f"SELECT ({counted})::pg_catalog.int8, "
            "(SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(COALESCE(pg_catalog.string_agg(g0, '' "
            "ORDER BY g0 COLLATE pg_catalog.\"C\" USING OPERATOR(pg_catalog.<)), ''), 'UTF8')), 'hex') "
            f"FROM {_CHANGED}), {', '.join(shown)} FROM (SELECT 1) AS one "
            f"LEFT JOIN ({some}) AS x ON true{looked}"
        )

    def _rows_of(self, way: str, columns: Sequence[str]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]]:
        """Whether there is an old row, and its columns; the same of the new one."""
        apart, names = self._draft.apart, [quoting.identifier(name) for name in columns]
        if way == "old":
            old, new = (
                (f'"{row}".tableoid IS NOT NULL', [f'"{row}".{name}' for name in names]) for row in (bonds.OLD, bonds.NEW)
            )
            return old, new
        own = [f"{quoting.identifier(apart.alias)}.{name}" for name in names]
        none = ["NULL::pg_catalog.text"] * len(names)
        if apart.verb == "delete":
            return ("true", own), ("false", none)
        return ("true" if way == "key" else "false", none), ("true", own)

    def _was_tried(self) -> None:
        made = self._made
        if made.bond is None:
            self._made = replace(made, bond=Bond(rows=wire.rows_of(self._tag)))
        elif not self._rows:
            raise WireError("the target did not say what it would change")
        else:
            count, hashed = (cell or b"" for cell in wire.data_row(self._rows[0])[:2])
            changed = int(count)
            bond = Bond(rows=changed)
            if made.bond.way and changed <= bonds.HELD_ROWS and not self._draft.apart.answers_oddly:
                bond = replace(made.bond, rows=changed, digest=bonds.sealed(self._covering.key, hashed.decode("ascii")))
            sample, masked = self._shown(made.columns) if changed else ((), {})
            self._made = replace(made, bond=bond, sample=sample, masked=masked)
        self._step = "settle"
        self._say("question", "SET CONSTRAINTS ALL IMMEDIATE")

    # What people see ------------------------------------------------------------------------------------------------

    def _shown(self, names: Sequence[str]) -> tuple[tuple[Changed, ...], dict[str, int]]:
        numbers = [number for number, _ in sorted(self._known.columns.items())][: len(names)]
        if len(self._columns) != 4 + 2 * len(names):
            raise WireError("the target showed other columns than it was asked for")
        covering = self._covering
        sets = [covering.sets[one] for one in sorted(covering.possible | self._permit.masks)]
        covers = [_cover(self._known, sets, number) for number in numbers]
        cover = rows.RowCover(self._columns[4:], covers * 2, covering.detectors, covering.key)
        sample = tuple(_changed(wire.data_row(body), cover, len(names)) for body in self._rows[:SHOWN_ROWS])
        return sample, dict(cover.masked)

    # The end --------------------------------------------------------------------------------------------------------

    def _say(self, kind: str, text: str) -> None:
        self._out.append(Own(kind, wire.query(text)))

    def _over(self, why: str) -> None:
        if self._step != "login":
            self._out.append(Own("undo", wire.query("ROLLBACK") + wire.TERMINATE))
        self._step = "over"
        self.tried = Tried(why=why) if why else self._made


def _cover(known: Known, sets: Sequence[MaskSet], number: int) -> rows.Cover:
    """A token would be the requester's, so what it stands for is covered whole."""
    style = known.style(sets, number)
    return rows.Cover(Style.REDACT if style is Style.TOKEN else style, whole=False)


def _changed(cells: Sequence[bytes | None], cover: rows.RowCover, count: int) -> Changed:
    flags, values = cells[2:4], cells[4:]
    covered = wire.data_row(cover.cover(_body(values)))
    shown = [_text(one, seen) for one, seen in zip(values, covered, strict=True)]
    was, becomes = (flag == b"t" for flag in flags)
    differ = tuple(at for at in range(count) if values[at] != values[count + at]) if was and becomes else ()
    return Changed(tuple(shown[:count]) if was else None, tuple(shown[count:]) if becomes else None, differ)


def _text(value: bytes | None, covered: bytes | None) -> str | None:
    if value is None:
        return None
    text = (COVERED if covered is None else covered).decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _body(cells: Iterable[bytes | None]) -> bytes:
    found = list(cells)
    return pack("!H", len(found)) + b"".join(pack("!i", -1) if one is None else pack("!I", len(one)) + one for one in found)
