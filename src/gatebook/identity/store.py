"""SQL of identities seen and of gateway tokens. Times in microseconds; groups and attributes as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text

from gatebook.model import Attribute, Identity, Kind

ID_CHARACTERS = 16  # of a token's digest, in hexadecimal: what a token is called by, and no way to the token
ASKED_AT_ONCE = 500  # values of one query; SQLite takes some thousands


@dataclass(frozen=True, slots=True)
class Held:
    """A gateway token as stored: whom it stands for, and since when not any more; "" is every target."""

    identity: Identity
    revoked_at: int | None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A user's certificate of SSH as stored: the token that it stands on, by its digest, and what it is for."""

    serial: int
    token: bytes = field(repr=False)
    purpose: str
    valid_before: int


@dataclass(frozen=True, slots=True)
class Code:
    """What a browser brings back to a target from the pages, as stored, and whom it signs in."""

    identity: Identity
    state: bytes = field(repr=False)
    sign_in: bytes = field(repr=False)
    target: str
    code_expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A gateway token without what lets anybody in: whose, and from when to when. Nothing shows its digest but the ``id``.

    ``target`` is that of a browser's sign-in; "" of others, which are good for every target.
    """

    digest: bytes = field(repr=False)
    issuer: str
    subject: str
    kind: str
    on_behalf_of: str
    issued_at: int
    expires_at: int
    revoked_at: int | None
    target: str = ""

    @property
    def id(self) -> str:
        """What it is called."""
        return self.digest.hex()[:ID_CHARACTERS]

    def live(self, now: int) -> bool:
        """Whether it lets somebody in."""
        return self.revoked_at is None and self.expires_at > now


def record_seen(connection: Connection, identity: Identity, now: int) -> None:
    """Keep what the provider last said of this identity."""
    connection.execute(
        text(
            "INSERT INTO identities (issuer, subject, kind, groups, attributes, seen_at)"
            " VALUES (:issuer, :subject, :kind, :groups, :attributes, :now)"
            " ON CONFLICT (issuer, subject) DO UPDATE SET kind = excluded.kind, groups = excluded.groups,"
            " attributes = excluded.attributes, seen_at = excluded.seen_at"
        ),
        {**_columns(identity), "now": now},
    )


def check_seen(connection: Connection, identity: Identity) -> None:
    """Ask for the row of this identity, since nobody is let in by a database that does not answer."""
    found = text("SELECT 1 FROM identities WHERE issuer = :issuer AND subject = :subject")
    connection.execute(found, {"issuer": identity.issuer, "subject": identity.subject}).first()


def last_seen(engine: Engine, subject: str) -> Identity | None:
    """The identity last seen under ``subject``, of any issuer. It is a memory, not a proof: it expired when it was seen."""
    with engine.connect() as connection:
        row = (
            connection.execute(
                text(
                    "SELECT issuer, subject, kind, groups, attributes, seen_at AS proven_at, seen_at AS expires_at,"
                    " NULL AS on_behalf_of FROM identities WHERE subject = :subject ORDER BY seen_at DESC LIMIT 1"
                ),
                {"subject": subject},
            )
            .mappings()
            .first()
        )
    return _identity(row) if row else None


def insert_token(
    connection: Connection, digest: bytes, identity: Identity, now: int, *, target: str = "", sign_in: bytes | None = None
) -> None:
    """Keep a new gateway token's digest; it expires with ``identity``. A browser's is of a target and a sign-in."""
    connection.execute(
        text(
            "INSERT INTO gateway_tokens (digest, issuer, subject, kind, groups, attributes, proven_at, expires_at,"
            " on_behalf_of, issued_at, target, sign_in) VALUES (:digest, :issuer, :subject, :kind, :groups, :attributes,"
            " :proven_at, :expires_at, :on_behalf_of, :now, :target, :sign_in)"
        ),
        {
            **_columns(identity),
            "digest": digest,
            "proven_at": identity.proven_at,
            "expires_at": identity.expires_at,
            "on_behalf_of": identity.on_behalf_of,
            "now": now,
            "target": target,
            "sign_in": sign_in,
        },
    )


def token_held(connection: Connection, digest: bytes) -> Held | None:
    """The token of this digest, expired and revoked ones included."""
    row = (
        connection.execute(
            text(
                "SELECT issuer, subject, kind, groups, attributes, proven_at, expires_at, on_behalf_of, revoked_at, target"
                " FROM gateway_tokens WHERE digest = :digest"
            ),
            {"digest": digest},
        )
        .mappings()
        .first()
    )
    return Held(_identity(row), row["revoked_at"], row["target"]) if row else None


_ISSUED = (
    "SELECT digest, issuer, subject, kind, coalesce(on_behalf_of, '') AS on_behalf_of, issued_at, expires_at, revoked_at,"
    " target FROM gateway_tokens"
)


def list_tokens(connection: Connection, *, owner: tuple[str, str] | None, limit: int) -> list[Issued]:
    """The newest tokens; with an ``owner`` (issuer, subject) only theirs, and of those who act for them."""
    issuer, subject = owner or (None, None)
    query = text(
        f"{_ISSUED} WHERE :issuer IS NULL OR (issuer = :issuer AND (subject = :subject OR on_behalf_of = :subject))"
        " ORDER BY issued_at DESC, digest LIMIT :limit"
    )
    return [
        _issued(row) for row in connection.execute(query, {"issuer": issuer, "subject": subject, "limit": limit}).mappings()
    ]


def tokens_between(connection: Connection, low: bytes, high: bytes) -> list[Issued]:
    """The first two tokens whose digest lies between these, both included."""
    query = text(f"{_ISSUED} WHERE digest BETWEEN :low AND :high ORDER BY digest LIMIT 2")
    return [_issued(row) for row in connection.execute(query, {"low": low, "high": high}).mappings()]


def _issued(row: Mapping[Any, Any]) -> Issued:
    return Issued(**{**row, "digest": bytes(row["digest"])})


def tokens_in_force(connection: Connection, digests: Collection[bytes]) -> set[bytes]:
    """Those of these tokens that are known and not revoked; expired ones too."""
    query = text("SELECT digest FROM gateway_tokens WHERE digest IN :digests AND revoked_at IS NULL")
    query = query.bindparams(bindparam("digests", expanding=True))
    asked = sorted(digests)
    parts = [asked[start : start + ASKED_AT_ONCE] for start in range(0, len(asked), ASKED_AT_ONCE)]
    return {bytes(row.digest) for part in parts for row in connection.execute(query, {"digests": part})}


def count_live_tokens(connection: Connection, issuer: str, subject: str, now: int) -> int:
    """How many gateway tokens of one identity work at ``now``."""
    found = connection.execute(
        text(
            "SELECT count(*) FROM gateway_tokens"
            " WHERE issuer = :issuer AND subject = :subject AND expires_at > :now AND revoked_at IS NULL"
        ),
        {"issuer": issuer, "subject": subject, "now": now},
    )
    return int(found.scalar_one())


def revoke_token(connection: Connection, digest: bytes, now: int) -> int:
    """End one token; how many were ended (0 or 1)."""
    return connection.execute(
        text("UPDATE gateway_tokens SET revoked_at = :now WHERE digest = :digest AND revoked_at IS NULL"),
        {"digest": digest, "now": now},
    ).rowcount


def revoke_identity(connection: Connection, issuer: str, subject: str, now: int) -> int:
    """End all tokens of one identity; how many live ones were ended."""
    return connection.execute(
        text(
            "UPDATE gateway_tokens SET revoked_at = :now"
            " WHERE issuer = :issuer AND subject = :subject AND expires_at > :now AND revoked_at IS NULL"
        ),
        {"issuer": issuer, "subject": subject, "now": now},
    ).rowcount


# Browsers ----------------------------------------------------------------------------------------------------------------


def insert_code(connection: Connection, digest: bytes, code: Code) -> None:
    """Keep a code by its digest."""
    connection.execute(
        text(
            "INSERT INTO browser_codes (digest, state, sign_in, target, code_expires_at, issuer, subject, kind, groups,"
            " attributes, proven_at, expires_at) VALUES (:digest, :state, :sign_in, :target, :code_expires_at, :issuer,"
            " :subject, :kind, :groups, :attributes, :proven_at, :expires_at)"
        ),
        {
            **_columns(code.identity),
            "digest": digest,
            "state": code.state,
            "sign_in": code.sign_in,
            "target": code.target,
            "code_expires_at": code.code_expires_at,
            "proven_at": code.identity.proven_at,
            "expires_at": code.identity.expires_at,
        },
    )


def take_code(connection: Connection, digest: bytes) -> Code | None:
    """A code, which nobody can take again: of several at the same time one gets it."""
    row = (
        connection.execute(
            text(
                "DELETE FROM browser_codes WHERE digest = :digest RETURNING state, sign_in, target, code_expires_at, issuer,"
                " subject, kind, groups, attributes, proven_at, expires_at, NULL AS on_behalf_of"
            ),
            {"digest": digest},
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    return Code(_identity(row), bytes(row["state"]), bytes(row["sign_in"]), row["target"], row["code_expires_at"])


def count_codes(connection: Connection, issuer: str, subject: str) -> int:
    """How many codes of one identity there are."""
    found = connection.execute(
        text("SELECT count(*) FROM browser_codes WHERE issuer = :issuer AND subject = :subject"),
        {"issuer": issuer, "subject": subject},
    )
    return int(found.scalar_one())


def delete_expired_codes(connection: Connection, now: int) -> None:
    """Forget codes that nobody came back with in time."""
    connection.execute(text("DELETE FROM browser_codes WHERE code_expires_at <= :now"), {"now": now})


def sign_in_lives(connection: Connection, sign_in: bytes, now: int) -> bool:
    """Whether the sign-in to the pages with this digest is not over."""
    query = text("SELECT 1 FROM page_sign_ins WHERE digest = :sign_in AND expires_at > :now")
    return connection.execute(query, {"sign_in": sign_in, "now": now}).first() is not None


def revoke_browser_token(connection: Connection, digest: bytes, target: str, now: int) -> None:
    """End a browser's token of this target, and no other."""
    connection.execute(
        text(
            "UPDATE gateway_tokens SET revoked_at = :now"
            " WHERE digest = :digest AND target = :target AND target <> '' AND revoked_at IS NULL"
        ),
        {"digest": digest, "target": target, "now": now},
    )


def revoke_of_sign_in(connection: Connection, sign_in: bytes, now: int) -> int:
    """End all browsers' tokens that stand on one sign-in to the pages; how many were ended."""
    query = text("UPDATE gateway_tokens SET revoked_at = :now WHERE sign_in = :sign_in AND revoked_at IS NULL")
    return connection.execute(query, {"sign_in": sign_in, "now": now}).rowcount


def end_sign_in_of(connection: Connection, digest: bytes, now: int) -> None:
    """End the sign-in to the pages that a browser's token stands on, and all that stands on it; others stand on none."""
    query = text("SELECT sign_in FROM gateway_tokens WHERE digest = :digest AND sign_in IS NOT NULL")
    sign_in = connection.execute(query, {"digest": digest}).scalar_one_or_none()
    if sign_in is not None:
        connection.execute(text("DELETE FROM page_sign_ins WHERE digest = :sign_in"), {"sign_in": sign_in})
        revoke_of_sign_in(connection, bytes(sign_in), now)


def delete_expired_tokens(connection: Connection, before: int) -> int:
    """Forget tokens that expired before ``before``; how many."""
    return connection.execute(text("DELETE FROM gateway_tokens WHERE expires_at < :before"), {"before": before}).rowcount


def _columns(identity: Identity) -> dict[str, str]:
    attributes = {name: {"value": one.value, "attested": one.attested} for name, one in sorted(identity.attributes.items())}
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "kind": identity.kind.value,
        "groups": json.dumps(sorted(identity.groups), ensure_ascii=False),
        "attributes": json.dumps(attributes, ensure_ascii=False),
    }


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
        on_behalf_of=row["on_behalf_of"],
    )


# Certificates of SSH ------------------------------------------------------------------------------------------------------


def next_serial(connection: Connection, now: int) -> int:
    """A number that no certificate had: the time, or the next one."""
    last = connection.execute(text("SELECT max(serial) FROM ssh_certificates")).scalar_one()
    return max(now, (last or 0) + 1)


def insert_certificate(connection: Connection, digest: bytes, one: Certificate) -> None:
    """Keep a certificate by its digest."""
    query = "INSERT INTO ssh_certificates (serial, digest, token, purpose, valid_before)"
    connection.execute(
        text(f"{query} VALUES (:serial, :digest, :token, :purpose, :valid_before)"),
        {
            "serial": one.serial,
            "digest": digest,
            "token": one.token,
            "purpose": one.purpose,
            "valid_before": one.valid_before,
        },
    )


def certificate_held(connection: Connection, digest: bytes) -> Certificate | None:
    """The certificate of this digest, an expired one included."""
    query = text("SELECT serial, token, purpose, valid_before FROM ssh_certificates WHERE digest = :digest")
    row = connection.execute(query, {"digest": digest}).mappings().first()
    return Certificate(**{**row, "token": bytes(row["token"])}) if row else None


def count_live_certificates(connection: Connection, token: bytes, now: int) -> int:
    """How many certificates stand on one token at ``now``."""
    query = text("SELECT count(*) FROM ssh_certificates WHERE token = :token AND valid_before > :now")
    return int(connection.execute(query, {"token": token, "now": now}).scalar_one())


def delete_expired_certificates(connection: Connection, before: int) -> None:
    """Forget certificates that ended before this time."""
    connection.execute(text("DELETE FROM ssh_certificates WHERE valid_before < :before"), {"before": before})
