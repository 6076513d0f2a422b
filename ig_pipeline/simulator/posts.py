"""Posts and stories: what they are, what their counts are at an instant, and which ones an account made on a day.

Drawn from the account's seed one day at a time, so that nothing is generated before it is asked for. Counts grow in
steps at Pacific midnights and are a pure function of the post and the instant. Shown as JSON in `views`.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from ig_pipeline.simulator.days import day_of, ends, starts
from ig_pipeline.simulator.draws import (
    COMMENT_PART,
    STORY_PART,
    MediaPlace,
    between,
    choose,
    fraction,
    media_id,
    opaque,
)
from ig_pipeline.simulator.kinds import Kind

MediaType = Literal["IMAGE", "VIDEO", "CAROUSEL_ALBUM"]
ProductType = Literal["FEED", "REELS", "STORY"]

# Share of its final counts a post still lacks on the day it appears, and what of that is left a day later.
_MISSING_AT_FIRST = 0.6
_LEFT_A_DAY = 0.7
_GROWN_AFTER_DAYS = 30


@dataclass(frozen=True)
class Comment:
    """One comment under a post. `at` is UTC."""

    id: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Child:
    """One picture or video of a carousel."""

    id: str
    media_type: MediaType
    shortcode: str


@dataclass(frozen=True)
class Post:
    """A post or story as the world knows it; final counts, before the growth of `count`.

    `legacy_id`: the `ig_id`. `caption` None: the owner wrote none. `has_file` False: `media_url` is withheld.
    `shows_likes` False: the owner hid the like count. `gives_views` False: a video too old for the metric.
    `before_conversion`: posted before the account's conversion, where that is given and not drawn.
    `skip_rate`: the percentage of a reel's viewers who skipped it, with a decimal.
    """

    id: str
    legacy_id: str
    shortcode: str
    at: datetime
    media_type: MediaType
    product_type: ProductType
    caption: str | None
    final: dict[str, int] = field(repr=False)
    children: tuple[Child, ...] = ()
    comments: tuple[Comment, ...] = ()
    has_file: bool = True
    has_thumbnail: bool = True
    shows_likes: bool = True
    gives_views: bool = True
    shared_to_facebook: bool = False
    grows: bool = True
    before_conversion: bool = False
    skip_rate: float = 0.0

    @property
    def day(self) -> date:
        """The Pacific day it was posted on."""
        return day_of(self.at)

    @property
    def parts(self) -> tuple["Post | Child | Comment", ...]:
        """Everything with an id of its own: the post, its children and comments."""
        return (self, *self.children, *self.comments)

    @property
    def sort_key(self) -> tuple[datetime, str]:
        """Order of the media edge, newest last."""
        return (self.at, self.id)

    def count(self, name: str, at: datetime) -> int:
        """The lifetime count `name` as of the instant `at`."""
        final = self.final.get(name, 0)
        if not self.grows or name == "ig_reels_avg_watch_time":
            return final
        age = (day_of(at) - self.day).days
        if age >= _GROWN_AFTER_DAYS:
            return final
        return int(final * (1 - _MISSING_AT_FIRST * _LEFT_A_DAY ** max(age, 0)))

    def metric(self, name: str, at: datetime) -> int | float:
        """A media insight as of `at`; `total_interactions` is the sum of its parts at that instant."""
        if name == "reels_skip_rate":
            return self.skip_rate
        if name == "total_interactions":
            parts = ("likes", "comments", "saved", "shares", "reposts", "replies")
            return sum(self.count(part, at) for part in parts)
        return self.count(name, at)


def final_counts(audience: float, product_type: ProductType, key: str) -> dict[str, int]:
    """The counts a post of an account with `audience` daily viewers ends with; `key` names the draw."""
    luck = 0.35 + 1.5 * fraction(key, "luck") ** 3 + (0.5 if product_type == "REELS" else 0)
    reach = audience * luck
    shares_of_reach = {
        "likes": (0.03, 0.09),
        "comments": (0.001, 0.008),
        "saved": (0.002, 0.02),
        "shares": (0.001, 0.012),
        "reposts": (0.0, 0.004),
        "follows": (0.0, 0.003),
        "profile_visits": (0.004, 0.02),
        "profile_activity": (0.0, 0.004),
        "replies": (0.001, 0.01),
        "navigation": (0.9, 1.4),
        "link_clicks": (0.0, 0.01),
        "views": (1.2, 2.4),
    }
    counts = {name: int(reach * between(low, high, key, name)) for name, (low, high) in shares_of_reach.items()}
    counts["reach"] = int(reach)
    if product_type == "STORY":
        counts["likes"] = counts["comments"] = counts["saved"] = 0
    else:
        counts["replies"] = 0
    counts["ig_reels_avg_watch_time"] = int(between(2_400, 14_000, key, "watch"))
    counts["ig_reels_video_view_total_time"] = counts["views"] * counts["ig_reels_avg_watch_time"]
    counts["facebook_views"] = counts["views"] // 9
    counts["crossposted_views"] = counts["views"] + counts["facebook_views"]
    return counts


# ---- which posts an account makes ----------------------------------------------------------------------------------

# Every account's first day: far enough back for a year of history at any test's clock.
OPENED = date(2023, 6, 1)
DAY_ZERO = date(2010, 1, 1)
# Share of reels whose thumbnail the list leaves out (2 of 25 in a live walk, docs/graph_api.md#what-is-left-out).
_WITHOUT_THUMBNAIL = 0.08
_WITHOUT_CAPTION = 0.08
_SHARED_TO_FACEBOOK = 0.5
# Some posts fall on the first or last second of a Pacific day: the edges of every range.
_ON_THE_EDGE = 0.04

_OPENINGS = (
    "Early light over the workbench",
    "A quiet hour before the doors open",
    "New on the shelf this week",
    "What a Saturday looks like from here",
    "Three sketches and one decision",
    "Behind the counter with the team",
    "The long way home",
    "Small batch, second try",
)
_TAGS = ("#behindthescenes", "#madebyhand", "#slowmornings", "#studio", "#newin", "#weekend")
_REPLIES = ("Love this!", "Where can I find one?", "So good 👏", "Saving this for later", "Beautiful light")


def posts_of_day(*, seed: int, position: int, kind: Kind, day: date) -> tuple[Post, ...]:
    """The posts of one Pacific day, oldest first; none before the account opened."""
    if day < OPENED:
        return ()
    key = f"{seed}/{position}/{day}"
    return tuple(
        _post(key=f"{key}/{n}", position=position, kind=kind, day=day, n=n) for n in range(_how_many(kind, key))
    )


def stories_of_day(*, seed: int, position: int, kind: Kind, day: date) -> tuple[Post, ...]:
    """The stories of one Pacific day, oldest first."""
    if day < OPENED:
        return ()
    key = f"{seed}/{position}/{day}/story"
    wanted = kind.stories_a_day
    number = int(wanted) + (fraction(key, "how many") < wanted - int(wanted))
    return tuple(_story(key=f"{key}/{n}", position=position, kind=kind, day=day, n=n) for n in range(number))


def number_of_posts(*, seed: int, position: int, kind: Kind, day: date) -> int:
    """How many posts `posts_of_day` has, without making them."""
    return _how_many(kind, f"{seed}/{position}/{day}") if day >= OPENED else 0


def _how_many(kind: Kind, key: str) -> int:
    """Posts of a day: a draw with `posts_a_day` as its mean and days of none and of several."""
    draw, mean = fraction(key, "how many"), kind.posts_a_day
    steps = (mean * 0.62, mean * 0.25, mean * 0.09, mean * 0.04)  # 0.62 + 0.25·… : chances of ≥1, ≥2, ≥3, ≥4 posts
    return sum(draw < step for step in steps)


def _moment(key: str, day: date) -> datetime:
    begin, end = starts(day), ends(day)
    if fraction(key, "edge") < _ON_THE_EDGE:
        return choose((begin, end - timedelta(seconds=1)), key, "which edge")
    return begin + timedelta(seconds=int((end - begin).total_seconds() * between(0.02, 0.98, key, "time")))


def _shape(kind: Kind, key: str) -> tuple[MediaType, ProductType]:
    draw = fraction(key, "shape")
    if kind.old_videos and draw < 0.5:
        return "VIDEO", "FEED"
    if draw < 0.42:
        return "IMAGE", "FEED"
    if draw < 0.68:
        return "CAROUSEL_ALBUM", "FEED"
    return ("VIDEO", "REELS") if draw < 0.94 else ("VIDEO", "FEED")


def _post(*, key: str, position: int, kind: Kind, day: date, n: int) -> Post:
    place = MediaPlace(position, (day - DAY_ZERO).days, n, 0)
    media_type, product_type = _shape(kind, key)
    at = _moment(key, day)
    final = final_counts(kind.daily_reach, product_type, key)
    lost = kind.loses_media_url and (media_type == "VIDEO" or fraction(key, "flagged") < 0.2)
    return Post(
        id=media_id(place),
        legacy_id=str(int(at.timestamp()) * 2_000_000_000 + int(fraction(key, "legacy") * 1_999_999_999)),
        shortcode=opaque(11, key, "shortcode"),
        at=at,
        media_type=media_type,
        product_type=product_type,
        caption=None if fraction(key, "caption") < _WITHOUT_CAPTION else _caption(key),
        final=final,
        children=_children(key, place) if media_type == "CAROUSEL_ALBUM" else (),
        comments=_comments(key, place, at, final["comments"]),
        has_file=not lost,
        has_thumbnail=fraction(key, "thumbnail") >= _WITHOUT_THUMBNAIL or product_type != "REELS",
        shows_likes=not kind.hides_likes,
        gives_views=not (kind.old_videos and product_type == "FEED" and media_type == "VIDEO"),
        shared_to_facebook=fraction(key, "facebook") < _SHARED_TO_FACEBOOK,
        skip_rate=round(between(18, 62, key, "skip"), 1) if product_type == "REELS" else 0.0,
    )


def _story(*, key: str, position: int, kind: Kind, day: date, n: int) -> Post:
    place = MediaPlace(position, (day - DAY_ZERO).days, n, STORY_PART)
    at = starts(day) + timedelta(seconds=int(between(0.25, 0.98, key, "time") * 23 * 3600))
    # A story may have too few viewers for insights: fewer than five (docs/graph_api.md#posts-without-numbers).
    audience = kind.daily_reach * 0.3 if fraction(key, "seen") > 0.1 else 3
    return Post(
        id=media_id(place),
        legacy_id=str(int(at.timestamp()) * 2_000_000_000 + int(fraction(key, "legacy") * 1_999_999_999)),
        shortcode=opaque(11, key, "shortcode"),
        at=at,
        media_type="VIDEO" if fraction(key, "shape") < 0.4 else "IMAGE",
        product_type="STORY",
        caption=None if fraction(key, "caption") < 0.6 else _caption(key),
        final=final_counts(audience, "STORY", key),
        shared_to_facebook=fraction(key, "facebook") < _SHARED_TO_FACEBOOK,
        grows=False,
    )


def _caption(key: str) -> str:
    return f"{choose(_OPENINGS, key, 'opening')} {choose(_TAGS, key, 'tag')}"


def _children(key: str, place: MediaPlace) -> tuple[Child, ...]:
    number = 2 + int(fraction(key, "children") * 8.99)
    return tuple(
        Child(
            id=media_id(MediaPlace(place.account, place.day, place.place, part)),
            media_type="VIDEO" if fraction(key, "child", part) < 0.15 else "IMAGE",
            shortcode=opaque(11, key, "child", part),
        )
        for part in range(1, number + 1)
    )


def _comments(key: str, place: MediaPlace, at: datetime, number: int) -> tuple[Comment, ...]:
    """The newest few comments, newest first; a post with more shows the rest of the number only in its count."""
    return tuple(
        Comment(
            id=media_id(MediaPlace(place.account, place.day, place.place, COMMENT_PART + n)),
            text=choose(_REPLIES, key, "comment", n),
            at=at + timedelta(minutes=7 * (min(number, 5) - n)),
        )
        for n in range(min(number, 5))
    )
