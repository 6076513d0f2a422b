"""`media_engagement`, one row a post with its latest numbers, and its dated snapshots.

Likes grow: the curve is history only if it is sampled (facts §2.2). Files of posts are `media_items`' business.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import media_engagement, media_engagement_snapshots
from ig_pipeline.storage.upsert import Written, upsert

KEY = ("u_id", "account_id", "media_id")
SNAPSHOT_KEY = (*KEY, "observed_on")
_SNAPSHOT_COLUMNS = tuple(
    column.name for column in media_engagement_snapshots.columns if column.name not in ("id", "observed_on")
)


def save_posts(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write posts and the snapshot of the UTC day on which they were observed. Counts speak of posts."""
    snapshots = [
        {name: row[name] for name in _SNAPSHOT_COLUMNS} | {"observed_on": row["observed_at"].date()} for row in rows
    ]
    upsert(db, media_engagement_snapshots, snapshots, key=SNAPSHOT_KEY)
    return upsert(db, media_engagement, rows, key=KEY)


def posts_of(db: sa.Connection, u_id: int, account_id: str, day: date) -> list[dict[str, Any]]:
    """The posts of one Instagram day as rows of `media_engagement`, in the order they were posted."""
    table = media_engagement
    rows = db.execute(
        sa.select(table)
        .where(table.c.u_id == u_id, table.c.account_id == account_id, table.c.date == day)
        .order_by(table.c.posted_at, table.c.media_id)
    )
    return [dict(row._mapping) for row in rows]


def newest_before_conversion(db: sa.Connection, u_id: int, account_id: str) -> datetime | None:
    """When the newest post was posted that Meta refused insights for as older than the business conversion (UTC)."""
    table = media_engagement
    rows = db.execute(
        sa.select(table.c.posted_at, table.c.absences)
        .where(table.c.u_id == u_id, table.c.account_id == account_id)
        .order_by(table.c.posted_at.desc())
    )
    return next((row.posted_at for row in rows if "before_conversion" in row.absences.values()), None)
