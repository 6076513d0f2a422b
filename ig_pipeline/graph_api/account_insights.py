"""Fetches an account's daily insights at the least number of calls (docs/architecture.md#the-calls-budget).

One series call for up to thirty days, one call a day for all totals together.

Asks and hands back values and absences; plans nothing, stores nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_facts import read_facts
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import (
    ACCOUNT_METRICS,
    DEFAULT_SERIES,
    DEFAULT_TOTALS,
    FOLLOWS,
    FOLLOWS_AND_UNFOLLOWS,
    HISTORY_YEARS,
    MIN_FOLLOWERS,
    UNFOLLOWS,
)
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.days import (
    MAX_DAYS_PER_CALL,
    bucket_end,
    days_between,
    instagram_day,
    oldest_day_with_metrics,
    series_window,
    total_value_window,
    windows_of,
)
from ig_pipeline.graph_api.errors import BadRequestError, GraphError, NoDataError
from ig_pipeline.graph_api.insight_values import Number, Point, read_breakdown, read_series, read_totals
from ig_pipeline.graph_api.metric_fallback import (
    Explain,
    Found,
    Metrics,
    ask_for,
    needs_followers,
    silent_absence,
    too_few_followers,
)

# Meta's numbers may lag so long (docs/graph_api.md#when-numbers-are-final); follows and unfollows really do.
SETTLING = timedelta(hours=48)
# How far behind Meta's our clock may be, in days, before what lies at the edge of a history is given up.
_CLOCK_DAYS = 2
NO_ABSENCES: Mapping[str, Absence] = {}


@dataclass(frozen=True)
class Series:
    """`values[metric][day]`; `absences[metric]` says why days of a metric without a value lack it."""

    values: Mapping[str, Mapping[date, Point]]
    absences: Mapping[str, Absence]
    calls: int


@dataclass(frozen=True)
class Totals:
    """`values[metric]` of the one day that ends at `end_time` (UTC); a metric is in `values` or in `absences`."""

    values: Mapping[str, Number]
    absences: Mapping[str, Absence]
    end_time: datetime
    calls: int


async def fetch_series(
    client: GraphClient,
    credentials: Credentials,
    *,
    metrics: Collection[str] = DEFAULT_SERIES,
    first: date,
    last: date,
    skip: Mapping[str, Absence] = NO_ABSENCES,
) -> Series:
    """Daily values of series metrics for the Pacific days `first` to `last`, one call per thirty days.

    `skip`: metrics known to be absent; they are not asked for and handed back as absent. Days before the two years
    the API keeps are not asked for either (`history_limit`). Raises `GraphError`.
    """
    meter = CallMeter()
    memory = client.memory_of(credentials.account_id)
    values: dict[str, dict[date, Point]] = {metric: {} for metric in metrics}
    absences = {m: a for m, a in {**memory.absences("series"), **skip}.items() if m in metrics}
    now = client.clock()
    for start, end in windows_of(max(first, oldest_day_with_metrics(now)), last):
        wanted = tuple(metric for metric in metrics if metric not in absences)
        for begin, names in _by_first_day(wanted, start, end, now=now).items():
            found = await _ask_within_history(client, credentials, names, (begin, end), meter)
            for metric, points in found.values.items():
                values[metric].update({day: point for day, point in points.items() if begin <= day <= end})
            given = [metric for metric, points in found.values.items() if points]
            absences.update(memory.remember("series", found.absences, given=given))
    await _fill_gaps(client, credentials, values, absences, (first, last), meter=meter)
    for metric in metrics:
        gap = None if metric in absences else _gap(metric, values[metric], first, last, now=now)
        if gap is not None:
            absences[metric] = gap
    return Series(values, absences, meter.calls)


async def _fill_gaps(
    client: GraphClient,
    credentials: Credentials,
    values: Mapping[str, dict[date, Point]],
    absences: Mapping[str, Absence],
    days: tuple[date, date],
    *,
    meter: CallMeter,
) -> None:
    """Ask once more for days of a series that an answer left out, though no rule says that they are not there."""
    now = client.clock()
    for metric, points in values.items():
        silent = _silent_days(metric, points, *days, now=now)
        if metric in absences or not points or not silent:
            continue
        found = await _ask_series(client, credentials, (metric,), (silent[0], silent[-1]), meter)
        points.update({day: point for day, point in found.values.get(metric, {}).items() if day in silent})


async def fetch_totals(
    client: GraphClient,
    credentials: Credentials,
    *,
    metrics: Collection[str] = DEFAULT_TOTALS,
    day: date,
    skip: Mapping[str, Absence] = NO_ABSENCES,
) -> Totals:
    """Values of `total_value` metrics for one Pacific day, in one call. Raises `GraphError`.

    The account's first call goes alone: what it learns to be absent, those of other days leave out. A day before the
    two years the API keeps has only absences (`history_limit`), without a call.
    """
    if day < oldest_day_with_metrics(client.clock()):
        return _too_old(metrics, day, calls=0)
    meter = CallMeter()
    memory = client.memory_of(credentials.account_id)

    async def ask(names: Metrics) -> Mapping[str, Number]:
        params = _day_params(names, day)
        return await client.fetch(
            f"{credentials.account_id}/insights", params, credentials=credentials, parse=read_totals, meter=meter
        )

    async with memory.first_alone("totals"):
        known = {m: a for m, a in {**memory.absences("totals"), **skip}.items() if m in metrics}
        try:
            found = await ask_for(
                tuple(metric for metric in metrics if metric not in known),
                ask,
                suspicion=memory.suspicion("totals"),
                explain=explain_by_followers(client, credentials, meter),
            )
        except NoDataError as error:
            _raise_unless_too_old(error, day, client.clock())
            return _too_old(metrics, day, calls=meter.calls)
        told = memory.remember("totals", found.absences, given=found.values)
    return Totals(found.values, {**known, **told}, bucket_end(day), meter.calls)


def explain_by_followers(client: GraphClient, credentials: Credentials, meter: CallMeter) -> Explain:
    """For `ask_for`: of metrics with a threshold, those that the account's number of followers explains.

    The profile is asked; a silence alone says nothing about followers.
    """

    async def explain(metrics: Metrics) -> Mapping[str, Absence]:
        thresholds = [metric for metric in metrics if needs_followers(metric)]
        if not thresholds:
            return {}
        try:
            followers = (await read_facts(client, credentials, meter=meter)).followers
        except GraphError:  # then nothing explains them, and they are asked for again
            return {}
        few = followers is not None and followers < MIN_FOLLOWERS
        return {metric: too_few_followers(metric) for metric in thresholds} if few else {}

    return explain


async def fetch_follows(
    client: GraphClient, credentials: Credentials, *, day: date, skip: Mapping[str, Absence] = NO_ABSENCES
) -> Totals:
    """`follows` and `unfollows` of one Pacific day: a call of its own, for it needs a breakdown.

    See docs/graph_api.md#account-metrics.

    Absent below 100 followers, and `not_settled` until Meta has counted, which takes up to 48 h.
    """
    end = bucket_end(day)
    if day < oldest_day_with_metrics(client.clock()):
        return _too_old((FOLLOWS, UNFOLLOWS), day, calls=0)
    known = skip.get(FOLLOWS_AND_UNFOLLOWS) or client.memory_of(credentials.account_id).absences("follows").get(FOLLOWS)
    if known is not None:
        return Totals({}, {FOLLOWS: known, UNFOLLOWS: known}, end, 0)
    meter = CallMeter()

    async def ask(names: Metrics) -> Mapping[str, Mapping[tuple[str, ...], Number]]:
        params = {**_day_params(names, day), "breakdown": "follow_type"}
        return await client.fetch(
            f"{credentials.account_id}/insights", params, credentials=credentials, parse=_read_follows, meter=meter
        )

    memory = client.memory_of(credentials.account_id)
    async with memory.first_alone("follows"):
        try:
            found = await ask_for(
                (FOLLOWS_AND_UNFOLLOWS,),
                ask,
                suspicion=memory.suspicion("follows"),
                explain=explain_by_followers(client, credentials, meter),
            )
        except NoDataError as error:
            _raise_unless_too_old(error, day, client.clock())
            return _too_old((FOLLOWS, UNFOLLOWS), day, calls=meter.calls)
    if FOLLOWS_AND_UNFOLLOWS in found.absences:
        absence = memory.remember("follows", {FOLLOWS: found.absences[FOLLOWS_AND_UNFOLLOWS]})[FOLLOWS]
        return Totals({}, {FOLLOWS: absence, UNFOLLOWS: absence}, end, meter.calls)
    results = found.values[FOLLOWS_AND_UNFOLLOWS]
    if not results:
        absence = _unsettled(day, client.clock())
        return Totals({}, {FOLLOWS: absence, UNFOLLOWS: absence}, end, meter.calls)
    values = {FOLLOWS: results.get(("FOLLOWER",), 0), UNFOLLOWS: results.get(("NON_FOLLOWER",), 0)}
    return Totals(values, {}, end, meter.calls)


def _too_old(metrics: Collection[str], day: date, *, calls: int) -> Totals:
    """A day of absences: the API keeps nothing of it."""
    why = Absence("history_limit", f"Instagram keeps insights for the last {HISTORY_YEARS} years only; {day} is older.")
    return Totals({}, dict.fromkeys(metrics, why), bucket_end(day), calls)


def _raise_unless_too_old(error: NoDataError, day: date, now: datetime) -> None:
    """Take "older than two years" for a rule only where it is true, give or take the clocks.

    Meta says it of windows in the future as well.
    """
    if error.reason != "history_limit":
        raise error
    if day >= oldest_day_with_metrics(now) + timedelta(days=_CLOCK_DAYS):
        raise BadRequestError(
            f"Meta refuses {day} as outside the last {HISTORY_YEARS} years, which it is not by this machine's clock. "
            "Set the clock by NTP and ask again.",
            origin=error.origin,
        ) from error


def _read_follows(answer: Json) -> dict[str, Mapping[tuple[str, ...], Number]]:
    """Empty without the metric; the metric without results when the day is too fresh to have been counted."""
    results = read_breakdown(answer, FOLLOWS_AND_UNFOLLOWS)
    return {} if results is None else {FOLLOWS_AND_UNFOLLOWS: results}


def _unsettled(day: date, now: datetime) -> Absence:
    if now - bucket_end(day) < SETTLING:
        return Absence("not_settled", f"Instagram has not counted the follows of {day} yet; it takes up to 48 hours.")
    return silent_absence("follows and unfollows")


def _day_params(metrics: Metrics, day: date) -> dict[str, str | int]:
    since, until = total_value_window(day)
    return {
        "metric": ",".join(metrics),
        "period": "day",
        "metric_type": "total_value",
        "since": since,
        "until": until,
    }


async def _ask_within_history(
    client: GraphClient, credentials: Credentials, metrics: Metrics, days: tuple[date, date], meter: CallMeter
) -> Found[dict[date, Point]]:
    """The series of `metrics`; from a day or two later on where Meta finds the first day too old.

    So a clock that is a day behind costs the oldest day of follower_count and not its thirty.
    """
    found = await _ask_series(client, credentials, metrics, days, meter)
    for late in range(1, _CLOCK_DAYS + 1):
        first = days[0] + timedelta(days=late)
        refused = tuple(
            metric
            for metric, absence in found.absences.items()
            if absence.reason == "history_limit" and metric not in found.values
        )
        if not refused or first > days[1]:
            break
        found.values.update((await _ask_series(client, credentials, refused, (first, days[1]), meter)).values)
    return found


async def _ask_series(
    client: GraphClient, credentials: Credentials, metrics: Metrics, days: tuple[date, date], meter: CallMeter
) -> Found[dict[date, Point]]:
    since, until = series_window(*days)

    async def ask(names: Metrics) -> Mapping[str, dict[date, Point]]:
        # No metric_type: follower_count refuses it on some hosts, and reach needs none
        # (docs/graph_api.md#account-metrics).
        params: dict[str, str | int] = {"metric": ",".join(names), "period": "day", "since": since, "until": until}
        return await client.fetch(
            f"{credentials.account_id}/insights", params, credentials=credentials, parse=read_series, meter=meter
        )

    memory = client.memory_of(credentials.account_id)
    explain = explain_by_followers(client, credentials, meter)
    try:
        return await ask_for(metrics, ask, suspicion=memory.suspicion("series"), explain=explain)
    except NoDataError as error:
        _raise_unless_too_old(error, days[0], client.clock())
        return Found(absences=dict(_too_old(metrics, days[0], calls=0).absences))


def _oldest_day(metric: str, now: datetime) -> date:
    """The oldest day the API keeps of `metric`."""
    kept = ACCOUNT_METRICS[metric].history_days if metric in ACCOUNT_METRICS else None
    edge = oldest_day_with_metrics(now)
    return edge if kept is None else max(edge, instagram_day(now) - timedelta(days=kept))


def _by_first_day(metrics: Metrics, start: date, end: date, *, now: datetime) -> dict[date, Metrics]:
    """`metrics` grouped by the first day of `start` to `end` the API still has of them; those without one left out."""
    groups: dict[date, Metrics] = defaultdict(tuple)
    for metric in metrics:
        begin = max(start, _oldest_day(metric, now))
        if begin <= end:
            groups[begin] += (metric,)
    return groups


def _silent_days(metric: str, points: Collection[date], first: date, last: date, *, now: datetime) -> list[date]:
    """The days of `first` to `last` that are not among `points` though the API still has them; at most one window."""
    silent = [day for day in days_between(max(first, _oldest_day(metric, now)), last) if day not in points]
    return [day for day in silent if silent[-1] - day < timedelta(days=MAX_DAYS_PER_CALL)]


def _gap(metric: str, points: Collection[date], first: date, last: date, *, now: datetime) -> Absence | None:
    """Why days of `first` to `last` are not among `points`; None when none is missing."""
    missing = [day for day in days_between(first, last) if day not in points]
    if not missing:
        return None
    silent = _silent_days(metric, points, first, last, now=now)
    if not silent:
        kept = ACCOUNT_METRICS[metric].history_days if metric in ACCOUNT_METRICS else None
        span = f"{HISTORY_YEARS} years" if kept is None else f"{kept} days"
        return Absence(
            "history_limit", f"Instagram keeps {metric} for the last {span} only; asked for {missing[0]} on."
        )
    return Absence("silently_missing", f"Instagram answered without {metric} for {len(silent)} days from {silent[0]}.")
