"""For whom a session acts, and who may see a recording after saying why. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("sessions", sa.Column("on_behalf_of", sa.Text))
    op.create_index("sessions_by_subject", "sessions", ["issuer", "subject", "opened_at"])
    op.create_index("sessions_by_whom_for", "sessions", ["issuer", "on_behalf_of", "opened_at"])
    op.create_table(
        "recording_reads",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("session", "issuer", "subject", "why")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("begun_at", "ends_at")),
    )
    op.create_index("recording_reads_by_session", "recording_reads", ["session", "issuer", "subject", "ends_at"])
    op.create_index("recording_reads_by_end", "recording_reads", ["ends_at"])
