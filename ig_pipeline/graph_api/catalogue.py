"""The metrics and fields of the Graph API as data: one place for every name and every rule about it.

See docs/graph_api.md#account-metrics.

No request is built and no answer parsed here. The simulator has a catalogue of its own; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from ig_pipeline.graph_api.hosts import Login

MetricType = Literal["time_series", "total_value"]
Period = Literal["day", "lifetime"]
ProductType = Literal["FEED", "REELS", "STORY"]
# What a value counts. Only a percentage may have a fraction (reels_skip_rate: 48.4).
Unit = Literal["count", "ms", "percent"]

BOTH_LOGINS: frozenset[Login] = frozenset({"facebook", "instagram"})
FACEBOOK_LOGIN: frozenset[Login] = frozenset({"facebook"})

# Below it follower_count, online_followers, follows_and_unfollows and demographics do not exist
# (docs/graph_api.md#account-metrics).
MIN_FOLLOWERS = 100
FOLLOWER_COUNT_DAYS = 30
# How far back account insights go at all, to the second; the promise is 90 days
# (docs/graph_api.md#when-numbers-are-final).
HISTORY_YEARS = 2
DEMOGRAPHIC_BREAKDOWNS = ("country", "city", "age", "gender")
DEMOGRAPHIC_TIMEFRAMES = ("this_week", "this_month")


@dataclass(frozen=True)
class Release:
    """When Meta introduced a metric: the day, and the first Graph version that has it; None: all versions at once."""

    on: date
    version: str | None = None


_V22 = Release(date(2025, 1, 21), "v22.0")
_DECEMBER_2025 = Release(date(2025, 12, 3))
_APRIL_2026 = Release(date(2026, 4, 22))
_JUNE_2026 = Release(date(2026, 6, 22))


@dataclass(frozen=True)
class AccountMetric:
    """One metric of `/{ig-user-id}/insights`.

    `types`: metric types it can be asked for with.
    `history_days`: days the API keeps, the current one excluded; None where only the general edge holds.
    `logins`: those that have it. `since`: its introduction, None when it is older than this catalogue.
    """

    name: str
    types: tuple[MetricType, ...]
    period: Period = "day"
    unit: Unit = "count"
    logins: frozenset[Login] = BOTH_LOGINS
    since: Release | None = None
    breakdowns: tuple[str, ...] = ()
    needs_breakdown: bool = False
    history_days: int | None = None
    min_followers: int = 0


@dataclass(frozen=True)
class MediaMetric:
    """One metric of `/{media-id}/insights`, period always lifetime.

    `logins`: those that have it. `since`: its introduction, None when it is older than this catalogue.
    `only_if_shared`: refused for posts that were not shared to Facebook. `with_ads`: organic and paid together; all
    others are organic only. `default`: asked for with every page of posts.
    """

    name: str
    product_types: frozenset[ProductType]
    unit: Unit = "count"
    logins: frozenset[Login] = BOTH_LOGINS
    since: Release | None = None
    breakdowns: tuple[str, ...] = ()
    only_if_shared: bool = False
    with_ads: bool = False
    default: bool = False


_BY_PRODUCT = ("media_product_type",)

ACCOUNT_METRICS: dict[str, AccountMetric] = {
    metric.name: metric
    for metric in (
        AccountMetric("reach", ("time_series", "total_value"), breakdowns=("media_product_type", "follow_type")),
        AccountMetric(
            "follower_count",
            ("time_series",),
            history_days=FOLLOWER_COUNT_DAYS,
            min_followers=MIN_FOLLOWERS,
        ),
        # The reference calls the first one `follower_type`: a typing error, and refused
        # (docs/graph_api.md#unique-reach).
        AccountMetric("views", ("total_value",), breakdowns=("follow_type", "media_product_type"), since=_V22),
        AccountMetric("accounts_engaged", ("total_value",)),
        AccountMetric("total_interactions", ("total_value",), breakdowns=_BY_PRODUCT),
        AccountMetric("likes", ("total_value",), breakdowns=_BY_PRODUCT),
        AccountMetric("comments", ("total_value",), breakdowns=_BY_PRODUCT),
        AccountMetric("shares", ("total_value",), breakdowns=_BY_PRODUCT),
        AccountMetric("saves", ("total_value",), breakdowns=_BY_PRODUCT),
        AccountMetric("replies", ("total_value",)),
        AccountMetric("reposts", ("total_value",)),
        AccountMetric("profile_links_taps", ("total_value",), breakdowns=("contact_button_type",)),
        AccountMetric("profile_views", ("total_value",)),
        AccountMetric("website_clicks", ("total_value",)),
        AccountMetric(
            "follows_and_unfollows",
            ("total_value",),
            breakdowns=("follow_type",),
            needs_breakdown=True,
            min_followers=MIN_FOLLOWERS,
        ),
        AccountMetric(
            "online_followers",
            ("time_series",),
            period="lifetime",
            history_days=30,
            min_followers=MIN_FOLLOWERS,
        ),
        *(
            AccountMetric(
                name,
                ("total_value",),
                period="lifetime",
                breakdowns=DEMOGRAPHIC_BREAKDOWNS,
                needs_breakdown=True,
                min_followers=MIN_FOLLOWERS,
            )
            for name in ("follower_demographics", "engaged_audience_demographics", "reached_audience_demographics")
        ),
    )
}

# The values of account breakdowns (docs/graph_api.md#unique-reach); AD is the paid part. Demographics have values of
# their own.
ACCOUNT_BREAKDOWN_VALUES: Mapping[str, tuple[str, ...]] = {
    "follow_type": ("FOLLOWER", "NON_FOLLOWER", "UNKNOWN"),
    "media_product_type": ("AD", "STORY", "REEL", "CAROUSEL_CONTAINER", "POST"),
    "contact_button_type": ("BOOK_NOW", "CALL", "DIRECTION", "EMAIL", "INSTANT_EXPERIENCE", "TEXT", "UNDEFINED"),
}

# What the API itself lists in "metric[n] must be one of the following values", v22 to v25, in its order
# (docs/graph_api.md#vocabulary).
ACCOUNT_METRIC_VOCABULARY = (
    "reach",
    "follower_count",
    "website_clicks",
    "profile_views",
    "online_followers",
    "accounts_engaged",
    "total_interactions",
    "likes",
    "comments",
    "shares",
    "saves",
    "replies",
    "engaged_audience_demographics",
    "reached_audience_demographics",
    "follower_demographics",
    "follows_and_unfollows",
    "profile_links_taps",
    "views",
    "threads_likes",
    "threads_replies",
    "reposts",
    "quotes",
    "threads_followers",
    "threads_follower_demographics",
    "content_views",
    "threads_views",
    "threads_clicks",
    "threads_reposts",
)

# One call for all days of a range.
DEFAULT_SERIES = ("reach", "follower_count")
# One call a day for all of them together. The first two were named by the people who asked for this.
DEFAULT_TOTALS = (
    "profile_views",
    "accounts_engaged",
    "views",
    "total_interactions",
    "likes",
    "comments",
    "shares",
    "saves",
    "replies",
    "reposts",
    "profile_links_taps",
    "website_clicks",
)
# A call of its own a day; an option. `follows`, `unfollows` are our names
# for its two parts: FOLLOWER and NON_FOLLOWER of the breakdown follow_type (docs/graph_api.md#account-metrics).
FOLLOWS_AND_UNFOLLOWS = "follows_and_unfollows"
FOLLOWS, UNFOLLOWS = "follows", "unfollows"
FOLLOWER_DEMOGRAPHICS = "follower_demographics"
DEMOGRAPHICS = (FOLLOWER_DEMOGRAPHICS, "engaged_audience_demographics", "reached_audience_demographics")
ONLINE_FOLLOWERS = "online_followers"

_FEED: frozenset[ProductType] = frozenset({"FEED"})
_REELS: frozenset[ProductType] = frozenset({"REELS"})
_STORY: frozenset[ProductType] = frozenset({"STORY"})
_POSTS: frozenset[ProductType] = _FEED | _REELS
_ALL: frozenset[ProductType] = _POSTS | _STORY

MEDIA_METRICS: dict[str, MediaMetric] = {
    metric.name: metric
    for metric in (
        MediaMetric("saved", _POSTS, default=True),  # `saves` is the account's name for it, refused here
        MediaMetric("reach", _ALL, default=True),
        MediaMetric("views", _ALL, since=_V22, default=True),
        MediaMetric("shares", _ALL, default=True),
        MediaMetric("total_interactions", _ALL, default=True),
        MediaMetric("likes", _POSTS),
        MediaMetric("comments", _POSTS),
        MediaMetric("reposts", _ALL, since=_DECEMBER_2025),
        MediaMetric("follows", _FEED | _STORY),
        MediaMetric("profile_visits", _FEED | _STORY),
        MediaMetric("profile_activity", _FEED | _STORY, breakdowns=("action_type",)),
        MediaMetric("ig_reels_avg_watch_time", _REELS, unit="ms"),
        MediaMetric("ig_reels_video_view_total_time", _REELS, unit="ms"),
        MediaMetric("reels_skip_rate", _REELS, unit="percent", since=_DECEMBER_2025),
        MediaMetric("replies", _STORY),
        MediaMetric("navigation", _STORY, breakdowns=("story_navigation_action_type",)),
        MediaMetric("link_clicks", _STORY, logins=FACEBOOK_LOGIN, since=_JUNE_2026),
        MediaMetric("facebook_views", _ALL, since=_APRIL_2026, only_if_shared=True),
        MediaMetric("crossposted_views", _REELS, only_if_shared=True),
        MediaMetric("total_views", _ALL, logins=FACEBOOK_LOGIN, since=_APRIL_2026, with_ads=True),
        MediaMetric("total_likes", _POSTS, logins=FACEBOOK_LOGIN, since=_APRIL_2026, with_ads=True),
        MediaMetric("total_comments", _POSTS, logins=FACEBOOK_LOGIN, since=_APRIL_2026, with_ads=True),
    )
}

# The values of media breakdowns: the story's come in lower case, whatever the reference prints
# (docs/graph_api.md#which-metric-for-which-post).
MEDIA_BREAKDOWN_VALUES: Mapping[str, tuple[str, ...]] = {
    "action_type": ("BIO_LINK_CLICKED", "CALL", "DIRECTION", "EMAIL", "OTHER", "TEXT"),
    "story_navigation_action_type": ("tap_forward", "tap_back", "tap_exit", "swipe_forward"),
}

# The API's own list for media, v25, in its order (docs/graph_api.md#which-metric-for-which-post). `impressions` is
# listed but removed since 2025-04-21.
MEDIA_METRIC_VOCABULARY = (
    "impressions",
    "reach",
    "replies",
    "saved",
    "likes",
    "comments",
    "shares",
    "total_interactions",
    "follows",
    "profile_visits",
    "profile_activity",
    "navigation",
    "ig_reels_video_view_total_time",
    "ig_reels_avg_watch_time",
    "views",
    "reels_skip_rate",
    "reposts",
    "facebook_views",
    "crossposted_views",
    "content_views",
    "total_views",
    "total_likes",
    "total_comments",
    "link_clicks",
)

# Asked for with every page of posts: accepted for feed posts and reels alike.
DEFAULT_MEDIA_METRICS = tuple(name for name, metric in MEDIA_METRICS.items() if metric.default)
# What a post's engagement adds up: two of its fields and an insight.
ENGAGEMENT = ("like_count", "comments_count", "saved")
# What the table of stories keeps: the organic metrics every story has, shared to Facebook or not.
STORY_METRICS = tuple(
    name
    for name, metric in MEDIA_METRICS.items()
    if "STORY" in metric.product_types and not metric.only_if_shared and not metric.with_ads
)

MEDIA_FIELDS = (
    "id",
    "caption",
    "media_type",
    "media_product_type",
    "media_url",
    "thumbnail_url",
    "permalink",
    "shortcode",
    "timestamp",
    "like_count",
    "comments_count",
)
# Children of an album have no caption, likes, product type or insights of their own
# (docs/graph_api.md#children-of-an-album).
CHILD_FIELDS = ("id", "media_type", "media_url", "thumbnail_url", "permalink", "timestamp")
STORY_FIELDS = (
    "id",
    "caption",
    "media_type",
    "media_product_type",
    "media_url",
    "thumbnail_url",
    "permalink",
    "timestamp",
)
# The most recent posts the edge gives at all (docs/graph_api.md#children-of-an-album).
MAX_MEDIA = 10_000


def story_metrics_for(login: Login) -> tuple[str, ...]:
    """Those of `STORY_METRICS` that `login` has; any other would refuse the whole call."""
    return tuple(name for name in STORY_METRICS if login in MEDIA_METRICS[name].logins)


def unit_of(metric: str) -> Unit | None:
    """What the values of a metric count, of an account or of a post; None for a metric not in this catalogue."""
    known = MEDIA_METRICS.get(metric) or ACCOUNT_METRICS.get(metric)
    return known.unit if known else None
