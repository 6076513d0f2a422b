"""Who follows and watches an account, and when: demographics once a week, followers online by the hour.

How often to ask is a schedule's business; which accounts are due is told here.
"""

from collections.abc import AsyncGenerator, Collection
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.demographics import fetch_demographics, fetch_online_followers
from ig_pipeline.storage import audience, cell_counts
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.engine import SyncServices
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession
from ig_pipeline.sync.snapshots import finished, snapshot_accounts

WEEK = timedelta(days=7)
# A schedule that looks daily must not slip by a day each week because a run took some minutes.
_SLACK = timedelta(hours=1)
# Meta keeps thirty days of online_followers (facts §1.1); the newest two are not counted yet.
ONLINE_DAYS = 30


def demographics_due(db: sa.Connection, *, now: datetime, every: timedelta = WEEK) -> list[str]:
    """Connected accounts without a whole snapshot younger than `every`; one that was put off or partial stays due."""
    newest = cell_counts.last_written(db, "demographics", statuses=("complete",))
    return [
        connection.account_key
        for connection in list_connections(db, statuses=[CONNECTED])
        if (last := newest.get(connection.account_key)) is None or last <= now - every + _SLACK
    ]


def refresh_demographics(
    services: SyncServices, account_keys: Collection[str], *, run_id: str
) -> AsyncGenerator[AccountDayResult]:
    """A snapshot of followers, engaged and reached audience by country, city, age and gender; eight calls each.

    One result per account. Below 100 people there is none: complete, with the absence.
    """
    return snapshot_accounts(services, account_keys, asset="demographics", run_id=run_id, take=_demographics)


def refresh_online_followers(
    services: SyncServices, account_keys: Collection[str], *, run_id: str
) -> AsyncGenerator[AccountDayResult]:
    """Followers online by hour, for all days Meta still has; one call each. One result per account."""
    return snapshot_accounts(services, account_keys, asset="online_followers", run_id=run_id, take=_online_followers)


async def _demographics(session: AccountSession, day: date) -> AccountDayResult:
    connection, observed_at = session.connection, session.now()
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
        written = audience.save_demographics(db, rows)
        absence_memory.remember(db, connection, found.absences, memory=memory, now=session.now())
        return finished(
            db,
            session,
            asset="demographics",
            day=day,
            rows=written.sent,
            calls=found.calls,
            values={f"{metric}_by_{breakdown}": len(groups) for (metric, breakdown), groups in found.values.items()},
            absences=found.absences,
            started_at=observed_at,
        )

    return await session.write(store)


async def _online_followers(session: AccountSession, day: date) -> AccountDayResult:
    connection, observed_at = session.connection, session.now()
    last = last_complete_day(observed_at)
    first = last - timedelta(days=ONLINE_DAYS - 1)
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
        written = audience.save_online_followers(db, rows)
        absence_memory.remember(db, connection, found.absences, memory=memory, now=session.now())
        return finished(
            db,
            session,
            asset="online_followers",
            day=day,
            rows=written.sent,
            calls=found.calls,
            values={"days": len(found.values)},
            absences=found.absences,
            started_at=observed_at,
        )

    return await session.write(store)
