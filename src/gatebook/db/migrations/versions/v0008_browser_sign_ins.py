"""People who are signed in to a target by their browser: tokens for one target, and the codes they come by.

Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Tokens of before are good for every target, and stand on no sign-in to the pages."""
    op.add_column("gateway_tokens", sa.Column("target", sa.Text, nullable=False, server_default=""))
    op.add_column("gateway_tokens", sa.Column("sign_in", sa.LargeBinary))
    op.create_index("gateway_tokens_by_sign_in", "gateway_tokens", ["sign_in"])
    op.create_table(
        "browser_codes",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("sign_in", sa.LargeBinary, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("code_expires_at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("issuer", "subject", "kind", "groups", "attributes")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("proven_at", "expires_at")),
    )
    op.create_index("browser_codes_by_expiry", "browser_codes", ["code_expires_at"])
    op.create_index("browser_codes_by_identity", "browser_codes", ["issuer", "subject"])
