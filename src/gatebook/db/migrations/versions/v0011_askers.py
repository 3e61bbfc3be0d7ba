"""How many clients ask for the same thing by one request: it is void once the last of them is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Every request has been asked for by one."""
    op.add_column("approvals", sa.Column("askers", sa.Integer, nullable=False, server_default="1"))
