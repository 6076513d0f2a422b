"""Writes down what became of cells: the ledger's rows, and the requests that bring deferred cells back.

Everything here happens in the caller's transaction, together with the rows the ledger speaks of.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.plan import stretches
from ig_pipeline.sync.results import ASSETS, AccountDayResult

# Four calls of an account are on the wire when it is throttled, and the last of them may pass where the first did not.
# A request is a range (facts/dagster.md §2): three days fetched again cost less than a run of its own per gap.
GAP = 3


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
    if not deferred:
        return
    not_before = max(result.retry_at for result in deferred if result.retry_at is not None)
    for window in stretches((result.date for result in deferred), bridging=GAP):
        days = window.days
        assets = {result.asset for result in deferred if result.date in days}
        sync_requests.enqueue(
            db,
            kind="insights",
            account_key=connection.account_key,
            first=window.first,
            last=window.last,
            requested_by="rate_limit",
            reason=deferred[0].error or "rate limit",
            options={"assets": [asset for asset in ASSETS if asset in assets]},
            not_before=not_before,
            dedupe=f"deferred:{run_id}:{connection.account_key}:{window.first}:{window.last}",
            now=now,
        )
