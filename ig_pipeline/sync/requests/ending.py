"""Ending requests, and queueing again what has to be tried again."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import (
    CONNECTED,
    Connection,
    UnknownAccountError,
    by_account_key,
    mark_initial_backfill_requested,
)
from ig_pipeline.storage.sync_requests import BY_A_PERSON, DONE, FAILED, FIRST_BACKFILL, SyncRequest
from ig_pipeline.sync.plan import Window
from ig_pipeline.sync.requests.claiming import Batch, Due, assets_of, flags_of
from ig_pipeline.sync.requests.later import BACKOFF
from ig_pipeline.sync.results import AccountDayResult

KEPT_FOR = timedelta(days=90)
"""How long a request that has ended can still be looked up."""


def seen(db: sa.Connection, batch: Batch, *, run_id: str) -> None:
    """The run of a batch exists."""
    sync_requests.note_run(db, batch.id, run_id=run_id)


def succeeded(db: sa.Connection, batch: Batch, *, run_id: str, now: datetime) -> None:
    """The run of a batch has done its work."""
    sync_requests.end(db, _ids(batch.requests), status=DONE, run_id=run_id, now=now)
    sync_requests.prune(db, before=now - KEPT_FOR)


def given_up(db: sa.Connection, batch: Batch, *, detail: str, now: datetime, run_id: str | None = None) -> None:
    """Someone has canceled or deleted the run of a batch, so that it is not tried again; `detail` says so."""
    sync_requests.end(db, _ids(batch.requests), status=FAILED, detail=detail, run_id=run_id, now=now)


def failed(
    db: sa.Connection, requests: Iterable[SyncRequest], *, detail: str, run_id: str | None, now: datetime
) -> None:
    """What `requests` asked for was tried and failed, or its run died; `detail` is for whoever asked.

    What the pipeline asked for itself is queued again where that helps: it waits while its account is not connected,
    and after a run that died, having left cells untried, for as long as `BACKOFF` says. Cells that failed for a reason
    of their own have requests of their own.
    """
    for request in requests:
        connection = _connection(db, request.account_key)
        again: datetime | None = None
        if request.requested_by not in BY_A_PERSON and connection is not None:
            if connection.status != CONNECTED:
                again = now
            elif 0 < request.attempts <= len(BACKOFF) and _is_untried(db, request, connection):
                again = now + BACKOFF[request.attempts - 1]
        if again is None:
            sync_requests.end(db, [request.id], status=FAILED, detail=detail, run_id=run_id, now=now)
        else:
            sync_requests.queue_again(db, request.id, not_before=again, detail=detail)
    sync_requests.prune(db, before=now - KEPT_FOR)


def tell(
    db: sa.Connection,
    batch: str,
    account_key: str,
    *,
    counts: Mapping[str, int],
    detail: str | None,
    run_id: str,
    has_failed: bool,
    now: datetime,
) -> None:
    """What a run of media files did for one account, to those of its batch's requests that are the account's.

    Call it with `has_failed` when it did not bring everything and nothing else will; else they end with the run.
    """
    mine = sync_requests.note_counts(db, batch, account_key, counts=counts, detail=detail)
    if has_failed:
        failed(db, mine, detail=detail or "", run_id=run_id, now=now)


def answer(
    db: sa.Connection,
    due: Iterable[Due],
    results: Iterable[AccountDayResult],
    *,
    run_id: str,
    began: datetime,
    now: datetime,
) -> None:
    """End those of `due` of which `results` have every cell. What failed or was deferred has requests of its own.

    `began`: when the sync that they are of did. A sync that was stopped leaves its requests due.
    """
    found: dict[str, dict[tuple[date, str], AccountDayResult]] = {}
    for result in results:
        found.setdefault(result.account_key, {})[result.date, result.asset] = result
    for one in due:
        cells = found.get(one.request.account_key, {})
        if not one.cells <= cells.keys():
            continue
        if one.request.requested_by == FIRST_BACKFILL:
            first, last = one.window
            mark_initial_backfill_requested(db, one.connection.id, first=first, last=last, now=began)
        bad = next((cells[cell] for cell in sorted(one.cells) if cells[cell].status == "failed"), None)
        if bad is None:
            sync_requests.end(db, [one.request.id], status=DONE, run_id=run_id, now=now)
        else:
            failed(db, [one.request], detail=bad.error or "", run_id=run_id, now=now)
    sync_requests.prune(db, before=now - KEPT_FOR)


def _is_untried(db: sa.Connection, request: SyncRequest, connection: Connection) -> bool:
    """Whether its run left cells untried: the ledger says nothing of them since the claim."""
    if flags_of(request):  # a backfill of media files, whose days need not lie in the grid
        return request.counts is None
    claimed_at = request.launched_at or request.created_at
    assets, days = assets_of(request), Window(request.first, request.last).days
    entries = sync_logs.newest_of_cells(db, [connection], assets=assets, first=request.first, last=request.last)
    tried = sum(entry.finished_at >= claimed_at for entry in entries)
    return tried < len(assets) * len(days)


def _connection(db: sa.Connection, account_key: str) -> Connection | None:
    try:
        return by_account_key(db, account_key)
    except UnknownAccountError:
        return None


def _ids(requests: Collection[SyncRequest]) -> list[int]:
    return [request.id for request in requests]
