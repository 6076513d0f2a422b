"""Fills `stories`, whose numbers live for 24 hours after posting and are then gone for ever.

See docs/graph_api.md#stories.

Each poll writes what is alive at that moment; the last one before the end is what stays. One call, and one per story
that refuses. Below five viewers a story has no insights: it is kept, with the absence.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import STORY_METRICS
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.tables import stories
from ig_pipeline.storage.upsert import kept_if_missing, upsert
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession

STORY_LIFE = timedelta(hours=24)


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    connection, observed_at, (day,) = session.connection, session.now(), days
    found = await session.ask(lambda credentials: fetch_stories(session.client, credentials))
    rows = [_row(connection, story, observed_at) for story in sorted(found.items, key=lambda story: story.id)]
    without = {
        f"{story.id} {name}": absence for story in found.items for name, absence in sorted(story.absences.items())
    }

    def store(db: sa.Connection) -> AccountDayResult:
        # One that has expired, or whose numbers an answer lacks, keeps its last ones.
        written = upsert(db, stories, rows, merged=kept_if_missing(stories, STORY_METRICS))
        return session.recorded(
            db,
            STREAM.name,
            day,
            rows=written.sent,
            calls=found.calls,
            values={"stories": len(rows), "views": sum(row["views"] or 0 for row in rows)},
            absences=without,
            started_at=observed_at,
        )

    yield await session.write(store)


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


STREAM = Stream(
    name="stories",
    description=(
        "The stories alive right now with their numbers. Instagram forgets a story after 24 hours: what is not polled "
        "is lost. Switch on `story_polling` to keep them."
    ),
    tables=("stories",),
    grain="snapshot",
    schedule="story_polling",
    fetch=_fetch,
)
