"""Who is signed in to the pages. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "page_sign_ins",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("issuer", "subject", "kind", "groups", "attributes")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("proven_at", "expires_at")),
    )
    op.create_index("page_sign_ins_by_identity", "page_sign_ins", ["issuer", "subject", "expires_at"])
    op.create_index("page_sign_ins_by_expiry", "page_sign_ins", ["expires_at"])
