"""A post, its children and comments, and what its counts are at an instant.

Counts grow in steps at Pacific midnights and are a pure function of the post and the instant.
How a post is shown as JSON is not decided here.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from ig_pipeline.simulator.chance import between, fraction
from ig_pipeline.simulator.days import day_of

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
