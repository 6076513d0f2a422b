"""The chart's rows: a day each, nulls where a day is not there yet, as pandas frames."""

from collections.abc import Sequence
from datetime import date

import pandas as pd
import sqlalchemy as sa

from ig_pipeline.storage.daily_metrics import SOURCE
from ig_pipeline.storage.tables import metrics

VALUES = ["reach", "engagement"]


def account_timeline(db: sa.Connection, u_id: int, account_id: str, *, first: date, last: date) -> pd.DataFrame:
    """One row per Instagram day from `first` to `last`: `date`, `reach`, `engagement` (Int64, NA for missing)."""
    return by_account(db, u_id, [account_id], first=first, last=last)[account_id]


def by_account(
    db: sa.Connection, u_id: int, account_ids: Sequence[str], *, first: date, last: date
) -> dict[str, pd.DataFrame]:
    """Account id → its timeline, read in one query."""
    rows = db.execute(
        sa.select(metrics.c.account_id, metrics.c.date, metrics.c.reach, metrics.c.engagement).where(
            metrics.c.u_id == u_id,
            metrics.c.account_id.in_(list(account_ids)),
            metrics.c.source == SOURCE,
            metrics.c.date.between(first, last),
        )
    ).all()
    frame = pd.DataFrame(rows, columns=["account_id", "date", *VALUES]).astype(dict.fromkeys(VALUES, "Int64"))
    days = pd.Index([stamp.date() for stamp in pd.date_range(first, last, freq="D")], name="date")
    return {
        account_id: frame[frame["account_id"] == account_id].set_index("date")[VALUES].reindex(days).reset_index()
        for account_id in account_ids
    }


def total(timelines: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several timelines of the same days added up; a day that nobody has stays missing."""
    if len(timelines) == 1:
        return timelines[0]
    return pd.concat(timelines).groupby("date")[VALUES].sum(min_count=1).reset_index()
