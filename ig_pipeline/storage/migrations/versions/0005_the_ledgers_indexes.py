"""Indexes for the questions asked of the ledger: days of everybody, newest failures."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # The unique key begins with the same columns, behind the user.
    op.drop_index("ix_instagram_sync_logs_account_id", "instagram_sync_logs")
    op.create_index("ix_instagram_sync_logs_asset", "instagram_sync_logs", ["asset", "date"])
    failed = sa.text("status = 'failed'")
    op.create_index(
        "ix_instagram_sync_logs_failed",
        "instagram_sync_logs",
        ["finished_at"],
        postgresql_where=failed,
        sqlite_where=failed,
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_instagram_sync_logs_failed", "instagram_sync_logs")
    op.drop_index("ix_instagram_sync_logs_asset", "instagram_sync_logs")
    op.create_index("ix_instagram_sync_logs_account_id", "instagram_sync_logs", ["account_id", "asset", "date"])
