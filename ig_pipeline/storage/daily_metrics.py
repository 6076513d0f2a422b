"""`metrics`: reach and engagement of an Instagram day, the row behind the chart."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import metrics
from ig_pipeline.storage.upsert import Written, upsert

SOURCE = "instagram"
STREAM = "daily_metrics"
"""The stream that fills this table."""
MADE_OF = ("account_insights", "media_engagement")
"""The streams that its rows are made of."""


def save(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write days: u_id, account_id, date, source, reach, engagement, observed_at."""
    return upsert(db, metrics, rows)
