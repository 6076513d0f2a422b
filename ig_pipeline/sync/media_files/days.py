"""Media files by account-day, for Dagster's grid: a result for each day as soon as its last file is settled.

A day whose files are all in the library, or that had none, is complete; one file that could not be fetched makes it
failed, so that a retry asks for the day again and fetches what is missing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import SyncServices, over_accounts
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, FileResult, Tally
from ig_pipeline.sync.media_files.runs import MediaRun, Watcher
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.plan import Window, stretches
from ig_pipeline.sync.results import AccountDayResult, MediaAsset
from ig_pipeline.sync.session import AccountSession

logger = logging.getLogger("ig_pipeline.sync.media_files")

ASSET: MediaAsset = "media_files"
_STORIES_LIVE = timedelta(days=1)


async def media_file_days(
    services: SyncServices, media: MediaServices, cells: Mapping[str, Sequence[date]], *, run_id: str
) -> AsyncGenerator[AccountDayResult]:
    """A result for every cell (account key by Pacific day) as it is settled; no account's trouble reaches another.

    What a rate limit leaves over is `deferred` and asked for again by a row of `sync_requests`.
    """
    run = MediaRun(services, media, run_id=run_id, triggered_by=f"dagster:{run_id}")

    async def fill(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        for window in stretches(days):
            await _Stretch(run, session, window, emit).fill()

    cells_of_all = over_accounts(services, cells, assets=(ASSET,), run_id=run_id, work=fill)
    async with aclosing(cells_of_all) as results:
        async for result in results:
            yield result


class _Stretch:
    """Neighbouring days of one account: one listing, a result for each day as it is settled."""

    def __init__(self, run: MediaRun, session: AccountSession, window: Window, emit: Emit) -> None:
        self._run, self._session, self._window, self._emit = run, session, window, emit
        self._left = set(window.days)
        self._started_at = session.now()
        self._settled: asyncio.Queue[tuple[date, Tally] | None] = asyncio.Queue()

    async def fill(self) -> None:
        """Settle the days. Raises what a lost database raises."""
        watcher = _DayWatcher(self._window, lambda day, tally: self._settled.put_nowait((day, tally)))
        reporting = asyncio.create_task(self._report())
        try:
            outcome = await self._run.run(self._session, _options(self._session, self._window), watcher)
            self._settled.put_nowait(None)
            await reporting
        finally:
            reporting.cancel()
        if self._left:
            await self._lose(outcome)

    async def _report(self) -> None:
        """Write each settled day to the ledger and emit it; calls are booked on the day that was settled next."""
        spent = self._calls()
        while (item := await self._settled.get()) is not None:
            now = self._calls()
            result = _result(self._session.connection, *item, calls=now - spent)
            spent = now
            await self._session.write(partial(self._note, results=[result]))
            self._left.discard(result.date)
            self._emit(result)

    def _calls(self) -> int:
        return self._run.services.client.calls_of(self._session.connection.account_id)

    async def _lose(self, outcome: BackfillResult) -> None:
        """The days that an early end left over: deferred by a rate limit, else failed."""
        connection = self._session.connection
        lost = [
            AccountDayResult(
                ASSET,
                connection.account_key,
                day,
                "deferred" if outcome.status == "deferred" else "failed",
                error=outcome.error,
                error_type=outcome.error_type,
                retry_at=outcome.retry_at,
                account_id=connection.account_id,
                u_id=connection.u_id,
            )
            for day in sorted(self._left)
        ]
        try:
            await self._session.write(partial(self._note, results=lost))
        except (sa.exc.SQLAlchemyError, DatabaseError) as error:
            # The cells are reported either way; a lost database is often why they failed.
            logger.warning("[MEDIA] the ledger could not be written: %s", type(error).__name__)
        for result in lost:
            self._emit(result)

    def _note(self, db: sa.Connection, *, results: Sequence[AccountDayResult]) -> None:
        """Ledger rows, and for deferred days a request that brings them back."""
        session, now = self._session, self._session.now()
        record(db, results, run_id=session.run_id, started_at=self._started_at, finished_at=now)
        deferred = [result for result in results if result.status == "deferred" and result.retry_at is not None]
        for window in stretches(result.date for result in deferred):
            sync_requests.enqueue(
                db,
                kind=ASSET,
                account_key=session.connection.account_key,
                first=window.first,
                last=window.last,
                requested_by="rate_limit",
                reason=deferred[0].error or "rate limit",
                not_before=max(result.retry_at for result in deferred if result.retry_at is not None),
                dedupe=f"deferred:{ASSET}:{session.run_id}:{session.connection.account_key}:{window.first}",
                now=now,
            )


class _DayWatcher(Watcher):
    """Tallies by day, and says when one is settled: its posts are all listed, its files all done."""

    def __init__(self, window: Window, settled: Callable[[date, Tally], None]) -> None:
        super().__init__()
        self._settled = settled
        self._open = set(window.days)
        self._days: dict[date, Tally] = defaultdict(Tally)
        self._pending: dict[date, int] = defaultdict(int)
        self._oldest = date.max

    def listed(self, files: list[WantedFile]) -> None:
        """Count a post; the days after the oldest post listed so far will get no more."""
        super().listed(files)
        first = files[0]
        self._days[first.day].items += 1
        self._pending[first.day] += len(files)
        if first.source_type != "instagram_story" and first.day < self._oldest:
            self._oldest = first.day
            self._close(day for day in sorted(self._open) if day > first.day)

    def finished(self, result: FileResult) -> None:
        """Count a file."""
        super().finished(result)
        day = result.file.day
        self._days[day].add(result)
        self._pending[day] -= 1
        if day in self._open and day > self._oldest:
            self._close([day])

    def listing_ended(self) -> None:
        """Close what is left; days with files under way stay open, for an error that ended the listing early."""
        self._oldest = date.min
        self._close(sorted(self._open))

    def _close(self, days: Iterable[date]) -> None:
        for day in [day for day in days if not self._pending[day]]:
            self._open.discard(day)
            self._settled(day, self._days[day])


def _options(session: AccountSession, window: Window) -> BackfillOptions:
    """The whole window; stories only where some may still be alive."""
    alive = instagram_day(session.now() - _STORIES_LIVE) <= window.last
    return BackfillOptions(media_types="both" if alive else "feed", since=window.first, until=window.last)


def _result(connection: Connection, day: date, tally: Tally, *, calls: int) -> AccountDayResult:
    failed = tally.files["failed"]
    result = AccountDayResult(
        ASSET,
        connection.account_key,
        day,
        "complete",
        rows=tally.new,
        calls=calls,
        values={
            "posts": tally.items,
            "files": tally.new,
            "bytes": tally.bytes,
            "duplicates": tally.files["skipped_duplicate"],
            "same_bytes": tally.files["same_bytes"],
            "unsupported": tally.files["skipped_unsupported"],
            "failures": failed,
        },
        absences={f"{count} files": reason for reason, count in tally.reasons.items()},
        account_id=connection.account_id,
        u_id=connection.u_id,
    )
    if not failed:
        return result
    return replace(
        result, status="failed", error=f"{failed} files could not be fetched: {'; '.join(tally.errors[:3])}",
        error_type="BackfillError",
    )  # fmt: skip
