"""Insights of accounts and posts: which requests are legal, and the answers (docs/graph_api.md#shapes-of-answers).

Requests are checked in the order in which the API refuses (docs/graph_api.md#error-messages, recordings); one refused
metric or post fails the whole call, as in reality. What is true is decided in `accounts` and `posts`.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import FEWEST, Account, demographics, online_by_hour, people_behind
from ig_pipeline.simulator.catalogue import (
    ACCOUNT_BREAKDOWN_VALUES,
    ACCOUNT_BREAKDOWNS,
    ACCOUNT_METRIC_VOCABULARY,
    ACCOUNT_METRICS,
    DEMOGRAPHIC_TIMEFRAMES,
    DEMOGRAPHICS,
    FOLLOWER_COUNT_DAYS,
    HISTORY_YEARS,
    MEDIA_BREAKDOWN_VALUES,
    MEDIA_BREAKDOWNS,
    MEDIA_METRIC_VOCABULARY,
    MEDIA_METRICS,
    METRIC_TYPES,
    MIN_FOLLOWERS,
    PERIODS,
    THREADS,
    description_of,
    title_of,
)
from ig_pipeline.simulator.days import FINAL_AFTER, buckets_ending_in, day_of, ends, stamp, starts, years_before
from ig_pipeline.simulator.draws import between
from ig_pipeline.simulator.posts import Post
from ig_pipeline.simulator.requests import Call, Json, instant_in, names_in
from ig_pipeline.simulator.tokens import Login

_LONGEST_RANGE = timedelta(seconds=2_592_000)
# `impressions` was refused with a wording of its own until it was removed for all versions.
_IMPRESSIONS_GONE = (2025, 4, 21)


@dataclass(frozen=True)
class _Request:
    """A legal request. `since` and `until` are both ends, included; `given_until` None when the caller left it out."""

    metrics: tuple[str, ...]
    period: str
    metric_type: str
    breakdowns: tuple[str, ...]
    timeframe: str | None
    since: datetime
    until: datetime
    given_since: datetime | None
    given_until: datetime | None


def _checked(params: dict[str, str], *, now: datetime, login: Login, version: str) -> _Request:
    """Read and check a request. Raises RefusalError with the first thing that is wrong."""
    metrics = names_in(params.get("metric"))
    if not metrics:
        raise refusals.parameter_missing("metric")
    _known_metrics(metrics, now=now, version=version)
    metric_type = params.get("metric_type") or "default"
    if metric_type not in METRIC_TYPES:
        raise refusals.not_one_of("metric_type", METRIC_TYPES)
    period = next(iter(names_in(params.get("period"))), "")  # the official SDK sends a list of one
    if period and period not in PERIODS:
        raise refusals.not_one_of("period", PERIODS)
    metrics = _right_types(metrics, metric_type, login=login)
    if not period:
        raise refusals.parameter_missing("period")
    _right_periods(metrics, period)
    breakdowns = names_in(params.get("breakdown") or params.get("breakdowns"))
    _right_breakdowns(metrics, breakdowns, metric_type, login=login)
    timeframe = params.get("timeframe") or None
    if timeframe and timeframe not in (*DEMOGRAPHIC_TIMEFRAMES, "last_14_days", "last_30_days", "last_90_days"):
        raise refusals.not_one_of("timeframe", DEMOGRAPHIC_TIMEFRAMES)
    given_since, given_until = instant_in(params, "since", now), instant_in(params, "until", now)
    since, until = _range(given_since, given_until, now)
    _within_history(metrics, since, now)
    return _Request(
        tuple(dict.fromkeys(metrics)),
        period,
        "total_value" if metric_type == "total_value" else "time_series",
        tuple(breakdowns),
        timeframe,
        since,
        until,
        given_since,
        given_until,
    )


def _known_metrics(metrics: list[str], *, now: datetime, version: str) -> None:
    for place, name in enumerate(metrics):
        if name in ACCOUNT_METRIC_VOCABULARY:
            continue
        if name == "impressions" and (now.year, now.month, now.day) < _IMPRESSIONS_GONE and float(version[1:]) >= 22:
            raise refusals.metric_removed(name, subject="user")
        raise refusals.not_one_of(f"metric[{place}]", ACCOUNT_METRIC_VOCABULARY)


def _right_types(metrics: list[str], metric_type: str, *, login: Login) -> list[str]:
    """The metrics that will be answered. A series of a total is refused, or left out on graph.instagram.com."""

    def has(name: str, wanted: str) -> bool:
        return name in THREADS or wanted in ACCOUNT_METRICS[name].types

    series = [name for name in metrics if has(name, "time_series")]
    totals_only = [name for name in metrics if not has(name, "time_series")]
    if metric_type == "default" and totals_only:
        raise refusals.needs_total_value(totals_only)
    if metric_type == "time_series" and totals_only:
        if login == "instagram":
            return series
        raise refusals.incompatible_type(totals_only, metric_type)
    if metric_type == "total_value" and (series_only := [name for name in metrics if not has(name, "total_value")]):
        raise refusals.incompatible_type(series_only, metric_type)
    return metrics


def _right_periods(metrics: list[str], period: str) -> None:
    wrong = [name for name in metrics if name not in THREADS and period not in ACCOUNT_METRICS[name].periods]
    if wrong:
        raise refusals.incompatible_period(wrong, period)


def _right_breakdowns(metrics: list[str], breakdowns: list[str], metric_type: str, *, login: Login) -> None:
    for place, name in enumerate(breakdowns):
        if name not in ACCOUNT_BREAKDOWNS:
            raise refusals.not_one_of(f"breakdown[{place}]", ACCOUNT_BREAKDOWNS)
    for metric in metrics:
        wrong = [name for name in breakdowns if name not in _breakdowns_of(metric)]
        if wrong and metric_type == "total_value":
            if login == "instagram":
                raise refusals.incompatible_breakdown(",".join(wrong), metric)
            raise refusals.unknown_error()


def _breakdowns_of(metric: str) -> tuple[str, ...]:
    return ACCOUNT_BREAKDOWNS if metric in THREADS else ACCOUNT_METRICS[metric].breakdowns


def _range(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Both ends; left out, `until` is now and `since` a day before it (docs/graph_api.md#range-and-depth)."""
    end = until or now
    begin = since or end - timedelta(days=1)
    if begin > end:
        raise refusals.RefusalError("Parameter since must be earlier than until", code=100)
    if end - begin > _LONGEST_RANGE:
        raise refusals.too_long_range()
    return begin, end


def _within_history(metrics: list[str], since: datetime, now: datetime) -> None:
    """Everything goes back two years to the second, `follower_count` thirty days before today, to the very midnight."""
    if since < years_before(now, HISTORY_YEARS):
        raise refusals.too_old()
    if "follower_count" in metrics:
        today = day_of(now)
        if since < starts(today) - timedelta(days=FOLLOWER_COUNT_DAYS):
            raise refusals.follower_count_too_old()


# ---- answers about an account --------------------------------------------------------------------------------------

_SPANS = {"week": 7, "days_28": 28}
# The last days of online_followers come back empty (docs/graph_api.md#demographics-and-followers-online).
_ONLINE_LAGS = timedelta(days=2)
# The window of a link, where the caller gave none: a day (recorded).
_LINK_STEP = 86_400


def account_insights(account: Account, params: dict[str, str], call: Call, login: Login) -> Json:
    """`{"data": […], "paging": {…}}` of an insights request. Raises RefusalError."""
    request = _checked(params, now=call.now, login=login, version=call.version)
    _enough_people(account, request)
    data = [
        _account_insight(account, metric, request, call.now) for metric in request.metrics if _exists(account, metric)
    ]
    answer: Json = {"data": data}
    if request.period != "lifetime":
        answer["paging"] = _paging(account, request, params, call)
    return answer


def _exists(account: Account, metric: str) -> bool:
    """Whether the account has the metric at all; one that it has not is left out of an answer with status 200."""
    if metric in THREADS:
        return False
    few = account.followers_count() < MIN_FOLLOWERS
    return not (few and ACCOUNT_METRICS[metric].needs_followers and metric not in DEMOGRAPHICS)


def _enough_people(account: Account, request: _Request) -> None:
    for metric in request.metrics:
        if metric not in DEMOGRAPHICS:
            continue
        if metric != "follower_demographics" and request.timeframe is None:
            raise refusals.parameter_missing("timeframe")
        if people_behind(account, metric) < FEWEST:
            raise refusals.not_enough_users()


def _account_insight(account: Account, metric: str, request: _Request, now: datetime) -> Json:
    head: Json = {"name": metric, "period": request.period}
    tail: Json = {
        "title": title_of(metric, metric_type=request.metric_type),
        "description": description_of(metric),
        "id": f"{account.id}/insights/{metric}/{request.period}",
    }
    days = buckets_ending_in(request.since, request.until)
    if request.metric_type == "total_value":
        value = _total_value(account, metric, request, days, now)
        # Without its breakdown the metric comes without any total_value (recorded).
        return {**head, **tail} if value is None else {**head, **tail, "total_value": value}
    if metric == "online_followers":
        return {**head, "values": [_online(account, day, now) for day in days], **tail}
    span = _SPANS.get(request.period, 1)
    values = [
        {"value": account.total(metric, _ending_on(day, span), now), "end_time": stamp(ends(day))} for day in days
    ]
    return {**head, "values": values, **tail}


def _ending_on(day: date, span: int) -> list[date]:
    return [date.fromordinal(day.toordinal() - back) for back in range(span)]


def _online(account: Account, day: date, now: datetime) -> Json:
    fresh = ends(day) > now - _ONLINE_LAGS
    return {"value": {} if fresh else online_by_hour(account, day), "end_time": stamp(ends(day))}


def _total_value(account: Account, metric: str, request: _Request, days: list[date], now: datetime) -> Json | None:
    if metric in DEMOGRAPHICS:
        if not request.breakdowns:
            return None
        results = demographics(account, metric, request.breakdowns)
        return {"breakdowns": [{"dimension_keys": list(request.breakdowns), "results": results}]}
    if metric == "follows_and_unfollows":
        return _follows(account, days, now) if request.breakdowns else None
    value = account.total(metric, days, now)
    if not request.breakdowns:
        return {"value": value}
    results = _split(account, metric, request.breakdowns, value)
    return {"value": value, "breakdowns": [{"dimension_keys": list(request.breakdowns), "results": results}]}


def _follows(account: Account, days: list[date], now: datetime) -> Json:
    """FOLLOWER are follows, NON_FOLLOWER unfollows; a day younger than 48 hours has no results yet."""
    final = [day for day in days if now - ends(day) >= FINAL_AFTER]
    breakdown: Json = {"dimension_keys": ["follow_type"]}
    if final:
        breakdown["results"] = [
            {"dimension_values": [value], "value": account.total(name, final, now)}
            for value, name in (("FOLLOWER", "follows"), ("NON_FOLLOWER", "unfollows"))
        ]
    return {"breakdowns": [breakdown]}


def _split(account: Account, metric: str, breakdowns: tuple[str, ...], value: int) -> list[Json]:
    """`value` in parts that add up to it, one for each combination; parts of nothing are left out."""
    cells = list(product(*(ACCOUNT_BREAKDOWN_VALUES[name] for name in breakdowns)))
    weights = [between(0.2, 1, account.key, metric, *cell) for cell in cells]
    parts = [int(value * weight / sum(weights)) for weight in weights]
    parts[0] += value - sum(parts)
    return [
        {"dimension_values": list(cell), "value": part} for cell, part in zip(cells, parts, strict=True) if part > 0
    ]


def _paging(account: Account, request: _Request, params: dict[str, str], call: Call) -> Json:
    """Links to the windows before and after: always there, without end (docs/graph_api.md#paging-of-insights)."""
    since, until = int(request.since.timestamp()), int(request.until.timestamp())
    step = until - since if request.given_until and request.given_since else _LINK_STEP
    kept = {name: value for name, value in params.items() if name not in {"limit", "since", "until"}}
    path = f"{account.id}/insights"
    return {
        "previous": call.link(path, {"since": str(since - 1 - step), "until": str(since - 1), **kept}),
        "next": call.link(path, {"since": str(until + 1), "until": str(until + 1 + step), **kept}),
    }


# ---- answers about a post ------------------------------------------------------------------------------------------

# In the vocabulary, but gone for all versions (docs/graph_api.md#removed-metrics), or never an Instagram post's.
_REMOVED = "impressions"
_FEWEST_VIEWERS = 5
_UNDESCRIBED = frozenset({"content_views"})


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
    if breakdown and breakdown not in MEDIA_BREAKDOWNS:
        raise refusals.not_one_of("breakdown[0]", MEDIA_BREAKDOWNS)
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
    return {"data": [_media_insight(post, name, breakdown, now) for name in dict.fromkeys(metrics)]}


def _vocabulary_of(login: Login) -> tuple[str, ...]:
    """The names a login's host accepts.

    The list of graph.instagram.com is not reported anywhere: here it is Facebook's without what only that login has.
    """
    if login == "facebook":
        return MEDIA_METRIC_VOCABULARY
    facebook_only = {name for name, metric in MEDIA_METRICS.items() if metric.facebook_only}
    return tuple(name for name in MEDIA_METRIC_VOCABULARY if name not in facebook_only)


def _has(post: Post, metric: str) -> bool:
    if metric in _UNDESCRIBED:
        return post.product_type != "STORY"
    if post.product_type not in MEDIA_METRICS[metric].product_types:
        return False
    return post.gives_views or metric != "views"


def _media_insight(post: Post, metric: str, breakdown: str | None, now: datetime) -> Json:
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
