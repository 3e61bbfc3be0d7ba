"""SQL of the pages: who is signed in, and the rows of sessions and actions that the gateway writes. Times in microseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from gatebook.model import Attribute, Identity, Kind

# Sign-ins ----------------------------------------------------------------------------------------------------------------


def insert_sign_in(connection: Connection, digest: bytes, identity: Identity) -> None:
    """Keep a sign-in by its cookie's digest; it expires with ``identity``."""
    attributes = {name: {"value": one.value, "attested": one.attested} for name, one in sorted(identity.attributes.items())}
    connection.execute(
        text(
            "INSERT INTO page_sign_ins (digest, issuer, subject, kind, groups, attributes, proven_at, expires_at)"
            " VALUES (:digest, :issuer, :subject, :kind, :groups, :attributes, :proven_at, :expires_at)"
        ),
        {
            "digest": digest,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "kind": identity.kind.value,
            "groups": json.dumps(sorted(identity.groups), ensure_ascii=False),
            "attributes": json.dumps(attributes, ensure_ascii=False),
            "proven_at": identity.proven_at,
            "expires_at": identity.expires_at,
        },
    )


def find_sign_in(connection: Connection, digest: bytes, now: int) -> Identity | None:
    """Whom a live sign-in stands for."""
    found = connection.execute(
        text(
            "SELECT issuer, subject, kind, groups, attributes, proven_at, expires_at FROM page_sign_ins"
            " WHERE digest = :digest AND expires_at > :now"
        ),
        {"digest": digest, "now": now},
    )
    row = found.mappings().first()
    return _identity(row) if row else None


def delete_sign_in(connection: Connection, digest: bytes) -> None:
    """Forget one sign-in."""
    connection.execute(text("DELETE FROM page_sign_ins WHERE digest = :digest"), {"digest": digest})


def delete_expired_sign_ins(connection: Connection, now: int) -> None:
    """Forget those that are over."""
    connection.execute(text("DELETE FROM page_sign_ins WHERE expires_at <= :now"), {"now": now})


def delete_oldest_sign_ins(connection: Connection, issuer: str, subject: str, kept: int) -> None:
    """Forget one identity's sign-ins but for the ``kept`` newest."""
    connection.execute(
        text(
            "DELETE FROM page_sign_ins WHERE issuer = :issuer AND subject = :subject AND digest NOT IN"
            " (SELECT digest FROM page_sign_ins WHERE issuer = :issuer AND subject = :subject"
            " ORDER BY proven_at DESC LIMIT :kept)"
        ),
        {"issuer": issuer, "subject": subject, "kept": kept},
    )


def _identity(row: Mapping[Any, Any]) -> Identity:
    attributes = json.loads(row["attributes"])
    return Identity(
        subject=row["subject"],
        issuer=row["issuer"],
        kind=Kind(row["kind"]),
        groups=frozenset(json.loads(row["groups"])),
        attributes={name: Attribute(value=one["value"], attested=one["attested"]) for name, one in attributes.items()},
        proven_at=row["proven_at"],
        expires_at=row["expires_at"],
    )


# Sessions ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as its row has it; counts of a live one are of its actions so far."""

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


_COUNTED = """CASE WHEN closed_at IS NULL THEN (SELECT count(*) FROM actions WHERE actions.session = sessions.id)
       ELSE sessions.actions END AS actions,
  CASE WHEN closed_at IS NULL
       THEN (SELECT count(*) FROM actions WHERE actions.session = sessions.id AND ruling NOT IN ('allow', 'mask'))
       ELSE refused END AS refused"""
_SESSION = f"""SELECT id, issuer, subject, kind, target, coalesce(role, '') AS role,
  coalesce(client_address, '') AS client_address, coalesce(purpose, '') AS purpose, opened_at, closed_at,
  coalesce(close_reason, '') AS close_reason, {_COUNTED}, bytes_in, bytes_out, kill_requested_at,
  coalesce(kill_by, '') AS kill_by
FROM sessions"""  # noqa: S608 (constants)


def list_sessions(connection: Connection, *, live: bool, owner: tuple[str, str] | None, limit: int) -> list[SessionRow]:
    """The newest live or closed sessions; with an ``owner`` (issuer, subject) only theirs."""
    issuer, subject = owner or (None, None)
    found = connection.execute(
        text(
            f"{_SESSION} WHERE (closed_at IS NULL) = :live AND (:issuer IS NULL OR (issuer = :issuer AND subject = :subject))"
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


def request_kill(connection: Connection, *, session: str, at: int, by: str, reason: str) -> bool:
    """Ask for a live session's end; the first to ask is the one who stands in the book. False when it is closed."""
    asked = connection.execute(
        text(
            "UPDATE sessions SET kill_by = coalesce(kill_by, :by), kill_reason = coalesce(kill_reason, :reason),"
            " kill_requested_at = coalesce(kill_requested_at, :at) WHERE id = :session AND closed_at IS NULL"
        ),
        {"session": session, "at": at, "by": by, "reason": reason},
    )
    return asked.rowcount == 1
