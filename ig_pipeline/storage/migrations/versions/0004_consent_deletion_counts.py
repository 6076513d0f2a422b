"""Consent, deletion, and what the monitoring counts."""

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "deletion_requests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("erased", sa.JSON(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion_requests")),
        sa.UniqueConstraint("code", name=op.f("uq_deletion_requests_code")),
    )
    with op.batch_alter_table("deletion_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deletion_requests_status"), ["status"], unique=False)

    op.create_table(
        "graph_calls",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "outcome", name=op.f("pk_graph_calls")),
    )
    op.create_table(
        "oauth_states",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("state_hash", sa.Text(), nullable=False),
        sa.Column("browser_hash", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_states")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_oauth_states_state_hash")),
    )
    with op.batch_alter_table("oauth_states", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth_states_browser_hash"), ["browser_hash"], unique=False)
        batch_op.create_index(batch_op.f("ix_oauth_states_created_at"), ["created_at"], unique=False)

    op.create_table(
        "signed_requests_seen",
        sa.Column("signature_hash", sa.Text(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("signature_hash", name=op.f("pk_signed_requests_seen")),
    )
    op.create_table(
        "meta_people",
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["user_tokens.id"], name=op.f("fk_meta_people_connection_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "connection_id", name=op.f("pk_meta_people")),
    )
    with op.batch_alter_table("meta_people", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_meta_people_connection_id"), ["connection_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("meta_people", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_meta_people_connection_id"))

    op.drop_table("meta_people")
    op.drop_table("signed_requests_seen")
    with op.batch_alter_table("oauth_states", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_oauth_states_created_at"))
        batch_op.drop_index(batch_op.f("ix_oauth_states_browser_hash"))

    op.drop_table("oauth_states")
    op.drop_table("graph_calls")
    with op.batch_alter_table("deletion_requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deletion_requests_status"))

    op.drop_table("deletion_requests")
