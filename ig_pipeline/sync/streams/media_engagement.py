"""Fills `media_engagement` and its dated snapshots: the posts of a range in pages of a hundred, a result per day.

A post belongs to the Pacific day it was posted on. A day without posts is complete with nothing.
A post that Instagram no longer lists keeps its last numbers: history is not unwritten.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, cast

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import DEFAULT_MEDIA_METRICS, ENGAGEMENT
from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.graph_api.media import MediaPage, UnreadablePost, iterate_media
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.storage import media
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.absence_memory import NOTHING, Memory
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession

ASSET = "media_engagement"
# Of files; the library looks after them.
_NOT_OURS = frozenset({"children", "media_url", "thumbnail_url"})

# What a day's posts add up to.
SUMS = {"likes": "like_count", "comments": "comments_count", "saved": "saved", "engagement": "engagement"}
NO_POSTS: Mapping[str, int] = dict.fromkeys(("posts", *SUMS), 0)

Row = dict[str, Any]


@dataclass(frozen=True)
class _Remembered:
    """What earlier runs learnt: when the account was converted (UTC), and of posts of the range by media id.

    `anchor`: when a post from before the range was posted that gives its insights.
    """

    anchor: datetime | None = None
    converted: datetime | None = None
    posts: Mapping[str, Memory] = field(default_factory=dict)


@dataclass
class _Listing:
    """What the walk over the range has brought so far. `ended`: why it broke off, None when it came to its end."""

    observed_at: datetime
    posts: list[Media] = field(default_factory=list)
    unreadable: list[UnreadablePost] = field(default_factory=list)
    calls: int = 0
    listed_after: date | None = None
    is_silence: bool = False
    ended: GraphError | None = None

    def add(self, page: MediaPage) -> None:
        """Take in a page."""
        self.posts += page.items
        self.unreadable += page.unreadable
        self.calls += page.calls
        self.listed_after = page.listed_after or self.listed_after
        self.is_silence |= page.is_silence

    def has_all_of(self, day: date) -> bool:
        """Whether no post of `day` can be in the part that was not read."""
        return self.ended is None or (self.listed_after is not None and day > self.listed_after)


@dataclass(frozen=True)
class _Day:
    day: date
    posts: Sequence[Media]
    rows: list[Row]
    lacking: tuple[str, ...]
    sums: Mapping[str, int]
    calls: int
    observed_on: date


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    """A result for each of `days`, oldest first, after the listing of the whole range was read.

    Where the walk breaks off, the days whose posts are all listed by then are kept, the others lost.
    """
    started_at = session.now()
    remembered = await session.read(lambda db: _recall(db, session, min(days), max(days)))
    listing = await _read(session, min(days), max(days), remembered)
    posts = [_judged(post, remembered.posts.get(post.id, NOTHING), session.now()) for post in listing.posts]
    rows = [post_row(session.connection, post, listing.observed_at) for post in posts]
    sums = roll_up(rows)
    calls = listing.calls
    for day in sorted(days):
        if listing.ended is not None and not listing.has_all_of(day):
            for lost in session.lost(listing.ended, ASSET, [day]):
                yield replace(lost, calls=calls)
        else:
            of_day = [post for post in posts if post.day == day]
            filled = _Day(
                day,
                of_day,
                [row for row in rows if row["date"] == day],
                _lacking(listing, of_day, day, days),
                sums.get(day, NO_POSTS),
                calls,
                instagram_day(listing.observed_at),
            )
            yield await _fill_day(session, filled, remembered, started_at)
        calls = 0  # the range's pages are booked on its first day


def _recall(db: sa.Connection, session: AccountSession, first: date, last: date) -> _Remembered:
    owner = session.connection
    anchor = media.newest_with_insights(db, owner.u_id, owner.account_id, before=first)
    if session.asks_everything:
        return _Remembered(anchor)
    return _Remembered(
        anchor,
        media.newest_before_conversion(db, owner.u_id, owner.account_id),
        absence_memory.recall_posts(db, owner, first=first, last=last, now=session.now()),
    )


async def _read(session: AccountSession, first: date, last: date, remembered: _Remembered) -> _Listing:
    """The walk over the range; a renewed token begins it again."""
    observed_at = session.now()
    listing = _Listing(observed_at)
    known = {media_id: memory.known for media_id, memory in remembered.posts.items() if memory.known}

    async def walk(credentials: Credentials) -> None:
        nonlocal listing
        listing = _Listing(observed_at)
        async for page in iterate_media(
            session.client,
            credentials,
            first=first,
            last=last,
            converted_after=remembered.converted,
            known=known,
            anchor=remembered.anchor,
        ):
            listing.add(page)

    try:
        await session.ask(walk)
    except GraphError as error:
        listing.ended = error
    return listing


def _judged(post: Media, memory: Memory, now: datetime) -> Media:
    return post.model_copy(update={"absences": absence_memory.judged(post.absences, memory, now=now)})


def _lacking(listing: _Listing, posts: Sequence[Media], day: date, days: Sequence[date]) -> tuple[str, ...]:
    """What the day's posts lack without a rule; `posts` where posts themselves may be missing."""
    lacking = {name for post in posts for name, absence in post.absences.items() if not absence.is_explained}
    lacking -= _NOT_OURS
    odd = any((row.oldest or min(days)) <= day <= (row.newest or max(days)) for row in listing.unreadable)
    if listing.is_silence or odd:
        lacking.add("posts")
    return tuple(sorted(lacking))


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
        **{metric: found.get(metric) for metric in DEFAULT_MEDIA_METRICS},
        "engagement": post.engagement,
        "absences": {name: absence.reason for name, absence in sorted(post.absences.items())},
        "observed_at": observed_at,
    }


def roll_up(posts: Sequence[Row]) -> dict[date, dict[str, int]]:
    """Posts as sums per Pacific day: how many, and likes, comments, saves and engagement as far as they are known."""
    if not posts:
        return {}
    import pandas as pd  # noqa: PLC0415 - runs need it, code servers do not

    frame = pd.DataFrame.from_records(posts, columns=["date", "media_id", *SUMS.values()])
    frame = frame.astype(dict.fromkeys(SUMS.values(), "Int64"))
    days = frame.groupby("date").agg(posts=("media_id", "count"), **{name: (of, "sum") for name, of in SUMS.items()})
    return {
        cast("date", day): {str(name): int(value) for name, value in sums.items()}
        for day, sums in days.to_dict("index").items()
    }


async def _fill_day(
    session: AccountSession, day: _Day, remembered: _Remembered, started_at: datetime
) -> AccountDayResult:
    try:
        return await session.write(lambda db: _store(db, session, day, remembered, started_at))
    except WriteMismatchError as error:
        return session.lost(error, ASSET, [day.day])[0]


def _store(
    db: sa.Connection, session: AccountSession, day: _Day, remembered: _Remembered, started_at: datetime
) -> AccountDayResult:
    """The day's posts, their snapshots and the ledger row, in the caller's transaction."""
    connection = session.connection
    # In one order everywhere: two runs over the same cells must not wait for each other's rows crosswise.
    rows = sorted(day.rows, key=lambda row: str(row["media_id"]))
    written = media.save_posts(db, rows, observed_on=day.observed_on)
    for post in sorted(day.posts, key=lambda post: post.id):
        absence_memory.remember(
            db,
            connection,
            post.absences,
            memory=remembered.posts.get(post.id, NOTHING),
            now=session.now(),
            given=(*(post.insights or {}), *(["insights"] if post.insights else [])),
            subject=post.id,
        )
    return session.recorded(
        db,
        ASSET,
        day.day,
        rows=written.sent,
        calls=day.calls,
        values=day.sums,
        absences=_absences(day),
        lacking=day.lacking,
        started_at=started_at,
    )


def _absences(day: _Day) -> dict[str, str]:
    """What posts of a day lack, as `field → "reason (n of m posts)"`."""
    counts = Counter((name, absence.reason) for post in day.posts for name, absence in post.absences.items())
    told = {name: f"{reason} ({count} of {len(day.posts)} posts)" for (name, reason), count in sorted(counts.items())}
    if "posts" in day.lacking:
        told["posts"] = "Instagram listed posts of this day in a form that cannot be read, or did not list them."
    return told


STREAM = Stream(
    name=ASSET,
    description=(
        "Likes, comments and saves of every post published on this day, with the post's own insights. Each night "
        "keeps them as they were, for numbers grow."
    ),
    tables=("media_engagement", "media_engagement_snapshots"),
    grain="account-day",
    schedule="nightly_sync",
    fetch=_fetch,
    counts=(*ENGAGEMENT, "engagement"),
)
