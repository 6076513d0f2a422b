"""`media_engagement`, one row a post with its latest numbers, and its dated snapshots.

Likes grow: the curve is history only if it is sampled (docs/graph_api.md#media-insights). Files of posts are
`media_items`' business.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import DEFAULT_MEDIA_METRICS, ENGAGEMENT
from ig_pipeline.storage.tables import BEFORE_CONVERSION, media_engagement
from ig_pipeline.storage.tables import media_engagement_snapshots as of_snapshots
from ig_pipeline.storage.upsert import NewColumns, Written, kept_if_missing, upsert

_SNAPSHOT_COLUMNS = tuple(column.name for column in of_snapshots.columns if column.name not in ("id", "observed_on"))


def save_posts(db: sa.Connection, rows: Sequence[Mapping[str, Any]], *, observed_on: date) -> Written:
    """Write posts and their snapshots of the Instagram day on which they were observed. Counts speak of posts."""
    snapshots = [{name: row[name] for name in _SNAPSHOT_COLUMNS} | {"observed_on": observed_on} for row in rows]
    upsert(db, of_snapshots, snapshots, merged=partial(_merged, of_snapshots))
    return upsert(db, media_engagement, rows, merged=partial(_merged, media_engagement))


def _merged(table: sa.Table, new: NewColumns) -> dict[str, sa.ColumnElement[Any]]:
    """An insight that an answer lacked keeps the value it has, and counts in the post's engagement."""
    kept = dict(kept_if_missing(table, DEFAULT_MEDIA_METRICS)(new))
    known = [sa.func.coalesce(kept.get(name, new[name]), 0) for name in ENGAGEMENT]
    return {**kept, "engagement": sum(known[1:], start=known[0])}


def posts_of(db: sa.Connection, u_id: int, account_id: str, day: date) -> list[dict[str, Any]]:
    """The posts of one Instagram day as rows of `media_engagement`, in the order they were posted."""
    table = media_engagement
    rows = db.execute(
        sa.select(table)
        .where(table.c.u_id == u_id, table.c.account_id == account_id, table.c.date == day)
        .order_by(table.c.posted_at, table.c.media_id)
    )
    return [dict(row._mapping) for row in rows]


def newest_with_insights(db: sa.Connection, u_id: int, account_id: str, *, before: date) -> datetime | None:
    """When the newest post of the days before `before` (Instagram's) was posted that lacks nothing (UTC)."""
    table = media_engagement
    rows = db.execute(
        sa.select(table.c.posted_at, table.c.absences)
        .where(table.c.u_id == u_id, table.c.account_id == account_id, table.c.date < before)
        .order_by(table.c.date.desc(), table.c.posted_at.desc())
        .limit(20)
    )
    return next((row.posted_at for row in rows if not row.absences), None)


def newest_before_conversion(db: sa.Connection, u_id: int, account_id: str) -> datetime | None:
    """When the newest post was posted that Meta refused insights for as older than the business conversion (UTC)."""
    table = media_engagement
    mine = (table.c.u_id == u_id, table.c.account_id == account_id, BEFORE_CONVERSION[db.dialect.name])
    return db.execute(
        sa.select(table.c.posted_at).where(*mine).order_by(table.c.posted_at.desc()).limit(1)
    ).scalar_one_or_none()
