"""Reach and engagement by day as plain rows, for many accounts in one query.

Not as pandas frames: one costs three milliseconds, which an HTTP endpoint asked two hundred times a second does not
have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.daily_metrics import SOURCE
from ig_pipeline.storage.tables import instagram_insights, media_engagement, metrics


@dataclass(frozen=True)
class DayRow:
    """One Instagram day of one account, or of several together; None where a number is not there yet."""

    date: date
    reach: int | None
    engagement: int | None


@dataclass(frozen=True)
class TopPost:
    """A post and what it brought."""

    media_id: str
    date: date
    media_type: str | None
    media_product_type: str | None
    permalink: str | None
    caption: str | None
    like_count: int | None
    comments_count: int | None
    saved: int | None
    reach: int | None
    engagement: int


def day_rows(
    db: sa.Connection, connections: Sequence[Connection], *, first: date, last: date
) -> dict[int, list[DayRow]]:
    """Connection id → a row for every day from `first` to `last`, oldest first."""
    if not connections:
        return {}
    found: dict[tuple[int, str], dict[date, DayRow]] = {}
    statement = sa.select(metrics.c.u_id, metrics.c.account_id, metrics.c.date, metrics.c.reach, metrics.c.engagement)
    rows = db.execute(
        statement.where(
            metrics.c.u_id.in_({connection.u_id for connection in connections}),
            metrics.c.account_id.in_({connection.account_id for connection in connections}),
            metrics.c.source == SOURCE,
            metrics.c.date.between(first, last),
        )
    )
    for u_id, account_id, day, reach, engagement in rows:
        found.setdefault((u_id, account_id), {})[day] = DayRow(day, reach, engagement)
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    empty = [DayRow(day, None, None) for day in days]
    return {
        connection.id: _filled(empty, found.get((connection.u_id, connection.account_id), {}))
        for connection in connections
    }


def total(timelines: Iterable[Sequence[DayRow]]) -> list[DayRow]:
    """Several timelines of the same days added up, one at a time; a number nobody has stays None."""
    return reduce(
        lambda sums, rows: [
            DayRow(a.date, _sum(a.reach, b.reach), _sum(a.engagement, b.engagement))
            for a, b in zip(sums, rows, strict=True)
        ],
        (list(rows) for rows in timelines),
    )


def metric_by_day(
    db: sa.Connection, connection: Connection, metric: str, *, first: date, last: date
) -> dict[date, int]:
    """The values of one metric of `instagram_insights` by Instagram day."""
    table = instagram_insights
    rows = db.execute(
        sa.select(table.c.date, table.c.value).where(
            table.c.u_id == connection.u_id,
            table.c.account_id == connection.account_id,
            table.c.metric == metric,
            table.c.date.between(first, last),
        )
    )
    return {row.date: row.value for row in rows}


def top_posts(
    db: sa.Connection, connection: Connection, *, first: date, last: date, limit: int
) -> tuple[list[TopPost], int]:
    """The posts of these days with the most engagement, best first, and how many posts there were in all."""
    table = media_engagement
    condition = sa.and_(
        table.c.u_id == connection.u_id,
        table.c.account_id == connection.account_id,
        table.c.date.between(first, last),
    )
    columns = [table.c[name] for name in TopPost.__dataclass_fields__]
    statement = sa.select(*columns).where(condition).order_by(table.c.engagement.desc(), table.c.media_id).limit(limit)
    posts = [TopPost(**row._mapping) for row in db.execute(statement)]
    count = db.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
    return posts, int(count)


def _filled(empty: Sequence[DayRow], found: dict[date, DayRow]) -> list[DayRow]:
    return [found.get(row.date, row) for row in empty]


def _sum(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
