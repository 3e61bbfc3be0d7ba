"""SQL of the pages: who is signed in. Times in microseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
