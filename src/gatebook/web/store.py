"""SQL of what API and pages look at: numbers that differ once something changed, sessions, who reads recordings.

Times in microseconds since 1970, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from gatebook.db.store import COUNTED

# What changed -------------------------------------------------------------------------------------------------------------


def pulse_of_approvals(connection: Connection) -> tuple[int, ...]:
    """Differs after a request, a vote, or an end."""
    found = connection.execute(
        text(
            "SELECT coalesce(max(changed_at), 0) AS changed, count(*) AS requests,"
            " (SELECT count(*) FROM approval_votes) AS votes,"
            " (SELECT count(*) FROM approvals WHERE state IN ('open', 'approved')) AS alive FROM approvals"
        )
    ).one()
    return (found.changed, found.requests, found.votes, found.alive)


def pulse_of_grants(connection: Connection) -> tuple[int, ...]:
    """Differs after a grant was given or ended."""
    found = connection.execute(
        text(
            "SELECT coalesce(max(changed_at), 0) AS changed, count(*) AS given,"
            " (SELECT count(*) FROM grants WHERE ended_at = 0) AS going_on FROM grants"
        )
    ).one()
    return (found.changed, found.given, found.going_on)


def pulse_of_sessions(connection: Connection) -> tuple[int, ...]:
    """Differs after a session began, ended, or was asked to end."""
    found = connection.execute(
        text(
            "SELECT coalesce((SELECT max(opened_at) FROM sessions), 0) AS opened,"
            " coalesce((SELECT max(closed_at) FROM sessions), 0) AS closed, count(*) AS live,"
            " count(kill_requested_at) AS killed"
            " FROM sessions WHERE closed_at IS NULL"
        )
    ).one()
    return (found.opened, found.closed, found.live, found.killed)


# Sessions ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as its row has it; counts of a live one are of its actions so far."""

    id: str
    issuer: str
    subject: str
    kind: str
    on_behalf_of: str
    target: str
    role: str
    client_address: str
    purpose: str
    opened_at: int
    closed_at: int | None
    close_reason: str
    actions: int
    refused: int
    bytes_in: int
    bytes_out: int
    kill_requested_at: int | None
    kill_by: str

    @property
    def live(self) -> bool:
        """Whether it is open."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """An action as its row has it; ``text`` is covered, ``status`` and ``rows`` are there once it is answered."""

    seq: int
    at: int
    step: str
    verb: str
    reach: str
    ruling: str
    rule: str
    reason: str
    decision: str
    text: str
    status: str
    rows: int | None


_SESSION = f"""SELECT id, issuer, subject, kind, coalesce(on_behalf_of, '') AS on_behalf_of,
  target, coalesce(role, '') AS role,
  coalesce(client_address, '') AS client_address, coalesce(purpose, '') AS purpose, opened_at, closed_at,
  coalesce(close_reason, '') AS close_reason, {COUNTED}, bytes_in, bytes_out, kill_requested_at,
  coalesce(kill_by, '') AS kill_by
FROM sessions"""  # noqa: S608 (constants)


def list_sessions(connection: Connection, *, live: bool, owner: tuple[str, str] | None, limit: int) -> list[SessionRow]:
    """The newest live or closed sessions; with an ``owner`` (issuer, subject) only theirs, and of those who act for them."""
    issuer, subject = owner or (None, None)
    found = connection.execute(
        text(
            f"{_SESSION} WHERE (closed_at IS NULL) = :live AND"
            " (:issuer IS NULL OR (issuer = :issuer AND (subject = :subject OR on_behalf_of = :subject)))"
            " ORDER BY opened_at DESC, id DESC LIMIT :limit"
        ),
        {"live": live, "issuer": issuer, "subject": subject, "limit": limit},
    )
    return [SessionRow(**row) for row in found.mappings()]


def find_session(connection: Connection, session: str) -> SessionRow | None:
    """The session of this id."""
    row = connection.execute(text(f"{_SESSION} WHERE id = :session"), {"session": session}).mappings().first()
    return SessionRow(**row) if row else None


def last_actions(connection: Connection, session: str, limit: int) -> list[ActionRow]:
    """The last ``limit`` actions of a session, the newest first."""
    found = connection.execute(
        text(
            "SELECT seq, at, step, verb, reach, coalesce(ruling, '') AS ruling, coalesce(rule, '') AS rule,"
            " coalesce(reason, '') AS reason, coalesce(decision, '') AS decision, coalesce(text, '') AS text,"
            " coalesce(status, '') AS status, rows FROM actions WHERE session = :session"
            " ORDER BY seq DESC, at DESC, step DESC LIMIT :limit"
        ),
        {"session": session, "limit": limit},
    )
    return [ActionRow(**row) for row in found.mappings()]


def count_rulings(connection: Connection, session: str) -> dict[str, int]:
    """How many actions of a session were ruled how."""
    found = connection.execute(
        text("SELECT coalesce(ruling, '') AS ruling, count(*) AS many FROM actions WHERE session = :session GROUP BY ruling"),
        {"session": session},
    )
    return {row.ruling: row.many for row in found}


# Readers of recordings ----------------------------------------------------------------------------------------------------


def begin_reading(
    connection: Connection, *, id: str, session: str, reader: tuple[str, str], why: str, at: int, until: int
) -> None:
    """Somebody (issuer, subject) has said why they look at a recording, and the book has it; forget those who are done."""
    connection.execute(text("DELETE FROM recording_reads WHERE ends_at <= :at"), {"at": at})
    connection.execute(
        text(
            "INSERT INTO recording_reads (id, session, issuer, subject, why, begun_at, ends_at)"
            " VALUES (:id, :session, :issuer, :subject, :why, :at, :until)"
        ),
        {"id": id, "session": session, "issuer": reader[0], "subject": reader[1], "why": why, "at": at, "until": until},
    )


def reading_why(connection: Connection, session: str, reader: tuple[str, str], now: int) -> str | None:
    """The reason that a reader gave for looking at this recording, while it holds."""
    found = connection.execute(
        text(
            "SELECT why FROM recording_reads WHERE session = :session AND issuer = :issuer AND subject = :subject"
            " AND begun_at <= :now AND ends_at > :now ORDER BY ends_at DESC LIMIT 1"
        ),
        {"session": session, "issuer": reader[0], "subject": reader[1], "now": now},
    ).scalar_one_or_none()
    return None if found is None else str(found)
