"""`instagram_insights`: one row per account, metric and bucket.

`date` is the Pacific day that was measured, `end_time` Meta's raw end of the bucket
(docs/graph_api.md#days-and-windows).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import instagram_insights
from ig_pipeline.storage.upsert import Written, upsert


def save(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write values: u_id, account_id, metric, end_time, date, metric_type, value, observed_at."""
    return upsert(db, instagram_insights, rows)


def values_of(db: sa.Connection, u_id: int, account_id: str, day: date) -> dict[str, int]:
    """Metric → value of one Instagram day."""
    table = instagram_insights
    rows = db.execute(
        sa.select(table.c.metric, table.c.value).where(
            table.c.u_id == u_id, table.c.account_id == account_id, table.c.date == day
        )
    )
    return {row.metric: row.value for row in rows}
