"""Certificates of users of SSH: each by its digest, and the gateway token that it stands on.

Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """A certificate that is not listed here is none, whoever signed it."""
    op.create_table(
        "ssh_certificates",
        sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("valid_before", sa.BigInteger, nullable=False),
    )
    op.create_index("ssh_certificates_by_token", "ssh_certificates", ["token"])
    op.create_index("ssh_certificates_by_end", "ssh_certificates", ["valid_before"])
