"""Keeps the numbers of stories while they live: 24 hours after posting they are gone for ever (facts §2.3).

Each poll writes what is alive at that moment; the last one before the end is what stays.
"""

from collections.abc import AsyncGenerator, Collection
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import STORY_METRICS
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline.storage import stories
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.engine import SyncServices
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession
from ig_pipeline.sync.snapshots import finished, snapshot_accounts

STORY_LIFE = timedelta(hours=24)


def poll_stories(
    services: SyncServices, account_keys: Collection[str], *, run_id: str
) -> AsyncGenerator[AccountDayResult]:
    """The live stories of each account with their insights; one call each, and one per story that refuses.

    One result per account. Below five viewers a story has no insights: it is kept, with the absence.
    """
    return snapshot_accounts(services, account_keys, asset="stories", run_id=run_id, take=_stories)


async def _stories(session: AccountSession, day: date) -> AccountDayResult:
    connection, observed_at = session.connection, session.now()
    found = await session.ask(lambda credentials: fetch_stories(session.client, credentials))
    rows = [_row(connection, story, observed_at) for story in sorted(found.items, key=lambda story: story.id)]
    without = {
        f"{story.id} {name}": absence for story in found.items for name, absence in sorted(story.absences.items())
    }

    def store(db: sa.Connection) -> AccountDayResult:
        written = stories.save_stories(db, rows)
        return finished(
            db,
            session,
            asset="stories",
            day=day,
            rows=written.sent,
            calls=found.calls,
            values={"stories": len(rows), "views": sum(row["views"] or 0 for row in rows)},
            absences=without,
            started_at=observed_at,
        )

    return await session.write(store)


def _row(connection: Connection, story: Media, observed_at: datetime) -> dict[str, Any]:
    insights = story.insights or {}
    return {
        "u_id": connection.u_id,
        "account_id": connection.account_id,
        "media_id": story.id,
        "date": story.day,
        "posted_at": story.timestamp,
        "expires_at": story.timestamp + STORY_LIFE,
        "media_type": story.media_type,
        "permalink": story.permalink,
        "caption": story.caption,
        **{metric: insights.get(metric) for metric in STORY_METRICS},
        "absences": {name: absence.reason for name, absence in sorted(story.absences.items())},
        "observed_at": observed_at,
    }
