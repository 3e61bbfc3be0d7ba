"""Approvals, the votes on them, grants and their targets. Times are microseconds since 1970, UTC; lists as JSON."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    _approvals()
    _votes()
    _grants()


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("digest", "session", "issuer", "subject", "requester", "chain", "target", "role", "verb")),
        *(_text(name) for name in ("reach", "resources", "text", "rule", "reason", "approvers")),
        sa.Column("quorum", sa.Integer, nullable=False),
        *(_text(name) for name in ("purpose", "policy_digest")),
        *(_time(name) for name in ("opened_at", "expires_at")),
        _text("kind"),
        sa.Column("seconds", sa.BigInteger, nullable=False),
        _text("state"),
        _text("why"),
        _time("changed_at"),
    )
    op.create_index("approvals_by_state", "approvals", ["state", "expires_at"])
    op.create_index("approvals_by_requester", "approvals", ["issuer", "subject", "state"])
    op.create_index("approvals_by_change", "approvals", ["changed_at"])


def _votes() -> None:
    op.create_table(
        "approval_votes",
        sa.Column("approval", sa.Text, sa.ForeignKey("approvals.id"), primary_key=True),
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        *(_text(name) for name in ("verdict", "reason", "seats", "chain")),
        _time("at"),
    )


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("approval", sa.Text, sa.ForeignKey("approvals.id"), nullable=False, unique=True),
        *(_text(name) for name in ("issuer", "subject", "kind", "targets", "reach")),
        *(_time(name) for name in ("not_before", "expires_at")),
        *(_text(name) for name in ("given_by", "why", "approvers", "chain", "revoked_by")),
        _time("ended_at"),
        _time("changed_at"),
    )
    op.create_index("grants_by_holder", "grants", ["issuer", "subject", "ended_at"])
    op.create_index("grants_by_end", "grants", ["ended_at", "expires_at"])
    op.create_index("grants_by_change", "grants", ["changed_at"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
