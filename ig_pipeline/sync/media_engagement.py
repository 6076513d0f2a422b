"""Fills `media_engagement` and its dated snapshots: the posts of a range in pages of a hundred, a result per day.

A post belongs to the Pacific day it was posted on. A day without posts is complete with nothing.
A post that Instagram no longer lists keeps its last numbers: history is not unwritten.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

import pandas as pd
import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.storage import media
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.results import AccountDayResult, AssetName
from ig_pipeline.sync.session import AccountSession

ASSET: AssetName = "media_engagement"
# Columns of a post that an insight fills; the others come with the post itself.
INSIGHTS = ("saved", "reach", "views", "shares", "total_interactions")


# What a day's posts add up to.
SUMS = {"likes": "like_count", "comments": "comments_count", "saved": "saved", "engagement": "engagement"}
NO_POSTS: Mapping[str, int] = dict.fromkeys(("posts", *SUMS), 0)

Row = dict[str, Any]


@dataclass(frozen=True)
class _Remembered:
    """What earlier runs learnt: when the account was converted (UTC), and what posts of the range refuse."""

    converted: datetime | None
    refused: Mapping[str, Mapping[str, Absence]]


@dataclass(frozen=True)
class _Listing:
    posts: list[Media]
    calls: int
    observed_at: datetime


@dataclass(frozen=True)
class _Day:
    day: date
    posts: list[Row]
    absences: Mapping[str, Mapping[str, Absence]]
    """Media id → what the post lacks and nobody knew before."""
    sums: Mapping[str, int]
    calls: int


async def media_engagement(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    """A result for each of `days`, oldest first, after the listing of the whole range was read."""
    started_at = session.now()
    try:
        remembered = await session.read(lambda db: _recall(db, session, min(days), max(days)))
        listing = await _read(session, min(days), max(days), remembered)
    except GraphError as error:
        for lost in session.lost(error, ASSET, days):
            yield lost
        return
    rows = [post_row(session.connection, post, listing.observed_at) for post in listing.posts]
    sums = roll_up(rows)
    calls = listing.calls
    for day in sorted(days):
        posts = [row for row in rows if row["date"] == day]
        found = {post.id: _news(post, remembered) for post in listing.posts if post.day == day}
        yield await _fill_day(session, _Day(day, posts, found, sums.get(day, NO_POSTS), calls), started_at)
        calls = 0  # the range's pages are booked on its first day


def _recall(db: sa.Connection, session: AccountSession, first: date, last: date) -> _Remembered:
    owner = session.connection
    return _Remembered(
        media.newest_before_conversion(db, owner.u_id, owner.account_id),
        absence_memory.known_of_posts(db, owner, first=first, last=last, now=session.now()),
    )


async def _read(session: AccountSession, first: date, last: date, remembered: _Remembered) -> _Listing:
    observed_at = session.now()

    async def walk(credentials: Credentials) -> _Listing:
        posts: list[Media] = []
        calls = 0
        async for page in iterate_media(
            session.client,
            credentials,
            first=first,
            last=last,
            converted_after=remembered.converted,
            known=remembered.refused,
        ):
            posts += page.items
            calls += page.calls
        return _Listing(posts, calls, observed_at)

    return await session.ask(walk)


def _news(post: Media, remembered: _Remembered) -> Mapping[str, Absence]:
    known = remembered.refused.get(post.id, {})
    return {name: absence for name, absence in post.absences.items() if name not in known}


def post_row(connection: Connection, post: Media, observed_at: datetime) -> Row:
    """A post as a row of `media_engagement`: numbers observed at `observed_at` (UTC), None where the API has none."""
    found = post.insights or {}
    return {
        "u_id": connection.u_id,
        "account_id": connection.account_id,
        "media_id": post.id,
        "date": post.day,
        "posted_at": post.timestamp,
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
        "permalink": post.permalink,
        "caption": post.caption,
        "like_count": post.like_count,
        "comments_count": post.comments_count,
        **{metric: found.get(metric) for metric in INSIGHTS},
        "engagement": post.engagement,
        "absences": {name: absence.reason for name, absence in sorted(post.absences.items())},
        "observed_at": observed_at,
    }


def roll_up(posts: Sequence[Row]) -> dict[date, dict[str, int]]:
    """Posts as sums per Pacific day: how many, and likes, comments, saves and engagement as far as they are known."""
    if not posts:
        return {}
    frame = pd.DataFrame.from_records(posts, columns=["date", "media_id", *SUMS.values()])
    frame = frame.astype(dict.fromkeys(SUMS.values(), "Int64"))
    days = frame.groupby("date").agg(posts=("media_id", "count"), **{name: (of, "sum") for name, of in SUMS.items()})
    return {
        cast("date", day): {str(name): int(value) for name, value in sums.items()}
        for day, sums in days.to_dict("index").items()
    }


async def _fill_day(session: AccountSession, day: _Day, started_at: datetime) -> AccountDayResult:
    try:
        return await session.write(lambda db: _store(db, session, day, started_at))
    except WriteMismatchError as error:
        return session.lost(error, ASSET, [day.day])[0]


def _store(db: sa.Connection, session: AccountSession, day: _Day, started_at: datetime) -> AccountDayResult:
    """The day's posts, their snapshots and the ledger row, in the caller's transaction."""
    connection = session.connection
    # In one order everywhere: two runs over the same cells must not wait for each other's rows crosswise.
    written = media.save_posts(db, sorted(day.posts, key=lambda row: str(row["media_id"])))
    for media_id, absences in sorted(day.absences.items()):
        absence_memory.remember(db, connection, absences, known={}, now=session.now(), subject=media_id)
    result = AccountDayResult(
        ASSET,
        connection.account_key,
        day.day,
        "complete",
        rows=written.sent,
        calls=day.calls,
        values=day.sums,
        absences=_absences(day.posts),
        account_id=connection.account_id,
        u_id=connection.u_id,
    )
    record(db, [result], run_id=session.run_id, started_at=started_at, finished_at=session.now())
    return result


def _absences(posts: Sequence[Row]) -> dict[str, str]:
    """What posts of a day lack, as `field → "reason (n posts)"`."""
    counts = Counter((name, reason) for post in posts for name, reason in post["absences"].items())
    return {name: f"{reason} ({count} of {len(posts)} posts)" for (name, reason), count in sorted(counts.items())}
