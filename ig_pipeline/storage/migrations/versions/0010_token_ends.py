"""How the end of a token is known, until when it reads, and when Meta was last asked about it."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. A token stored without an end is one whose end was not told, until Meta says that it never ends."""
    with op.batch_alter_table("user_tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expiry", sa.Text(), server_default="stated", nullable=False))
        batch_op.add_column(sa.Column("data_access_expires_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("inspected_at", UtcDateTime(), nullable=True))
    op.execute("update user_tokens set expiry = 'assumed' where expires_at is null")


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("user_tokens", schema=None) as batch_op:
        batch_op.drop_column("inspected_at")
        batch_op.drop_column("data_access_expires_at")
        batch_op.drop_column("expiry")
