"""The ledger tells what a cell lacks without a rule, whether a failure was of the moment, and who must act.

Absences that earlier versions took from a silence or from a refusal without a rule are dropped: what they are about is
asked for once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Errors of earlier versions that were of the moment.
_RETRYABLE = ("TransientError", "UnreachableError", "MalformedAnswerError", "DownloadError")


def upgrade() -> None:
    """Apply, with what the rows already tell."""
    op.add_column("instagram_sync_logs", sa.Column("lacking", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column(
        "instagram_sync_logs", sa.Column("is_retryable", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("instagram_sync_logs", sa.Column("actor", sa.Text()))
    logs = sa.table("instagram_sync_logs", sa.column("is_retryable", sa.Boolean), sa.column("error_type", sa.Text))
    op.execute(sa.update(logs).where(logs.c.error_type.in_(_RETRYABLE)).values(is_retryable=True))
    absences = sa.table("metric_absences", sa.column("reason", sa.Text))
    guessed = ("silently_missing", "too_few_followers", "not_supported")
    op.execute(sa.delete(absences).where(absences.c.reason.in_(guessed)))


def downgrade() -> None:
    """Forget both. What was dropped is learnt again."""
    op.drop_column("instagram_sync_logs", "actor")
    op.drop_column("instagram_sync_logs", "is_retryable")
    op.drop_column("instagram_sync_logs", "lacking")
