"""Who an account's followers and audience are: demographics by country, city, age and gender, and the hours online.

Lifetime snapshots with rules of their own (docs/graph_api.md#demographics-and-followers-online): top 45 values only,
nothing below 100 people.
Fetches and hands back; how often to ask is a schedule's business.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_insights import NO_ABSENCES, explain_by_followers
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import (
    ACCOUNT_METRICS,
    DEMOGRAPHIC_BREAKDOWNS,
    DEMOGRAPHICS,
    FOLLOWER_DEMOGRAPHICS,
    ONLINE_FOLLOWERS,
)
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.days import days_between, instagram_day, series_window, windows_of
from ig_pipeline.graph_api.insight_values import Number, read_breakdown, read_parts
from ig_pipeline.graph_api.metric_fallback import Found, Metrics, ask_for

# The newest two days come back empty.
_COUNTED_AFTER = timedelta(days=2)
_HOURS = frozenset(map(str, range(24)))


@dataclass(frozen=True)
class Demographics:
    """`values[metric, breakdown]`: people by value of the breakdown, e.g. `{"US": 120}`; `absences` by metric."""

    values: Mapping[tuple[str, str], Mapping[str, Number]]
    absences: Mapping[str, Absence]
    calls: int


@dataclass(frozen=True)
class OnlineFollowers:
    """`values[day][hour]`: followers online in an hour (0 to 23, as Meta counts them) of a Pacific day."""

    values: Mapping[date, Mapping[int, Number]]
    absences: Mapping[str, Absence]
    calls: int


async def fetch_demographics(
    client: GraphClient,
    credentials: Credentials,
    *,
    metrics: Collection[str] = DEMOGRAPHICS,
    breakdowns: Collection[str] = DEMOGRAPHIC_BREAKDOWNS,
    timeframe: str = "this_month",
    skip: Mapping[str, Absence] = NO_ABSENCES,
) -> Demographics:
    """Two calls per breakdown; a metric that a rule denies in one breakdown is not asked for in the others.

    `timeframe` is what engaged and reached audiences are counted over; followers are those of now, and their call
    goes without one. Raises `GraphError`.
    """
    meter = CallMeter()
    absences = {metric: absence for metric, absence in skip.items() if metric in metrics}
    unexplained: dict[str, Absence] = {}
    values: dict[tuple[str, str], Mapping[str, Number]] = {}
    of_now = [metric for metric in metrics if metric == FOLLOWER_DEMOGRAPHICS]
    of_a_time = [metric for metric in metrics if metric != FOLLOWER_DEMOGRAPHICS]
    for breakdown in breakdowns:
        for group, more in ((of_now, {}), (of_a_time, {"timeframe": timeframe})):
            wanted = tuple(metric for metric in group if metric not in absences)
            found = await _ask_demographics(client, credentials, wanted, {"breakdown": breakdown, **more}, meter)
            values.update({(metric, breakdown): people for metric, people in found.values.items()})
            absences.update({metric: absence for metric, absence in found.absences.items() if absence.is_explained})
            unexplained.update({m: absence for m, absence in found.absences.items() if not absence.is_explained})
    return Demographics(values, {**unexplained, **absences}, meter.calls)


async def _ask_demographics(
    client: GraphClient, credentials: Credentials, metrics: Metrics, params: Mapping[str, str], meter: CallMeter
) -> Found[Mapping[str, Number]]:
    async def ask(names: Metrics) -> dict[str, Mapping[str, Number]]:
        def parse(answer: Json) -> dict[str, Mapping[str, Number]]:
            results = {name: read_breakdown(answer, name) for name in names}
            return {name: _by_value(found) for name, found in results.items() if found is not None}

        asked = {"metric": ",".join(names), "period": "lifetime", "metric_type": "total_value", **params}
        return await client.fetch(
            f"{credentials.account_id}/insights", asked, credentials=credentials, parse=parse, meter=meter
        )

    return await ask_for(metrics, ask, explain=explain_by_followers(client, credentials, meter))


async def fetch_online_followers(
    client: GraphClient,
    credentials: Credentials,
    *,
    first: date,
    last: date,
    skip: Mapping[str, Absence] = NO_ABSENCES,
) -> OnlineFollowers:
    """Followers online by hour for the Pacific days `first` to `last`, of which the API keeps thirty.

    The newest two days come back empty (docs/graph_api.md#demographics-and-followers-online): those are not settled,
    not zero. Raises `GraphError`.
    """
    if ONLINE_FOLLOWERS in skip:
        return OnlineFollowers({}, {ONLINE_FOLLOWERS: skip[ONLINE_FOLLOWERS]}, 0)
    meter = CallMeter()
    oldest = instagram_day(client.clock()) - timedelta(days=ACCOUNT_METRICS[ONLINE_FOLLOWERS].history_days or 0)
    values: dict[date, Mapping[int, Number]] = {}
    for window in windows_of(max(first, oldest), last):
        since, until = series_window(*window)

        async def ask(
            names: Metrics, since: int = since, until: int = until
        ) -> dict[str, dict[date, dict[str, Number]]]:
            params: dict[str, str | int] = {"metric": names[0], "period": "lifetime", "since": since, "until": until}
            return await client.fetch(
                f"{credentials.account_id}/insights", params, credentials=credentials, parse=read_parts, meter=meter
            )

        found = await ask_for((ONLINE_FOLLOWERS,), ask, explain=explain_by_followers(client, credentials, meter))
        if found.absences:
            return OnlineFollowers(values, found.absences, meter.calls)
        days = found.values[ONLINE_FOLLOWERS]
        for day, hours in days.items():
            if hours and window[0] <= day <= window[1]:
                values[day] = {int(hour): people for hour, people in hours.items() if hour in _HOURS}
    return OnlineFollowers(values, _days_missing(values, first, last, oldest), meter.calls)


def _days_missing(values: Collection[date], first: date, last: date, oldest: date) -> dict[str, Absence]:
    """Why days lack their hours. One that is neither too old nor too fresh was left out without a reason."""
    missing = [day for day in days_between(first, last) if day not in values]
    if not missing:
        return {}
    silent = [day for day in missing if oldest <= day <= last - _COUNTED_AFTER]
    if silent:
        sentence = f"Instagram answered without the followers online of {len(silent)} days from {silent[0]}."
        return {ONLINE_FOLLOWERS: Absence("silently_missing", sentence)}
    if missing[-1] < oldest:
        return {
            ONLINE_FOLLOWERS: Absence("history_limit", "Instagram keeps followers online for the last 30 days only.")
        }
    return {
        ONLINE_FOLLOWERS: Absence(
            "not_settled", f"Instagram has not counted {len(missing)} of the days from {missing[0]} yet."
        )
    }


def _by_value(results: Mapping[tuple[str, ...], Number]) -> dict[str, Number]:
    return {", ".join(names): people for names, people in results.items()}
