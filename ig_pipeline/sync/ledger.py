"""Records what became of cells, in the caller's transaction, together with the rows the ledger speaks of."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.storage import sync_logs
from ig_pipeline.sync.results import AccountDayResult


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
                "lacking": list(result.lacking),
                "error_type": result.error_type,
                "error_message": result.error,
                "is_retryable": result.is_retryable,
                "actor": result.actor,
                "started_at": started_at,
                "finished_at": finished_at,
            }
            for result in results
            if result.u_id is not None
        ],
    )
