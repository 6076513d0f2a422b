"""Answers `/{media-id}/insights` and `insights.metric(…)` inside a page of media (facts §2.2).

One refused metric or post loses the whole call, as in reality.
"""

from datetime import datetime

from ig_pipeline.graph_api.catalogue import MEDIA_METRIC_VOCABULARY, MEDIA_METRICS
from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.posts import Post
from ig_pipeline.simulator.requests import Json, names_in
from ig_pipeline.simulator.titles import description_of, title_of

# In the vocabulary, but gone for all versions (facts §1.1), or never an Instagram post's.
_REMOVED = "impressions"
_FEWEST_VIEWERS = 5
_NEEDS_FACEBOOK = frozenset({"facebook_views", "crossposted_views"})
_EVERYWHERE = frozenset({"content_views", "total_views", "total_likes", "total_comments"})
_BREAKDOWNS: dict[str, dict[str, tuple[str, ...]]] = {
    "navigation": {"story_navigation_action_type": ("TAP_FORWARD", "TAP_BACK", "TAP_EXIT", "SWIPE_FORWARD")},
    "profile_activity": {"action_type": ("BIO_LINK_CLICKED", "CALL", "DIRECTION", "EMAIL", "OTHER", "TEXT")},
}


def media_insights(account: Account, post: Post, *, metric: str | None, breakdown: str | None, now: datetime) -> Json:
    """`{"data": […]}` of one post. Raises RefusalError."""
    metrics = names_in(metric)
    if not metrics:
        raise refusals.parameter_missing("metric")
    for place, name in enumerate(metrics):
        if name not in MEDIA_METRIC_VOCABULARY:
            raise refusals.not_one_of(f"metric[{place}]", MEDIA_METRIC_VOCABULARY)
    if not account.gives_insights(post, now):
        raise refusals.before_conversion()
    for name in metrics:
        if name == _REMOVED:
            raise refusals.metric_removed(name, subject="media")
        if not _has(post, name):
            raise refusals.not_for_product_type(name)
    if post.product_type == "STORY" and post.metric("reach", now) < _FEWEST_VIEWERS:
        raise refusals.too_few_viewers()
    return {"data": [_shown(post, name, breakdown, now) for name in dict.fromkeys(metrics)]}


def _has(post: Post, metric: str) -> bool:
    if metric in _EVERYWHERE:
        return post.product_type != "STORY"
    if post.product_type not in MEDIA_METRICS[metric].product_types:
        return False
    if metric in _NEEDS_FACEBOOK:
        return post.shared_to_facebook
    return post.gives_views or metric != "views"


def _shown(post: Post, metric: str, breakdown: str | None, now: datetime) -> Json:
    value = _value(post, metric, now)
    insight: Json = {
        "name": metric,
        "period": "lifetime",
        "values": [{"value": value}],
        "title": title_of(metric),
        "description": description_of(metric),
        "id": f"{post.id}/insights/{metric}/lifetime",
    }
    if not breakdown:
        return insight
    names = _BREAKDOWNS.get(metric, {}).get(breakdown)
    if names is None:
        raise refusals.incompatible_breakdown(breakdown, metric)
    parts = [value // len(names)] * len(names)
    parts[0] += value - sum(parts)
    results = [{"dimension_values": [name], "value": part} for name, part in zip(names, parts, strict=True) if part]
    return {
        **insight,
        "total_value": {"value": value, "breakdowns": [{"dimension_keys": [breakdown], "results": results}]},
    }


def _value(post: Post, metric: str, now: datetime) -> int:
    organic = {"content_views": "views", "total_views": "views", "total_likes": "likes", "total_comments": "comments"}
    return post.metric(organic.get(metric, metric), now)
