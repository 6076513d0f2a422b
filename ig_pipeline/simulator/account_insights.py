"""Answers `/{ig-user-id}/insights`: the values of a checked request in the shapes of facts §1.3.

Which requests are legal is decided in `insight_rules`, what is true in `accounts`.
"""

from datetime import date, datetime, timedelta
from itertools import product

from ig_pipeline.graph_api.catalogue import ACCOUNT_BREAKDOWN_VALUES, ACCOUNT_METRICS, DEMOGRAPHICS, MIN_FOLLOWERS
from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.audience import FEWEST, demographics, online_by_hour, people_behind
from ig_pipeline.simulator.chance import between
from ig_pipeline.simulator.days import SETTLES_AFTER, buckets_ending_in, ends, stamp
from ig_pipeline.simulator.insight_rules import THREADS, InsightRequest, check
from ig_pipeline.simulator.requests import Call, Json
from ig_pipeline.simulator.titles import description_of, title_of
from ig_pipeline.simulator.tokens import Login

_SPANS = {"week": 7, "days_28": 28}
# The last days of online_followers come back empty (facts §1.1).
_ONLINE_LAGS = timedelta(days=2)
# The window of a link, where the caller gave none: a day (recorded).
_LINK_STEP = 86_400


def account_insights(account: Account, params: dict[str, str], call: Call, login: Login) -> Json:
    """`{"data": […], "paging": {…}}` of an insights request. Raises RefusalError."""
    request = check(params, now=call.now, login=login, version=call.version)
    _enough_people(account, request)
    data = [_shown(account, metric, request, call.now) for metric in request.metrics if _exists(account, metric)]
    answer: Json = {"data": data}
    if request.period != "lifetime":
        answer["paging"] = _paging(account, request, params, call)
    return answer


def _exists(account: Account, metric: str) -> bool:
    """Whether the account has the metric at all; what it has not is left out of a 200 without a word (facts §1.2)."""
    if metric in THREADS:
        return False
    few = account.followers_count() < MIN_FOLLOWERS
    return not (few and ACCOUNT_METRICS[metric].min_followers and metric not in DEMOGRAPHICS)


def _enough_people(account: Account, request: InsightRequest) -> None:
    for metric in request.metrics:
        if metric not in DEMOGRAPHICS:
            continue
        if metric != "follower_demographics" and request.timeframe is None:
            raise refusals.parameter_missing("timeframe")
        if people_behind(account, metric) < FEWEST:
            raise refusals.not_enough_users()


def _shown(account: Account, metric: str, request: InsightRequest, now: datetime) -> Json:
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


def _total_value(
    account: Account, metric: str, request: InsightRequest, days: list[date], now: datetime
) -> Json | None:
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
    """FOLLOWER are follows, NON_FOLLOWER unfollows; a day younger than 48 hours has no results yet (facts §1.1)."""
    settled = [day for day in days if now - ends(day) >= SETTLES_AFTER]
    breakdown: Json = {"dimension_keys": ["follow_type"]}
    if settled:
        breakdown["results"] = [
            {"dimension_values": [value], "value": account.total(name, settled, now)}
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


def _paging(account: Account, request: InsightRequest, params: dict[str, str], call: Call) -> Json:
    """Links to the windows before and after: always there, and walking on for ever (recorded, facts §1.2)."""
    since, until = int(request.since.timestamp()), int(request.until.timestamp())
    step = until - since if request.given_until and request.given_since else _LINK_STEP
    kept = {name: value for name, value in params.items() if name not in {"limit", "since", "until"}}
    path = f"{account.id}/insights"
    return {
        "previous": call.link(path, {"since": str(since - 1 - step), "until": str(since - 1), **kept}),
        "next": call.link(path, {"since": str(until + 1), "until": str(until + 1 + step), **kept}),
    }
