"""`audience_demographics`, a snapshot a day it was asked for, and `online_followers`, by hour of an Instagram day."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import audience_demographics, online_followers
from ig_pipeline.storage.upsert import Written, upsert

DEMOGRAPHICS_KEY = ("u_id", "account_id", "observed_on", "metric", "breakdown", "value")
ONLINE_KEY = ("u_id", "account_id", "date", "hour")


def save_demographics(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write one account's snapshot: u_id, account_id, observed_on, metric, breakdown, value, people, observed_at.

    Groups of an earlier snapshot of that day that are not among the largest any more are taken out.
    """
    written = upsert(db, audience_demographics, rows, key=DEMOGRAPHICS_KEY)
    if rows:
        table, first = audience_demographics, rows[0]
        db.execute(
            sa.delete(table).where(
                table.c.u_id == first["u_id"],
                table.c.account_id == first["account_id"],
                table.c.observed_on == first["observed_on"],
                table.c.metric.in_({row["metric"] for row in rows}),
                table.c.observed_at < first["observed_at"],
            )
        )
    return written


def save_online_followers(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write hours: u_id, account_id, date, hour (0 to 23), followers, observed_at."""
    return upsert(db, online_followers, rows, key=ONLINE_KEY)
