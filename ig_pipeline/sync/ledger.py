"""Writes down what became of cells: the ledger's rows, and the requests that bring back what may pass.

Everything here happens in the caller's transaction, together with the rows the ledger speaks of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.failures import PASSING, may_pass
from ig_pipeline.sync.plan import Window, stretches
from ig_pipeline.sync.results import ASSETS, AccountDayResult

# Four calls of an account are on the wire when it is throttled, and the last of them may pass where the first did not.
# A request is a range (facts/dagster.md §2): three days fetched again cost less than a run of its own per gap.
GAP = 3

PAUSES = (timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6))
"""Before the second, third, fourth and last attempt at a cell that failed for a moment's reason.

Nearly nine hours in all: Meta's outage of October 2021 took seven. Dagster's own retry of a run has no pause and would
have given up in the first minute.
"""

# Failures older than this are of another outage: their attempts are not held against a cell any more.
REMEMBERED = timedelta(hours=24)
# Attempts begin on full five minutes, so that the accounts an outage has struck one after the other share runs.
SLOT = timedelta(minutes=5)
RETRY = "retry"
"""`requested_by` of these attempts."""


def record(
    db: sa.Connection, results: Sequence[AccountDayResult], *, run_id: str, started_at: datetime, finished_at: datetime
) -> None:
    """One ledger row per result of an account that is known; the same cell in the same run again replaces it."""
    sync_logs.record(
        db,
        [
            {
                "u_id": result.u_id,
                "account_id": result.account_id,
                "account_key": result.account_key,
                "asset": result.asset,
                "date": result.date,
                "run_id": run_id,
                "status": result.status,
                "rows": result.rows,
                "calls": result.calls,
                "absences": dict(result.absences),
                "error_type": result.error_type,
                "error_message": result.error,
                "started_at": started_at,
                "finished_at": finished_at,
            }
            for result in results
            if result.u_id is not None
        ],
    )


def defer(
    db: sa.Connection, connection: Connection, results: Sequence[AccountDayResult], *, run_id: str, now: datetime
) -> None:
    """One request per stretch of deferred days, not before the limit has passed; the days that are done stay out."""
    deferred = [result for result in results if result.status == "deferred" and result.retry_at is not None]
    for window in stretches((result.date for result in deferred), bridging=GAP):
        sync_requests.enqueue(
            db,
            kind="insights",
            account_key=connection.account_key,
            first=window.first,
            last=window.last,
            requested_by="rate_limit",
            reason=deferred[0].error or "rate limit",
            options=_assets_within(deferred, window),
            not_before=max(result.retry_at for result in deferred if result.retry_at is not None),
            dedupe=f"deferred:{run_id}:{connection.account_key}:{window.first}:{window.last}",
            now=now,
        )


def try_again(
    db: sa.Connection,
    connection: Connection,
    results: Sequence[AccountDayResult],
    *,
    run_id: str,
    now: datetime,
    kind: Literal["insights", "media_files"] = "insights",
) -> list[AccountDayResult]:
    """`results`, those that failed for a moment's reason with the time of their next attempt, which is asked for here.

    `kind`: of the requests, and of all `results`. A cell is tried once more after each of `PAUSES`; then it stays as
    it is, and its sentence says so. Days that wait for an attempt already, because another run failed on them too, are
    not asked for twice.
    """
    passing = [result for result in results if may_pass(result)]
    if not passing:
        return list(results)
    tried = _attempts(db, connection, passing, run_id=run_id, now=now)
    next_at = _waiting(db, connection, passing, now=now)
    for attempt, pause in enumerate(PAUSES, start=1):
        days = [day for day, number in tried.items() if number == attempt and day not in next_at]
        for window in stretches(days, bridging=GAP):
            request = sync_requests.enqueue(
                db,
                kind=kind,
                account_key=connection.account_key,
                first=window.first,
                last=window.last,
                requested_by=RETRY,
                reason=next(result.error or "" for result in passing if result.date in window.days),
                options=_assets_within(passing, window),
                not_before=_slot(now + pause),
                dedupe=f"retry:{kind}:{connection.account_key}:{window.first}:{window.last}:{attempt}",
                now=now,
            )
            next_at |= dict.fromkeys(window.days, request.not_before)
    return [_told(result, next_at, tried) if may_pass(result) else result for result in results]


def _waiting(
    db: sa.Connection, connection: Connection, passing: Sequence[AccountDayResult], *, now: datetime
) -> dict[date, datetime]:
    """Days whose lost cells all wait for a later attempt already, and when it is.

    A request whose time has come may be the one that this very run answers, if the sensor has not marked it yet.
    """
    lacking: dict[date, set[str]] = {}
    for result in passing:
        lacking.setdefault(result.date, set()).add(result.asset)
    found: dict[date, datetime] = {}
    for request in sync_requests.queued_for(db, connection.account_key, requested_by=RETRY):
        for day in Window(request.first, request.last).days if request.not_before > now else ():
            if lacking.get(day, set()) <= set(request.options["assets"]):
                found[day] = request.not_before
    return found


def _attempts(
    db: sa.Connection, connection: Connection, passing: Sequence[AccountDayResult], *, run_id: str, now: datetime
) -> dict[date, int]:
    """Day → how often it has failed so, this time included; the asset that failed most often counts."""
    days = [result.date for result in passing]
    before = sync_logs.failed_runs(
        db, connection, error_types=PASSING, first=min(days), last=max(days), since=now - REMEMBERED, but=run_id
    )
    tried: dict[date, int] = {}
    for result in passing:
        tried[result.date] = max(tried.get(result.date, 0), before.get((result.asset, result.date), 0) + 1)
    return tried


def _told(result: AccountDayResult, next_at: dict[date, datetime], tried: dict[date, int]) -> AccountDayResult:
    at = next_at.get(result.date)
    if at is None:
        after = f"Tried {tried[result.date]} times in vain; ask for it again when Meta answers."
    else:
        after = f"It is tried again by itself at {at:%Y-%m-%d %H:%M} UTC."
    return replace(result, error=f"{result.error} {after}", retry_at=at)


def _assets_within(results: Iterable[AccountDayResult], window: Window) -> dict[str, list[str]]:
    """The option that names the assets which lack days of `window`."""
    lacking = {result.asset for result in results if window.first <= result.date <= window.last}
    return {"assets": [asset for asset in (*ASSETS, "media_files") if asset in lacking]}


def _slot(at: datetime) -> datetime:
    """`at`, or the next full five minutes after it."""
    return at + (datetime.min.replace(tzinfo=UTC) - at) % SLOT
