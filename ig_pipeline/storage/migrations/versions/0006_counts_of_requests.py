"""What a request for media files came to: its counts, for whoever asked."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("sync_requests", sa.Column("counts", sa.JSON()))


def downgrade() -> None:
    """Take back."""
    op.drop_column("sync_requests", "counts")
