"""Rows of sessions and their actions: one function, one query. The ledger is the truth; these are for looking at and for kills.

Times are microseconds since 1970, UTC. A kill is a row's wish: whoever runs the session polls for it, ends the session and
writes who asked into the book.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from gatebook.db.store import COUNTED
from gatebook.model import Action, Resource, Session, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as its row has it; ``actions`` is counted while it is live and fixed when it closes."""

    id: str
    issuer: str
    subject: str
    kind: str
    target: str
    role: str
    client_address: str
    purpose: str
    opened_at: int
    closed_at: int | None
    close_reason: str | None
    actions: int
    refused: int
    bytes_in: int
    bytes_out: int
    kill_requested_at: int | None
    kill_by: str | None
    kill_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """An action as its row has it; ``text`` is covered, ``status`` and ``rows`` are there once it is answered."""

    session: str
    seq: int
    at: int
    step: str
    verb: str
    reach: str
    resources: tuple[Resource, ...]
    ruling: str
    rule: str
    reason: str
    decision: str
    text: str
    status: str | None
    rows: int | None


_SESSION = f"""SELECT id, issuer, subject, kind, target, coalesce(role, '') AS role,
  coalesce(client_address, '') AS client_address, coalesce(purpose, '') AS purpose, opened_at, closed_at, close_reason,
  {COUNTED}, bytes_in, bytes_out, kill_requested_at, kill_by, kill_reason
FROM sessions"""  # noqa: S608 (constants)


def open_session(connection: Connection, *, session: Session, role: str, process: str = "1/1") -> None:
    """A session began, in this process (``replica/process``)."""
    identity = session.identity
    connection.execute(
        text(
            "INSERT INTO sessions (id, issuer, subject, kind, on_behalf_of, target, role, client_address, purpose, opened_at,"
            " process) VALUES (:id, :issuer, :subject, :kind, :on_behalf_of, :target, :role, :client_address, :purpose,"
            " :opened_at, :process)"
        ),
        {
            "id": session.id,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "kind": identity.kind.value,
            "on_behalf_of": identity.on_behalf_of,
            "target": session.target.name,
            "role": role,
            "client_address": session.client_address,
            "purpose": session.purpose,
            "opened_at": session.opened_at,
            "process": process,
        },
    )


def close_session(
    connection: Connection, *, session: str, at: int, reason: str, counts: tuple[int, int], sizes: tuple[int, int]
) -> None:
    """A session ended, after so many actions and refusals, with so many bytes from and to the client."""
    connection.execute(
        text(
            "UPDATE sessions SET closed_at = :at, close_reason = :reason, actions = :actions, refused = :refused,"
            " bytes_in = :bytes_in, bytes_out = :bytes_out WHERE id = :id"
        ),
        {
            "id": session,
            "at": at,
            "reason": reason,
            "actions": counts[0],
            "refused": counts[1],
            "bytes_in": sizes[0],
            "bytes_out": sizes[1],
        },
    )


def close_abandoned(connection: Connection, *, process: str, at: int, reason: str) -> int:
    """Close the rows of sessions that a process left open when it died; how many. Before it opens any session again.

    ``process`` is ``replica/process``, or ``replica/`` for all of a replica's.
    """
    closed = connection.execute(
        text(
            "UPDATE sessions SET closed_at = :at, close_reason = :reason,"
            " actions = (SELECT count(*) FROM actions WHERE actions.session = sessions.id),"
            " refused = (SELECT count(*) FROM actions WHERE actions.session = sessions.id AND ruling NOT IN ('allow', 'mask'))"
            " WHERE closed_at IS NULL"
            " AND (process = :process OR (:all = 1 AND substr(process, 1, length(:process)) = :process))"
        ),
        {"at": at, "reason": reason, "process": process, "all": int(process.endswith("/"))},
    )
    return closed.rowcount


@dataclass(frozen=True, slots=True)
class Decided:
    """What an action's row says of the statement and its verdict: the same each time the same is decided."""

    verb: str
    reach: str
    resources: str
    ruling: str
    rule: str
    reason: str


def decided(action: Action, verdict: Verdict) -> Decided:
    """What the row of this action says of it."""
    resources = json.dumps([{"kind": each.kind, "name": each.name} for each in action.resources])
    deed = action.strictest
    return Decided(deed.verb, deed.reach.value, resources, verdict.ruling.value, verdict.rule, verdict.reason)


@dataclass(slots=True)
class ActionValues:
    """An action's row before it is written; ``text_`` is its covered text. ``status`` and ``rows`` once it was answered."""

    session: str
    seq: int
    step: str
    decided: Decided
    text_: str
    decision: str
    at: int
    status: str | None = None
    rows: int | None = None

    def values(self) -> tuple[object, ...]:
        """In the order of the columns that ``add_actions`` names."""
        one = self.decided
        what = self.session, self.seq, self.at, self.step, one.verb, one.reach, one.resources
        return (*what, one.ruling, one.rule, one.reason, self.decision, self.text_, self.status, self.rows)


FinishedValues = tuple[str, int, str, int]  # status, rows, session, seq
TOGETHER = 64  # rows of one INSERT: with each statement the thread has to take its turn with the event loop again


def add_actions(connection: Connection, actions: Sequence[ActionValues]) -> None:
    """Actions were decided, no two of one name. One that was held is decided again once people said yes."""
    row = "(" + ", ".join([_mark(connection)] * _ACTION_COLUMNS) + ")"
    for start in range(0, len(actions), TOGETHER):
        some = actions[start : start + TOGETHER]
        statement = " ".join((_INSERT_ACTIONS, ", ".join([row] * len(some)), _OR_DECIDED_AGAIN))
        connection.exec_driver_sql(statement, tuple(value for one in some for value in one.values()))


_ACTION_COLUMNS = 14
_INSERT_ACTIONS = (
    "INSERT INTO actions"
    " (session, seq, at, step, verb, reach, resources, ruling, rule, reason, decision, text, status, rows) VALUES"
)
_OR_DECIDED_AGAIN = (
    "ON CONFLICT (session, seq, step) DO UPDATE SET at = excluded.at, ruling = excluded.ruling, rule = excluded.rule,"
    " reason = excluded.reason, decision = excluded.decision, status = coalesce(excluded.status, actions.status),"
    " rows = coalesce(excluded.rows, actions.rows)"
)


def add_action(
    connection: Connection, *, session: str, action: Action, verdict: Verdict, text_: str, decision: str, at: int
) -> None:
    """One action was decided."""
    add_actions(connection, [ActionValues(session, action.seq, action.step, decided(action, verdict), text_, decision, at)])


def finish_action(connection: Connection, *, session: str, seq: int, status: str, rows: int) -> None:
    """One action was answered."""
    finish_actions(connection, [(status, rows, session, seq)])


def finish_actions(connection: Connection, finished: Sequence[FinishedValues]) -> None:
    """Actions were answered."""
    if finished:
        query = text("UPDATE actions SET status = :status, rows = :rows WHERE session = :session AND seq = :seq")
        connection.execute(query, [dict(zip(_FINISHED, one, strict=True)) for one in finished])


_FINISHED = ("status", "rows", "session", "seq")


def _mark(connection: Connection) -> str:
    """How the driver marks a value: statements with hundreds of them are built here, since building them costs the most."""
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


def list_sessions(
    connection: Connection, *, live: bool = False, target: str | None = None, subject: str | None = None, limit: int = 50
) -> list[SessionRow]:
    """The newest sessions first; only live ones, of a target, of a subject, as asked."""
    found = connection.execute(
        text(
            f"{_SESSION} WHERE (:live = 0 OR closed_at IS NULL) AND (:target IS NULL OR target = :target)"
            " AND (:subject IS NULL OR subject = :subject) ORDER BY opened_at DESC, id DESC LIMIT :limit"
        ),
        {"live": int(live), "target": target, "subject": subject, "limit": limit},
    )
    return [SessionRow(**row) for row in found.mappings()]


def find_session(connection: Connection, prefix: str) -> list[SessionRow]:
    """The sessions whose id begins so: none, the one, or the first two of several."""
    found = connection.execute(
        text(f"{_SESSION} WHERE substr(id, 1, :length) = :prefix ORDER BY id LIMIT 2"),
        {"prefix": prefix, "length": len(prefix)},
    )
    return [SessionRow(**row) for row in found.mappings()]


def actions_of(connection: Connection, session: str) -> list[ActionRow]:
    """A session's actions in their order."""
    found = connection.execute(
        text(
            "SELECT session, seq, at, step, verb, reach, coalesce(resources, '[]') AS resources,"
            " coalesce(ruling, '') AS ruling, coalesce(rule, '') AS rule, coalesce(reason, '') AS reason,"
            " coalesce(decision, '') AS decision,"
            " coalesce(text, '') AS text, status, rows FROM actions WHERE session = :session ORDER BY seq, at, step"
        ),
        {"session": session},
    )
    return [_action_row({**row}) for row in found.mappings()]


def kills_requested(connection: Connection) -> Sequence[tuple[str, str, str]]:
    """Session, who asked and why, for every live session that somebody wants ended."""
    found = connection.execute(
        text(
            "SELECT id, kill_by, kill_reason FROM sessions"
            " WHERE kill_requested_at IS NOT NULL AND closed_at IS NULL ORDER BY kill_requested_at"
        )
    )
    return [(row.id, row.kill_by or "", row.kill_reason or "") for row in found]


def live_processes(connection: Connection) -> list[str]:
    """The processes (``replica/process``) that have live sessions."""
    found = connection.execute(text("SELECT DISTINCT process FROM sessions WHERE closed_at IS NULL"))
    return [row.process for row in found]


def add_cancel(connection: Connection, *, digest: bytes, home: int, process: int, at: int) -> None:
    """A cancel request for a process of another replica."""
    connection.execute(
        text(
            "INSERT INTO cancels (digest, home, process, asked_at) VALUES (:digest, :home, :process, :at)"
            " ON CONFLICT (digest) DO NOTHING"
        ),
        {"digest": digest, "home": home, "process": process, "at": at},
    )


def cancels_for(connection: Connection, home: int, process: int) -> list[bytes]:
    """Digests of the keys that were sent for this process's sessions."""
    found = connection.execute(
        text("SELECT digest FROM cancels WHERE home = :home AND process = :process"), {"home": home, "process": process}
    )
    return [bytes(row.digest) for row in found]


def count_cancels(connection: Connection) -> int:
    """How many cancel requests wait for other replicas."""
    return int(connection.execute(text("SELECT count(*) FROM cancels")).scalar_one())


def remove_cancel(connection: Connection, digest: bytes) -> None:
    """A cancel request has arrived."""
    connection.execute(text("DELETE FROM cancels WHERE digest = :digest"), {"digest": digest})


def forget_cancels(connection: Connection, *, before: int) -> None:
    """Cancel requests that nobody took."""
    connection.execute(text("DELETE FROM cancels WHERE asked_at < :before"), {"before": before})


def _action_row(row: Mapping[str, Any]) -> ActionRow:
    named = json.loads(str(row["resources"]))
    resources = tuple(Resource(kind=each["kind"], name=each["name"]) for each in named)
    return ActionRow(**{**row, "resources": resources})
