"""First backfills are requests; a request knows its batch, its attempts and when it ended."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from ig_pipeline.storage.column_types import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_FIRST_DAYS = timedelta(days=30)


def upgrade() -> None:
    """Apply. Connections whose first backfill was never asked for get its request."""
    with op.batch_alter_table("sync_requests", schema=None) as batch_op:
        batch_op.add_column(sa.Column("batch", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("ended_at", UtcDateTime(), nullable=True))
        batch_op.create_index(batch_op.f("ix_sync_requests_account_key"), ["account_key"], unique=False)
    # Runs from before carry no batch: they are found by their ids.
    op.execute(
        "update sync_requests set attempts = 1, batch = coalesce(run_id, 'request-' || id) where status = 'launched'"
    )
    op.execute(
        "update sync_requests set ended_at = coalesce(launched_at, created_at) where status in ('done', 'failed')"
    )
    _ask_for_first_backfills()


def downgrade() -> None:
    """Take back. The sensor of before finds connections without a first backfill by itself."""
    op.execute("delete from sync_requests where requested_by = 'first_backfill' and reason = 'connected'")
    with op.batch_alter_table("sync_requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sync_requests_account_key"))
        batch_op.drop_column("ended_at")
        batch_op.drop_column("attempts")
        batch_op.drop_column("batch")


def _ask_for_first_backfills() -> None:
    """Whoever claims one gives it the days that are newest then; it waits while its account is not connected."""
    requests = sa.table(
        "sync_requests",
        *(sa.column(name) for name in ("kind", "account_key", "requested_by", "reason", "status", "dedupe_key")),
        *(sa.column(name, sa.Date) for name in ("first", "last")),
        *(sa.column(name, UtcDateTime) for name in ("not_before", "created_at")),
        sa.column("options", sa.JSON),
    )
    db, now = op.get_bind(), datetime.now(UTC)
    waiting = sa.text("select id, account_key from user_tokens where initial_backfill_requested_at is null order by id")
    for connection_id, account_key in db.execute(waiting).all():
        values = {
            "kind": "insights",
            "account_key": account_key,
            "first": (now - _FIRST_DAYS).date(),
            "last": now.date(),
            "requested_by": "first_backfill",
            "reason": "connected",
            "options": {},
            "not_before": now,
            "status": "queued",
            "dedupe_key": f"first_backfill:{connection_id}",
            "created_at": now,
        }
        db.execute(sa.insert(requests).values(values))
