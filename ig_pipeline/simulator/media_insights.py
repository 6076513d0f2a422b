"""Answers `/{media-id}/insights` and `insights.metric(…)` inside a page of media (facts §2.2).

One refused metric or post loses the whole call, as in reality.
"""

from datetime import datetime

from ig_pipeline.graph_api.catalogue import MEDIA_BREAKDOWN_VALUES, MEDIA_METRIC_VOCABULARY, MEDIA_METRICS
from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.posts import Post
from ig_pipeline.simulator.requests import Json, names_in
from ig_pipeline.simulator.titles import description_of, title_of
from ig_pipeline.simulator.tokens import Login

# In the vocabulary, but gone for all versions (facts §1.1), or never an Instagram post's.
_REMOVED = "impressions"
_FEWEST_VIEWERS = 5
_UNDESCRIBED = frozenset({"content_views"})
# The API's own list (reported live). What goes with a metric is in the catalogue; the rest is incompatible.
_BREAKDOWNS = ("follow_type", "surface_type", "action_type", "story_navigation_action_type")


def media_insights(
    account: Account, post: Post, *, metric: str | None, breakdown: str | None, login: Login, now: datetime
) -> Json:
    """`{"data": […]}` of one post. Raises RefusalError."""
    metrics = names_in(metric)
    if not metrics:
        raise refusals.parameter_missing("metric")
    vocabulary = _vocabulary_of(login)
    for place, name in enumerate(metrics):
        if name not in vocabulary:
            raise refusals.not_one_of(f"metric[{place}]", vocabulary)
    if breakdown and breakdown not in _BREAKDOWNS:
        raise refusals.not_one_of("breakdown[0]", _BREAKDOWNS)
    if not account.gives_insights(post, now):
        raise refusals.before_conversion()
    for name in metrics:
        if name == _REMOVED:
            raise refusals.metric_removed(name, subject="media")
        if not _has(post, name):
            raise refusals.not_for_product_type(name)
        if name in MEDIA_METRICS and MEDIA_METRICS[name].only_if_shared and not post.shared_to_facebook:
            raise refusals.not_shared_to_facebook()
    if post.product_type == "STORY" and post.metric("reach", now) < _FEWEST_VIEWERS:
        raise refusals.too_few_viewers()
    return {"data": [_shown(post, name, breakdown, now) for name in dict.fromkeys(metrics)]}


def _vocabulary_of(login: Login) -> tuple[str, ...]:
    """The names a login's host accepts.

    The list of graph.instagram.com is not reported anywhere: here it is Facebook's without what only that login has.
    """
    return tuple(
        name for name in MEDIA_METRIC_VOCABULARY if name not in MEDIA_METRICS or login in MEDIA_METRICS[name].logins
    )


def _has(post: Post, metric: str) -> bool:
    if metric in _UNDESCRIBED:
        return post.product_type != "STORY"
    if post.product_type not in MEDIA_METRICS[metric].product_types:
        return False
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
    if metric not in MEDIA_METRICS or breakdown not in MEDIA_METRICS[metric].breakdowns:
        raise refusals.incompatible_breakdown(breakdown, metric)
    names = MEDIA_BREAKDOWN_VALUES[breakdown]
    parts = [value // len(names)] * len(names)
    parts[0] += value - sum(parts)
    results = [{"dimension_values": [name], "value": part} for name, part in zip(names, parts, strict=True) if part]
    return {
        **insight,
        "total_value": {"value": value, "breakdowns": [{"dimension_keys": [breakdown], "results": results}]},
    }


def _value(post: Post, metric: str, now: datetime) -> int | float:
    organic = {"content_views": "views", "total_views": "views", "total_likes": "likes", "total_comments": "comments"}
    return post.metric(organic.get(metric, metric), now)
