"""Which process serves a session, and cancel requests on their way to another replica. Times are µs since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Until now there was one process, and one replica."""
    op.add_column("sessions", sa.Column("process", sa.Text, nullable=False, server_default="1/1"))
    op.create_table(
        "cancels",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("home", sa.Integer, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
    )
