"""Whether a request's client was answered at once and sends the same again; else it waits on its connection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Of requests of before nobody knows: each stays one of its own."""
    op.add_column("approvals", sa.Column("resent", sa.Boolean, nullable=False, server_default=sa.false()))
