"""Audience and stories: demographics, followers online, stories with their last numbers."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audience_demographics",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("u_id", _KEY, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("observed_on", sa.Date(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("breakdown", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["u_id"], ["users.u_id"], name=op.f("fk_audience_demographics_u_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audience_demographics")),
        sa.UniqueConstraint(
            "u_id",
            "account_id",
            "observed_on",
            "metric",
            "breakdown",
            "value",
            name=op.f("uq_audience_demographics_u_id"),
        ),
    )
    op.create_table(
        "online_followers",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("u_id", _KEY, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("followers", sa.BigInteger(), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["u_id"], ["users.u_id"], name=op.f("fk_online_followers_u_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_online_followers")),
        sa.UniqueConstraint("u_id", "account_id", "date", "hour", name=op.f("uq_online_followers_u_id")),
    )
    op.create_table(
        "stories",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("u_id", _KEY, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("posted_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("permalink", sa.Text(), nullable=True),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("reach", sa.BigInteger(), nullable=True),
        sa.Column("views", sa.BigInteger(), nullable=True),
        sa.Column("replies", sa.BigInteger(), nullable=True),
        sa.Column("shares", sa.BigInteger(), nullable=True),
        sa.Column("total_interactions", sa.BigInteger(), nullable=True),
        sa.Column("reposts", sa.BigInteger(), nullable=True),
        sa.Column("follows", sa.BigInteger(), nullable=True),
        sa.Column("profile_visits", sa.BigInteger(), nullable=True),
        sa.Column("profile_activity", sa.BigInteger(), nullable=True),
        sa.Column("navigation", sa.BigInteger(), nullable=True),
        sa.Column("link_clicks", sa.BigInteger(), nullable=True),
        sa.Column("absences", sa.JSON(), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["u_id"], ["users.u_id"], name=op.f("fk_stories_u_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stories")),
        sa.UniqueConstraint("u_id", "account_id", "media_id", name=op.f("uq_stories_u_id")),
    )
    with op.batch_alter_table("stories", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stories_account_id"), ["account_id", "date"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("stories", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stories_account_id"))

    op.drop_table("stories")
    op.drop_table("online_followers")
    op.drop_table("audience_demographics")
