"""The media library: its index, and the backfills that filled it."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "media_items",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("u_id", _KEY, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("instagram_media_id", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("posted_at", UtcDateTime(), nullable=False),
        sa.Column("backfilled_at", UtcDateTime(), nullable=False),
        sa.Column("file_path", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_hash", sa.Text(), nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source_identifier", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("permalink", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["u_id"], ["users.u_id"], name=op.f("fk_media_items_u_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media_items")),
        sa.UniqueConstraint("u_id", "instagram_media_id", name=op.f("uq_media_items_u_id")),
    )
    with op.batch_alter_table("media_items", schema=None) as batch_op:
        batch_op.create_index("ix_media_items_file_hash", ["u_id", "file_hash"], unique=False)
        batch_op.create_index(batch_op.f("ix_media_items_account_id"), ["account_id", "date"], unique=False)

    op.create_table(
        "media_backfills",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("u_id", _KEY, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("account_key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["u_id"], ["users.u_id"], name=op.f("fk_media_backfills_u_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media_backfills")),
    )
    with op.batch_alter_table("media_backfills", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_media_backfills_u_id"), ["u_id", "status"], unique=False)
        batch_op.create_index("ix_media_backfills_started_at", ["started_at"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("media_backfills", schema=None) as batch_op:
        batch_op.drop_index("ix_media_backfills_started_at")
        batch_op.drop_index(batch_op.f("ix_media_backfills_u_id"))

    op.drop_table("media_backfills")
    with op.batch_alter_table("media_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_media_items_account_id"))
        batch_op.drop_index("ix_media_items_file_hash")

    op.drop_table("media_items")
