"""What a preview of a held write found, as JSON; empty where there was none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Requests of before had none."""
    op.add_column("approvals", sa.Column("preview", sa.Text, nullable=False, server_default=""))
