"""Fills `online_followers`: how many followers were online by the hour, for all days Meta still has; one call each."""

from collections.abc import AsyncGenerator, Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.demographics import fetch_online_followers
from ig_pipeline.storage import tables
from ig_pipeline.storage.upsert import upsert
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession

# Meta keeps thirty days (docs/graph_api.md#unique-reach); the newest two are not counted yet.
_DAYS = 30


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    connection, observed_at, (day,) = session.connection, session.now(), days
    last = last_complete_day(observed_at)
    first = last - timedelta(days=_DAYS - 1)
    memory = await session.read(lambda db: absence_memory.recall(db, connection, now=observed_at))
    found = await session.ask(
        lambda credentials: fetch_online_followers(
            session.client, credentials, first=first, last=last, skip=memory.known
        )
    )
    rows = [
        {
            "u_id": connection.u_id,
            "account_id": connection.account_id,
            "date": measured,
            "hour": hour,
            "followers": followers,
            "observed_at": observed_at,
        }
        for measured, hours in sorted(found.values.items())
        for hour, followers in sorted(hours.items())
    ]

    def store(db: sa.Connection) -> AccountDayResult:
        written = upsert(db, tables.online_followers, rows)
        absence_memory.remember(db, connection, found.absences, memory=memory, now=session.now())
        return session.recorded(
            db,
            STREAM.name,
            day,
            rows=written.sent,
            calls=found.calls,
            values={"days": len(found.values)},
            absences=found.absences,
            started_at=observed_at,
        )

    yield await session.write(store)


STREAM = Stream(
    name="online_followers",
    description=(
        "How many followers were online in each hour of the last thirty days, for accounts with 100 followers or more."
    ),
    tables=("online_followers",),
    grain="snapshot",
    schedule="audience_refresh",
    fetch=_fetch,
)
