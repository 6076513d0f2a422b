"""Fills `audience_demographics`: who follows and watches an account, by country, city, age and gender, once a week.

Below 100 people there is nothing: complete, with the absence. Eight calls each.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.demographics import fetch_demographics
from ig_pipeline.storage.tables import audience_demographics as table
from ig_pipeline.storage.upsert import upsert
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    connection, observed_at, (day,) = session.connection, session.now(), days
    memory = await session.read(lambda db: absence_memory.recall(db, connection, now=observed_at))
    found = await session.ask(lambda credentials: fetch_demographics(session.client, credentials, skip=memory.known))
    rows = [
        {
            "u_id": connection.u_id,
            "account_id": connection.account_id,
            "observed_on": day,
            "metric": metric,
            "breakdown": breakdown,
            "value": value,
            "people": people,
            "observed_at": observed_at,
        }
        for (metric, breakdown), groups in sorted(found.values.items())
        for value, people in sorted(groups.items())
    ]

    def store(db: sa.Connection) -> AccountDayResult:
        written = upsert(db, table, rows)
        if rows:
            _take_out_smaller(db, rows)
        absence_memory.remember(db, connection, found.absences, memory=memory, now=session.now())
        return session.recorded(
            db,
            STREAM.name,
            day,
            rows=written.sent,
            calls=found.calls,
            values={f"{metric}_by_{breakdown}": len(groups) for (metric, breakdown), groups in found.values.items()},
            absences=found.absences,
            started_at=observed_at,
        )

    yield await session.write(store)


def _take_out_smaller(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Groups of an earlier snapshot of that day that are not among the largest any more."""
    first = rows[0]
    db.execute(
        sa.delete(table).where(
            *(table.c[name] == first[name] for name in ("u_id", "account_id", "observed_on")),
            table.c.metric.in_({row["metric"] for row in rows}),
            table.c.observed_at < first["observed_at"],
        )
    )


STREAM = Stream(
    name="demographics",
    description=(
        "Followers, engaged and reached audience of every connected account by country, city, age and gender, once a "
        "week. Instagram gives them from 100 people on."
    ),
    tables=("audience_demographics",),
    grain="snapshot",
    schedule="audience_refresh",
    every=timedelta(days=7),
    fetch=_fetch,
)
