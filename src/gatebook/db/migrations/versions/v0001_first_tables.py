"""The first tables: salts, identities, gateway tokens, sessions and their actions. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _salts()
    _identities()
    _gateway_tokens()
    _sessions()
    _actions()


def _salts() -> None:
    op.create_table(
        "salts",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )


def _identities() -> None:
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_index("identities_by_subject", "identities", ["subject", "seen_at"])


def _gateway_tokens() -> None:
    op.create_table(
        "gateway_tokens",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("proven_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("on_behalf_of", sa.Text),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("gateway_tokens_by_identity", "gateway_tokens", ["issuer", "subject", "expires_at"])
    op.create_index("gateway_tokens_by_expiry", "gateway_tokens", ["expires_at"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("client_address", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("close_reason", sa.Text),
        *(_count(name) for name in ("actions", "refused", "bytes_in", "bytes_out")),
        sa.Column("kill_requested_at", sa.BigInteger),
        sa.Column("kill_by", sa.Text),
        sa.Column("kill_reason", sa.Text),
    )
    op.create_index("sessions_by_opening", "sessions", ["opened_at"])
    op.create_index("sessions_by_close", "sessions", ["closed_at"])


def _actions() -> None:
    op.create_table(
        "actions",
        sa.Column("session", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("reach", sa.Text, nullable=False),
        sa.Column("resources", sa.Text),
        sa.Column("ruling", sa.Text),
        sa.Column("rule", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("decision", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("rows", sa.BigInteger),
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
