"""What an account-insights request may ask for, in the order in which the API refuses (facts §1.1-1.4, recordings).

Turns parameters into a checked `InsightRequest` or raises; computing values is `account_insights`' part.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ig_pipeline.graph_api.catalogue import (
    ACCOUNT_METRIC_VOCABULARY,
    ACCOUNT_METRICS,
    DEMOGRAPHIC_BREAKDOWNS,
    DEMOGRAPHIC_TIMEFRAMES,
    DEMOGRAPHICS,
    FOLLOWER_COUNT_DAYS,
)
from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.days import day_of, starts, years_before
from ig_pipeline.simulator.requests import instant_in, names_in
from ig_pipeline.simulator.tokens import Login

PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")
METRIC_TYPES = ("default", "time_series", "total_value")
# In the order of the API's own list (reported live), which has no `follower_type`.
BREAKDOWNS = (*DEMOGRAPHIC_BREAKDOWNS, "follow_type", "media_product_type", "contact_button_type")
LONGEST = timedelta(seconds=2_592_000)
# Metrics of Threads are in the vocabulary, but an Instagram account has nothing to show for them.
THREADS = frozenset(ACCOUNT_METRIC_VOCABULARY) - frozenset(ACCOUNT_METRICS)
# `impressions` was refused with a wording of its own until it was removed for all versions (facts §1.1).
_IMPRESSIONS_GONE = (2025, 4, 21)


@dataclass(frozen=True)
class InsightRequest:
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


def check(params: dict[str, str], *, now: datetime, login: Login, version: str) -> InsightRequest:
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
    return InsightRequest(
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
    wrong = [name for name in metrics if name not in THREADS and period not in _periods_of(name)]
    if wrong:
        raise refusals.incompatible_period(wrong, period)


def _periods_of(name: str) -> tuple[str, ...]:
    if name == "reach":
        return ("day", "week", "days_28")
    return (ACCOUNT_METRICS[name].period,)


def _right_breakdowns(metrics: list[str], breakdowns: list[str], metric_type: str, *, login: Login) -> None:
    for place, name in enumerate(breakdowns):
        if name not in BREAKDOWNS:
            raise refusals.not_one_of(f"breakdown[{place}]", BREAKDOWNS)
    for metric in metrics:
        wrong = [name for name in breakdowns if name not in _breakdowns_of(metric)]
        if wrong and metric_type == "total_value":
            if login == "instagram":
                raise refusals.incompatible_breakdown(",".join(wrong), metric)
            raise refusals.unknown_error()


def _breakdowns_of(metric: str) -> tuple[str, ...]:
    return BREAKDOWNS if metric in THREADS else ACCOUNT_METRICS[metric].breakdowns


def _range(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Both ends; left out, `until` is now and `since` a day before it (facts §1.2)."""
    end = until or now
    begin = since or end - timedelta(days=1)
    if begin > end:
        raise refusals.RefusalError("Parameter since must be earlier than until", code=100)
    if end - begin > LONGEST:
        raise refusals.too_long_range()
    return begin, end


def _within_history(metrics: list[str], since: datetime, now: datetime) -> None:
    """Everything goes back two years to the second, `follower_count` thirty days before today, to the very midnight."""
    if since < years_before(now, 2):
        raise refusals.too_old()
    if "follower_count" in metrics:
        today = day_of(now)
        if since < starts(today) - timedelta(days=FOLLOWER_COUNT_DAYS):
            raise refusals.follower_count_too_old()


def is_demographic(metric: str) -> bool:
    """Whether a metric describes people instead of counting what they did."""
    return metric in DEMOGRAPHICS
