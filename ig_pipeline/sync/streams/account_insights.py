"""Fills `instagram_insights`: one series call for a whole range, one call of totals per day.

See docs/architecture.md#the-calls-budget.

Yields a result per day; a written day is committed with its ledger row before it is yielded.
Failed and deferred days are only reported: the engine decides about a second try and writes them down.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_insights import Series, Totals, fetch_follows, fetch_series, fetch_totals
from ig_pipeline.graph_api.catalogue import DEFAULT_SERIES, DEFAULT_TOTALS
from ig_pipeline.graph_api.days import bucket_end, instagram_day
from ig_pipeline.graph_api.errors import AmbiguousRefusalError, GraphError, PermissionMissingError
from ig_pipeline.graph_api.versions import version_warning
from ig_pipeline.meta import advice_on
from ig_pipeline.settings import Settings
from ig_pipeline.storage import insights
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.absence_memory import NOTHING, Memory
from ig_pipeline.sync.registry import DataCheck, Finding, Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, cancelled

ASSET = "account_insights"

# Totals calls begun at once for an account; the client lets four of them on the wire. A few more would only be
# refused together when the account is throttled.
DAYS_AT_ONCE = 6


@dataclass(frozen=True)
class _Range:
    """What the days of a range share: their series, when it was observed (UTC), and what earlier runs learnt."""

    series: Series
    observed_at: datetime
    memory: Memory


@dataclass(frozen=True)
class _DayValues:
    """One day's totals, when they were observed (UTC), and the calls booked on the day."""

    day: date
    totals: Totals
    observed_at: datetime
    calls: int


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    """A result for each of `days` (at most 30 apart), in the order they are finished, roughly oldest first.

    Oldest first, because what a rate limit leaves for later should be what the API keeps longest.
    """
    shared = await _read_range(session, days)
    gate = asyncio.Semaphore(DAYS_AT_ONCE)
    ordered = sorted(days)

    async def fill(day: date) -> AccountDayResult:
        async with gate:
            # The series call is booked on the first day of its range.
            return await _fill_day(session, shared, day, extra_calls=shared.series.calls if day == ordered[0] else 0)

    tasks = [asyncio.create_task(fill(day)) for day in ordered]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        await cancelled(*tasks)


async def _read_range(session: AccountSession, days: Sequence[date]) -> _Range:
    memory = NOTHING
    if not session.asks_everything:
        memory = await session.read(lambda db: absence_memory.recall(db, session.connection, now=session.now()))
    observed_at = session.now()
    series = await session.ask(
        lambda credentials: fetch_series(
            session.client, credentials, metrics=DEFAULT_SERIES, first=min(days), last=max(days), skip=memory.known
        )
    )
    return _Range(series, observed_at, memory)


async def _fill_day(session: AccountSession, shared: _Range, day: date, *, extra_calls: int) -> AccountDayResult:
    observed_at = session.now()
    try:
        totals = await _read_totals(session, shared, day)
        values = _DayValues(day, totals, observed_at, totals.calls + extra_calls)
        return await session.write(lambda db: _store(db, session, shared, values))
    except PermissionMissingError as error:
        return session.lost(_doubted(error, shared), ASSET, [day])[0]
    except (GraphError, WriteMismatchError) as error:
        return session.lost(error, ASSET, [day])[0]


def _doubted(error: PermissionMissingError, shared: _Range) -> GraphError:
    """`error` as it is meant when the same permission has just opened the series of the range."""
    if not any(shared.series.values.values()):
        return error
    return AmbiguousRefusalError(
        f"Meta refuses by a permission that it has just accepted: {error}", origin=error.origin
    )


async def _read_totals(session: AccountSession, shared: _Range, day: date) -> Totals:
    known = shared.memory.known
    totals = await session.ask(
        lambda credentials: fetch_totals(session.client, credentials, metrics=DEFAULT_TOTALS, day=day, skip=known)
    )
    if not session.settings.follows_and_unfollows:
        return totals
    follows = await session.ask(lambda credentials: fetch_follows(session.client, credentials, day=day, skip=known))
    return Totals(
        {**totals.values, **follows.values},
        {**totals.absences, **follows.absences},
        totals.end_time,
        totals.calls + follows.calls,
    )


def _series_absences(series: Series, day: date) -> dict[str, Absence]:
    """Why series metrics have no value on `day`."""
    missing = (metric for metric, points in series.values.items() if day not in points)
    return {
        metric: series.absences.get(metric)
        or Absence("silently_missing", f"Instagram answered without {metric} for {day}.")
        for metric in missing
    }


def _store(db: sa.Connection, session: AccountSession, shared: _Range, day: _DayValues) -> AccountDayResult:
    """The day's rows, what it taught about absences, and its ledger row, in the caller's transaction."""
    connection = session.connection
    series = {metric: points[day.day].value for metric, points in shared.series.values.items() if day.day in points}
    rows = [
        {
            "u_id": connection.u_id,
            "account_id": connection.account_id,
            "metric": metric,
            "end_time": bucket_end(day.day),
            "date": day.day,
            "value": value,
            "metric_type": metric_type,
            "observed_at": observed_at,
        }
        for metric_type, observed_at, found in (
            ("time_series", shared.observed_at, series),
            ("total_value", day.observed_at, day.totals.values),
        )
        for metric, value in found.items()
    ]
    found = {**_series_absences(shared.series, day.day), **day.totals.absences}
    absences = absence_memory.judged(found, shared.memory, now=session.now())
    # In one order everywhere: two runs over the same cells must not wait for each other's rows crosswise.
    written = insights.save(db, sorted(rows, key=lambda row: str(row["metric"])))
    values = {**series, **day.totals.values}
    _remember(db, session, shared, absences, given=values)
    return session.recorded(
        db,
        ASSET,
        day.day,
        rows=written.sent,
        calls=day.calls,
        values=values,
        absences=absences,
        lacking=_lacking(db, connection, day.day, absences),
        started_at=day.observed_at,
    )


def _remember(
    db: sa.Connection,
    session: AccountSession,
    shared: _Range,
    absences: Mapping[str, Absence],
    *,
    given: Collection[str],
) -> None:
    """Keep rules. A refusal without one is noted only when no day of this run had the metric: it is the account's."""
    totals = session.client.memory_of(session.connection.account_id).suspicion("totals")
    kept = {m: a for m, a in absences.items() if a.reason != "refused" or totals.has_given_up(m)}
    absence_memory.remember(db, session.connection, kept, memory=shared.memory, now=session.now(), given=given)


def _lacking(db: sa.Connection, connection: Connection, day: date, absences: Mapping[str, Absence]) -> set[str]:
    """The metrics whose absence no rule explains, without those an earlier attempt has brought."""
    unexplained = {metric for metric, absence in absences.items() if not absence.is_explained}
    if unexplained:
        unexplained -= insights.values_of(db, connection.u_id, connection.account_id, day).keys()
    return unexplained


def _graph_version_is_served(_: sa.Connection, settings: Settings, now: datetime) -> Finding:
    warning = version_warning(settings.graph_version, instagram_day(now))
    good = f"{settings.graph_version} is served for at least 90 more days."
    return Finding(int(warning is not None), good, f"{warning.sentence} {advice_on(warning)}" if warning else "")


STREAM = Stream(
    name=ASSET,
    description=(
        "What Instagram counted for the account on this day: reach, new followers, views, profile visits and the "
        "other metrics of the catalogue. Numbers settle for up to 48 hours."
    ),
    tables=("instagram_insights",),
    grain="account-day",
    schedule="nightly_sync",
    fetch=_fetch,
    counts=("value",),
    checks=(
        DataCheck(
            "graph_version_is_served",
            "Meta goes on serving the Graph API version we ask for.",
            _graph_version_is_served,
        ),
    ),
)
