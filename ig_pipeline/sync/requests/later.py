"""Asking for work later: what a rate limit kept back, what failed temporarily, what an answer left out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.days import bucket_end
from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.sync_requests import QUEUED
from ig_pipeline.sync.plan import Window, stretches
from ig_pipeline.sync.registry import with_derived
from ig_pipeline.sync.requests.asking import Kind, enqueue
from ig_pipeline.sync.results import AccountDayResult

# Four calls of an account are on the wire when it is throttled, and the last of them may pass where the first did not.
# A request is a range (docs/dagster.md#backfill-policy-and-multi-partitions): three days fetched again cost less than
# a run of its own per gap.
GAP = 3

BACKOFF = (timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6))
"""Before the second, third, fourth and last attempt at a cell that failed temporarily, or at a run that died.

Nearly nine hours in all: Meta's outage of October 2021 took seven. Dagster's own retry of a run has no delay and would
have given up in the first minute.
"""

# What was left out of an answer without a reason: soon once more, then at doubling distances while Meta keeps it.
PARTIAL_BACKOFF = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
# Account metrics and insights of posts end after two years; asking for a whole one takes some ten attempts.
OBTAINABLE = timedelta(days=730)

# Failures older than this are of another outage: their attempts are not held against a cell any more.
REMEMBERED = timedelta(hours=24)
# Attempts begin on full five minutes, so that the accounts an outage has struck one after the other share runs.
SLOT = timedelta(minutes=5)
RETRY = "retry"
"""`requested_by` of these attempts."""


def defer(
    db: sa.Connection, connection: Connection, results: Sequence[AccountDayResult], *, run_id: str, now: datetime
) -> None:
    """One request per stretch of deferred days, not before the limit has passed; the days that are done stay out."""
    deferred = [result for result in results if result.status == "deferred" and result.retry_at is not None]
    for window in stretches((result.date for result in deferred), bridging=GAP):
        continue_later(
            db,
            connection,
            window,
            kind="insights",
            reason=deferred[0].error,
            options=_assets_within(deferred, window),
            not_before=max(result.retry_at for result in deferred if result.retry_at is not None),
            run_id=run_id,
            now=now,
        )


def continue_later(
    db: sa.Connection,
    connection: Connection,
    window: Window,
    *,
    kind: Kind,
    reason: str | None,
    options: Mapping[str, Any],
    not_before: datetime | None,
    run_id: str,
    now: datetime,
) -> None:
    """A request for what a rate limit kept back from the run `run_id`, once however often the run writes it."""
    enqueue(
        db,
        connection,
        window,
        kind=kind,
        by="rate_limit",
        reason=reason or "rate limit",
        options=options,
        not_before=not_before,
        dedupe=f"deferred:{kind}:{run_id}:{connection.account_key}:{window.first}:{window.last}",
        now=now,
    )


def try_again(
    db: sa.Connection,
    connection: Connection,
    results: Sequence[AccountDayResult],
    *,
    run_id: str,
    now: datetime,
    kind: Kind = "insights",
) -> list[AccountDayResult]:
    """`results`, those worth another attempt with its time, which is asked for here.

    `kind`: of the requests, and of all `results`. A cell that failed temporarily is tried once more after each wait of
    `BACKOFF`; then it stays as it is, and its sentence says so. A partial one is asked for again while its numbers can
    still be had. Days that wait for an attempt already, because another run came to the same, are not asked for twice.
    """
    retryable = [result for result in results if result.is_retryable or result.status == "partial"]
    if not retryable:
        return list(results)
    tried = _attempts(db, connection, retryable, run_id=run_id, now=now)
    next_at = _waiting(db, connection, retryable, kind=kind, now=now)
    due: dict[tuple[timedelta, int], list[date]] = {}
    for day, attempts in tried.items():
        if (wait := _wait(attempts, day, now=now)) is not None:
            due.setdefault((wait, attempts.number), []).append(day)
    for (wait, number), days in sorted(due.items()):
        # A gap that an earlier window bridged is asked for already.
        for window in stretches((day for day in days if day not in next_at), bridging=GAP):
            request = enqueue(
                db,
                connection,
                window,
                kind=kind,
                by=RETRY,
                reason=_reason(retryable, window),
                options=_assets_within(retryable, window),
                not_before=_slot(now + wait),
                dedupe=f"retry:{kind}:{connection.account_key}:{window.first}:{window.last}:{number}",
                now=now,
            )
            next_at |= dict.fromkeys(window.days, request.not_before)
    return [_told(result, next_at, tried) for result in results]


@dataclass(frozen=True)
class _Attempts:
    """How often a day was tried, this time included, and whether it failed or is partial."""

    number: int
    is_partial: bool


def _wait(attempts: _Attempts, day: date, *, now: datetime) -> timedelta | None:
    """How long until the next attempt; None when there is no use in one."""
    if not attempts.is_partial:
        return BACKOFF[attempts.number - 1] if attempts.number <= len(BACKOFF) else None
    beyond = attempts.number - len(PARTIAL_BACKOFF)
    wait = PARTIAL_BACKOFF[attempts.number - 1] if beyond <= 0 else PARTIAL_BACKOFF[-1] * 2**beyond
    return wait if now + wait - bucket_end(day) < OBTAINABLE else None


def _waiting(
    db: sa.Connection, connection: Connection, retryable: Sequence[AccountDayResult], *, kind: Kind, now: datetime
) -> dict[date, datetime]:
    """Days of which all such cells wait for a later attempt already, and when it is due.

    A request whose time has come may be the one that this very run answers.
    """
    wanted: dict[date, set[str]] = {}
    for result in retryable:
        wanted.setdefault(result.date, set()).add(result.asset)
    found: dict[date, datetime] = {}
    for request in sync_requests.unfinished_of(db, connection.account_key, kind=kind, requested_by=RETRY):
        if request.status != QUEUED or request.not_before <= now:
            continue
        for day in Window(request.first, request.last).days:
            if wanted.get(day, set()) <= set(request.options["assets"]):
                found[day] = request.not_before
    return found


def _attempts(
    db: sa.Connection, connection: Connection, retryable: Sequence[AccountDayResult], *, run_id: str, now: datetime
) -> dict[date, _Attempts]:
    """Day → how often it was tried; of its assets the one that failed, or the one that was tried most often, counts."""
    days = [result.date for result in retryable]
    before = sync_logs.attempts(
        db, connection, first=min(days), last=max(days), failed_since=now - REMEMBERED, but=run_id
    )
    tried: dict[date, _Attempts] = {}
    for result in retryable:
        partial = result.status == "partial"
        number = before.get((result.asset, result.date, result.status), 0) + 1
        known = tried.get(result.date)
        if known is None or (known.is_partial, -known.number) > (partial, -number):
            tried[result.date] = _Attempts(number, partial)
    return tried


def _told(
    result: AccountDayResult, next_at: Mapping[date, datetime], tried: Mapping[date, _Attempts]
) -> AccountDayResult:
    at = next_at.get(result.date)
    if result.status == "partial":
        return replace(result, retry_at=at)
    if not result.is_retryable:
        return result
    if at is None:
        after = f"Tried {tried[result.date].number} times in vain; ask for it again when Meta answers."
    else:
        after = f"Its next attempt is due at {at:%Y-%m-%d %H:%M} UTC."
    return replace(result, error=f"{result.error} {after}", retry_at=at)


def _reason(retryable: Iterable[AccountDayResult], window: Window) -> str:
    """Why the days of `window` are asked for again, for people."""
    first = next(result for result in retryable if result.date in window.days)
    return first.error or f"Instagram answered without {', '.join(first.lacking)}."


def _assets_within(results: Iterable[AccountDayResult], window: Window) -> dict[str, list[str]]:
    """The option that names the assets which lack days of `window`."""
    lacking = {result.asset for result in results if window.first <= result.date <= window.last}
    return {"assets": with_derived(lacking)}  # what is made of them is made again from what comes now


def _slot(at: datetime) -> datetime:
    """`at`, or the next full five minutes after it."""
    return at + (datetime.min.replace(tzinfo=UTC) - at) % SLOT
