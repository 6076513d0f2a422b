"""Deletions run one at a time, over all processes, and wait before they are tried again."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.add_column("deletion_requests", sa.Column("not_before", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("deletion_requests", "not_before")
    op.drop_table("leases")
