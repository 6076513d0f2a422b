"""What the ledger adds up to, by account, asset and outcome."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply, and count what is there."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "cell_counts",
        sa.Column("id", key, autoincrement=True, nullable=False),
        sa.Column("u_id", key, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("account_key", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cells", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["u_id"], ["users.u_id"], name="fk_cell_counts_u_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_cell_counts"),
        sa.UniqueConstraint("u_id", "account_id", "asset", "status", name="uq_cell_counts_u_id"),
    )
    op.execute(
        "insert into cell_counts (u_id, account_id, account_key, asset, status, cells, rows, last_at) "
        "select u_id, account_id, max(account_key), asset, status, count(*), sum(rows), max(finished_at) "
        "from instagram_sync_logs group by u_id, account_id, asset, status"
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("cell_counts")
