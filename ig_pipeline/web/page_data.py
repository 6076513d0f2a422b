"""What the pages show, gathered from the database and drawn: cards, one account's month, top posts.

Templates get these objects and decide nothing but looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.charts.svg import NARROW, WIDE, ChartKind, Point, daily_chart, sparkline
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.storage.day_rows import DayRow, TopPost, day_rows, metric_by_day, top_posts
from ig_pipeline.storage.overview import Backfill, Standing
from ig_pipeline.sync.data_access import data_access_warning
from ig_pipeline.sync.judgement import ConnectionJudgement, judge_connections
from ig_pipeline.web.answers import action_of, note_of
from ig_pipeline.web.pages import number

DAYS = 30
TOP_POSTS = 6
# A token renews itself from seven days before its end; one that is nearer has failed to.
_WORRYING = timedelta(days=5)


@dataclass(frozen=True)
class StatePill:
    """How a connection is, in a word and a colour."""

    word: str
    tone: str


@dataclass(frozen=True)
class Card:
    """A connection in the list."""

    connection: Connection
    pill: StatePill
    action: str | None
    """What the owner has to do for it to work again."""
    warning: str | None
    """What the owner of a connected account has to do for it to go on working."""
    note: str | None
    """What the owner should know though there is nothing to do."""
    last_day: date | None
    backfill: Backfill
    moving: bool
    reach_average: int | None
    engagement: int | None
    sparkline: str


@dataclass(frozen=True)
class Figure:
    """A chart in both sizes, the number above it, and the days below it for whoever cannot see it."""

    title: str
    headline: str
    note: str
    series: str
    wide: str
    narrow: str
    points: tuple[Point, ...]

    @property
    def known(self) -> bool:
        """Whether there is a number for any day."""
        return any(point.value is not None for point in self.points)


@dataclass(frozen=True)
class PostCard:
    """A post with its picture, if the library has it."""

    post: TopPost
    picture_url: str | None
    kind: str


@dataclass(frozen=True)
class AccountPage:
    """All of one account's page."""

    card: Card
    reach: Figure
    engagement: Figure
    followers: Figure | None
    posts: tuple[PostCard, ...]
    post_count: int
    first: date
    last: date


def cards(db: sa.Connection, found: Sequence[Standing], *, settings: Settings, now: datetime) -> list[Card]:
    """The list's cards, in the order of `found`."""
    last = last_complete_day(now)
    rows = day_rows(db, [standing.connection for standing in found], first=last - timedelta(days=DAYS - 1), last=last)
    judged = _judged(db, found, settings, now)
    return [_card(one, rows[one.connection.id], judged[one.connection.id], now) for one in found]


def account_page(
    db: sa.Connection, standing: Standing, *, settings: Settings, now: datetime, pictures: dict[str, str]
) -> AccountPage:
    """One account. `pictures`: media id → address of its picture."""
    connection = standing.connection
    last = last_complete_day(now)
    first = last - timedelta(days=DAYS - 1)
    rows = day_rows(db, [connection], first=first, last=last)[connection.id]
    posts, count = top_posts(db, connection, first=first, last=last, limit=TOP_POSTS)
    followers = metric_by_day(db, connection, "follower_count", first=first, last=last)
    return AccountPage(
        card=_card(standing, rows, _judged(db, [standing], settings, now)[connection.id], now),
        reach=reach_figure(rows),
        engagement=engagement_figure(rows),
        followers=_followers_figure(rows, followers) if followers else None,
        posts=tuple(PostCard(post, pictures.get(post.media_id), _kind(post)) for post in posts),
        post_count=count,
        first=first,
        last=last,
    )


def reach_figure(rows: Sequence[DayRow]) -> Figure:
    """Reach is not additive over days, so its number is an average."""
    points = tuple(Point(row.date, row.reach) for row in rows)
    wide, narrow = _drawn(points, kind="area", series="reach", unit="accounts reached")
    return Figure("Reach", number(_average(points)), "a day on average", "reach", wide, narrow, points)


def engagement_figure(rows: Sequence[DayRow]) -> Figure:
    """Likes, comments and saves of the posts of each day."""
    points = tuple(Point(row.date, row.engagement) for row in rows)
    wide, narrow = _drawn(points, kind="bars", series="engagement", unit="likes, comments, saves")
    return Figure("Engagement", number(_sum(points)), "likes, comments and saves", "engagement", wide, narrow, points)


def _followers_figure(rows: Sequence[DayRow], values: dict[date, int]) -> Figure:
    points = tuple(Point(row.date, values.get(row.date)) for row in rows)
    wide, narrow = _drawn(points, kind="bars", series="followers", unit="new followers")
    days = sum(point.value is not None for point in points)
    note = f"in {days} day{'s' if days != 1 else ''}"
    return Figure("New followers", f"+{_sum(points) or 0:,}", note, "followers", wide, narrow, points)


def _drawn(points: tuple[Point, ...], *, kind: ChartKind, series: str, unit: str) -> tuple[str, str]:
    return (
        daily_chart(points, kind=kind, series=series, unit=unit, size=WIDE),
        daily_chart(points, kind=kind, series=series, unit=unit, size=NARROW),
    )


def _card(standing: Standing, rows: Sequence[DayRow], judgement: ConnectionJudgement, now: datetime) -> Card:
    connection, backfill = standing.connection, standing.backfill
    connected = connection.status == CONNECTED
    return Card(
        connection=connection,
        pill=_pill(judgement, now),
        action=None if connected else action_of(judgement),
        warning=action_of(judgement) if connected else None,
        note=note_of(judgement),
        last_day=standing.last_day,
        backfill=backfill,
        moving=connection.status == CONNECTED and backfill.state in ("queued", "running"),
        reach_average=_average([Point(row.date, row.reach) for row in rows]),
        engagement=_sum([Point(row.date, row.engagement) for row in rows]),
        sparkline=sparkline([row.reach for row in rows], series="reach"),
    )


def _judged(
    db: sa.Connection, found: Sequence[Standing], settings: Settings, now: datetime
) -> dict[int, ConnectionJudgement]:
    connections = [standing.connection for standing in found]
    return judge_connections(db, connections, now=now, window_days=settings.nightly_window_days)


def _pill(judgement: ConnectionJudgement, now: datetime) -> StatePill:
    connection, state = judgement.connection, judgement.state
    if state == "disconnected":
        return StatePill("Disconnected", "off")
    reading, token = data_access_warning(connection, now=now), connection.token_end
    if state == "owner" and (reading is None or judgement.sentence != reading.sentence):
        return StatePill("Reconnect needed", "bad")
    if reading is not None and reading.urgent:
        return StatePill("Connect again now", "bad")
    if reading is not None or (token is not None and token.within(_WORRYING, now=now)):
        return StatePill("Ends soon", "worry")
    words = {"operator": StatePill("Interrupted", "worry"), "waiting": StatePill("Catching up", "worry")}
    return words.get(state, StatePill("Connected", "good"))


def _kind(post: TopPost) -> str:
    if post.media_product_type == "REELS":
        return "Reel"
    return {"CAROUSEL_ALBUM": "Carousel", "VIDEO": "Video"}.get(post.media_type or "", "Photo")


def _sum(points: Sequence[Point]) -> int | None:
    there = [point.value for point in points if point.value is not None]
    return sum(there) if there else None


def _average(points: Sequence[Point]) -> int | None:
    there = [point.value for point in points if point.value is not None]
    return round(sum(there) / len(there)) if there else None
