"""The simulated API's own rules about metrics: names, types, periods, breakdowns and their values.

See docs/graph_api.md#account-metrics and docs/graph_api.md#media-insights. Written apart from the client's on purpose:
two copies of one mistake would agree with each other. A test compares the names, recordings of the real API hold both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MetricType = Literal["time_series", "total_value"]

PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")
METRIC_TYPES = ("default", "time_series", "total_value")
# Below it follower_count, online_followers, follows_and_unfollows and demographics do not exist.
MIN_FOLLOWERS = 100
FOLLOWER_COUNT_DAYS = 30
HISTORY_YEARS = 2
# The most recent posts the media edge gives at all (docs/graph_api.md#pages-and-order).
MAX_MEDIA = 10_000
DEMOGRAPHICS = ("follower_demographics", "engaged_audience_demographics", "reached_audience_demographics")
DEMOGRAPHIC_BREAKDOWNS = ("country", "city", "age", "gender")
DEMOGRAPHIC_TIMEFRAMES = ("this_week", "this_month")


@dataclass(frozen=True)
class AccountMetric:
    """One metric of `/{ig-user-id}/insights`: the types, periods and breakdowns it can be asked for with.

    `needs_followers`: it does not exist for an account of fewer than `MIN_FOLLOWERS`.
    """

    types: tuple[MetricType, ...] = ("total_value",)
    periods: tuple[str, ...] = ("day",)
    breakdowns: tuple[str, ...] = ()
    needs_followers: bool = False


@dataclass(frozen=True)
class MediaMetric:
    """One metric of `/{media-id}/insights`: the product types that have it, and the breakdowns it takes.

    `only_if_shared`: refused for posts that were not shared to Facebook. `facebook_only`: unknown to Instagram Login.
    """

    product_types: frozenset[str]
    breakdowns: tuple[str, ...] = ()
    only_if_shared: bool = False
    facebook_only: bool = False


_BY_PRODUCT = AccountMetric(breakdowns=("media_product_type",))
_TOTAL = AccountMetric()
_PEOPLE = AccountMetric(periods=("lifetime",), breakdowns=DEMOGRAPHIC_BREAKDOWNS, needs_followers=True)

ACCOUNT_METRICS: Mapping[str, AccountMetric] = {
    "reach": AccountMetric(
        ("time_series", "total_value"), ("day", "week", "days_28"), ("media_product_type", "follow_type")
    ),
    "follower_count": AccountMetric(("time_series",), needs_followers=True),
    # The reference calls the first breakdown `follower_type`: a typing error, and refused.
    "views": AccountMetric(breakdowns=("follow_type", "media_product_type")),
    "accounts_engaged": _TOTAL,
    **dict.fromkeys(("total_interactions", "likes", "comments", "shares", "saves"), _BY_PRODUCT),
    "replies": _TOTAL,
    "reposts": _TOTAL,
    "profile_links_taps": AccountMetric(breakdowns=("contact_button_type",)),
    "profile_views": _TOTAL,
    "website_clicks": _TOTAL,
    "follows_and_unfollows": AccountMetric(breakdowns=("follow_type",), needs_followers=True),
    "online_followers": AccountMetric(("time_series",), ("lifetime",), needs_followers=True),
    **dict.fromkeys(DEMOGRAPHICS, _PEOPLE),
}

# The values of account breakdowns; AD is the paid part. Demographics have values of their own.
ACCOUNT_BREAKDOWN_VALUES: Mapping[str, tuple[str, ...]] = {
    "follow_type": ("FOLLOWER", "NON_FOLLOWER", "UNKNOWN"),
    "media_product_type": ("AD", "STORY", "REEL", "CAROUSEL_CONTAINER", "POST"),
    "contact_button_type": ("BOOK_NOW", "CALL", "DIRECTION", "EMAIL", "INSTANT_EXPERIENCE", "TEXT", "UNDEFINED"),
}

# What the API itself lists in "metric[n] must be one of the following values", v22 to v25, in its order.
ACCOUNT_METRIC_VOCABULARY = (
    "reach", "follower_count", "website_clicks", "profile_views", "online_followers", "accounts_engaged",
    "total_interactions", "likes", "comments", "shares", "saves", "replies", "engaged_audience_demographics",
    "reached_audience_demographics", "follower_demographics", "follows_and_unfollows", "profile_links_taps", "views",
    "threads_likes", "threads_replies", "reposts", "quotes", "threads_followers", "threads_follower_demographics",
    "content_views", "threads_views", "threads_clicks", "threads_reposts",
)  # fmt: skip
# Metrics of Threads are in the vocabulary, but an Instagram account has nothing to show for them.
THREADS = frozenset(ACCOUNT_METRIC_VOCABULARY) - frozenset(ACCOUNT_METRICS)
# In the order of the API's own list (reported live), which has no `follower_type`.
ACCOUNT_BREAKDOWNS = (*DEMOGRAPHIC_BREAKDOWNS, "follow_type", "media_product_type", "contact_button_type")

_FEED, _REELS, _STORY = frozenset({"FEED"}), frozenset({"REELS"}), frozenset({"STORY"})
_POSTS = _FEED | _REELS
_ALL = _POSTS | _STORY

MEDIA_METRICS: Mapping[str, MediaMetric] = {
    "saved": MediaMetric(_POSTS),  # `saves` is the account's name for it, refused here
    **dict.fromkeys(("reach", "views", "shares", "total_interactions", "reposts"), MediaMetric(_ALL)),
    **dict.fromkeys(("likes", "comments"), MediaMetric(_POSTS)),
    **dict.fromkeys(("follows", "profile_visits"), MediaMetric(_FEED | _STORY)),
    "profile_activity": MediaMetric(_FEED | _STORY, ("action_type",)),
    **dict.fromkeys(
        ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate"), MediaMetric(_REELS)
    ),
    "replies": MediaMetric(_STORY),
    "navigation": MediaMetric(_STORY, ("story_navigation_action_type",)),
    "link_clicks": MediaMetric(_STORY, facebook_only=True),
    "facebook_views": MediaMetric(_ALL, only_if_shared=True),
    "crossposted_views": MediaMetric(_REELS, only_if_shared=True),
    "total_views": MediaMetric(_ALL, facebook_only=True),
    **dict.fromkeys(("total_likes", "total_comments"), MediaMetric(_POSTS, facebook_only=True)),
}

# The values of media breakdowns: the story's come in lower case, whatever the reference prints.
MEDIA_BREAKDOWN_VALUES: Mapping[str, tuple[str, ...]] = {
    "action_type": ("BIO_LINK_CLICKED", "CALL", "DIRECTION", "EMAIL", "OTHER", "TEXT"),
    "story_navigation_action_type": ("tap_forward", "tap_back", "tap_exit", "swipe_forward"),
}
# The API's own list (reported live); a breakdown that a metric does not have is incompatible with it.
MEDIA_BREAKDOWNS = ("follow_type", "surface_type", "action_type", "story_navigation_action_type")

# The API's own list for media, v25, in its order. `impressions` is listed but removed since 2025-04-21.
MEDIA_METRIC_VOCABULARY = (
    "impressions", "reach", "replies", "saved", "likes", "comments", "shares", "total_interactions", "follows",
    "profile_visits", "profile_activity", "navigation", "ig_reels_video_view_total_time", "ig_reels_avg_watch_time",
    "views", "reels_skip_rate", "reposts", "facebook_views", "crossposted_views", "content_views", "total_views",
    "total_likes", "total_comments", "link_clicks",
)  # fmt: skip

_TITLES = {
    "accounts_engaged": "Accounts engaged",
    "total_interactions": "Content interactions",
    "ig_reels_avg_watch_time": "Average watch time of the reel",
    "ig_reels_video_view_total_time": "Total watch time of the reel",
}


def title_of(metric: str, *, metric_type: str = "") -> str:
    """The title of a metric, in words of our own: Meta's are prose on which no one may depend.

    Reach goes by two names (recorded).
    """
    if metric == "reach" and metric_type == "total_value":
        return "Accounts reached"
    return _TITLES.get(metric, metric.replace("_", " ").capitalize())


def description_of(metric: str) -> str:
    """One sentence about a metric, in words of our own."""
    return f"Simulated {metric.replace('_', ' ')}."
