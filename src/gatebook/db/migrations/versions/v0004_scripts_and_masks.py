"""What will cover the answer to something held, and what a proposed script is made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; requests from before have neither."""
    op.add_column("approvals", sa.Column("masks", sa.Text, nullable=False, server_default="[]"))
    op.add_column("approvals", sa.Column("script", sa.Text, nullable=False, server_default=""))
