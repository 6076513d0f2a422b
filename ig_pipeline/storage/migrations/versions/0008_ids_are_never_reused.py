"""An id that was given out is never given out again, on SQLite too."""

import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBERED = {
    "users": "u_id",
    "user_tokens": "id",
    "instagram_insights": "id",
    "metrics": "id",
    "media_engagement": "id",
    "media_engagement_snapshots": "id",
    "instagram_sync_logs": "id",
    "cell_counts": "id",
    "sync_requests": "id",
    "metric_absences": "id",
    "media_items": "id",
    "media_backfills": "id",
    "oauth_states": "id",
    "deletion_requests": "id",
    "audience_demographics": "id",
    "online_followers": "id",
    "stories": "id",
}
"""Table → the key its rows are numbered by."""


def upgrade() -> None:
    """Apply. PostgreSQL's sequences have never gone back."""
    if op.get_bind().dialect.name != "sqlite":
        return
    _replace_tables({"sqlite_autoincrement": True})
    last = _highest_ever()
    db = op.get_bind()
    db.execute(sa.text("delete from sqlite_sequence where name = :name"), [{"name": name} for name in last])
    db.execute(
        sa.text("insert into sqlite_sequence (name, seq) values (:name, :seq)"),
        [{"name": name, "seq": number} for name, number in last.items()],
    )


def downgrade() -> None:
    """Take back."""
    if op.get_bind().dialect.name == "sqlite":
        _replace_tables({})


def _replace_tables(options: dict[str, Any]) -> None:
    for name in _NUMBERED:
        with op.batch_alter_table(name, recreate="always", table_kwargs=options):
            pass


def _highest_ever() -> dict[str, int]:
    """Table → a number that none of its rows has ever had a higher one than.

    Each row got one more than the highest of its time, so none is above the count of all there ever were: those that
    are left, and those that deletions have counted.
    """
    db = op.get_bind()
    erased: Counter[str] = Counter()
    for text in db.execute(sa.text("select erased from deletion_requests")).scalars():
        erased.update(json.loads(text))
    last = {}
    for name, key in _NUMBERED.items():
        rows, highest = db.execute(sa.text(f"select count(*), coalesce(max({key}), 0) from {name}")).one()  # noqa: S608
        last[name] = max(highest, rows + erased[name])
    return last
