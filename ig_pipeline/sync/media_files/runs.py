"""A backfill of one account from beginning to end: noted in the database, done, its days in the ledger, summed up.

The way in of the command line, the bot and Dagster; sessions and what accounts share are the engine's.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from functools import partial

import sqlalchemy as sa

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.storage import media_backfills, sync_logs
from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.storage.waiting import in_thread
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import over_accounts
from ig_pipeline.sync.failures import judge
from ig_pipeline.sync.losses import mark_dead_token
from ig_pipeline.sync.media_files.backfill import FilesBackfill
from ig_pipeline.sync.media_files.day_ledger import DayLedger
from ig_pipeline.sync.media_files.days import ASSET, oldest_with_stories, settled_by
from ig_pipeline.sync.media_files.leftovers import adopt_leftovers
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, Status, Tally, Watcher
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.plan import Window, stretches
from ig_pipeline.sync.requests.later import continue_later
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, SyncRun, SyncServices

logger = logging.getLogger("ig_pipeline.sync.media_files")


def _unheard(result: AccountDayResult) -> None:
    """No one wants to hear of days."""


async def media_file_days(
    services: SyncServices,
    media: MediaServices,
    cells: Mapping[str, Sequence[date]],
    *,
    run_id: str,
    triggered_by: str,
    options: BackfillOptions | None = None,
    ended: Callable[[BackfillResult], None],
) -> AsyncGenerator[AccountDayResult]:
    """A result for every cell (account key by Pacific day) as it is settled; no account's trouble reaches another.

    What a rate limit leaves over is `deferred` and asked for again by a row of `sync_requests`.
    With `options`, the accounts of `cells` are backfilled as the command line does it, a limit counting for each:
    posts that lie outside `cells` are fetched too, and only days that this settles have a result. A run that takes the
    place of one that died has its `triggered_by`: what that one took counts towards the limit. `ended` hears how each
    account's backfill with `options` ended.
    """

    async def fill(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        backfill = AccountBackfill(session, media, triggered_by=triggered_by, resumes=True, emit=emit)
        if options is not None:
            ended(await backfill.run(options, Watcher()))
            return
        for window in stretches(days):
            # Stories only where some may still be alive.
            alive = oldest_with_stories(session.now()) <= window.last
            whole = BackfillOptions("both" if alive else "feed", since=window.first, until=window.last)
            await backfill.run(whole, Watcher(), cells=window.days)

    run = SyncRun(services, run_id, timeout=media.timeout)
    async with aclosing(over_accounts(run, cells, assets=(ASSET,), work=fill)) as results:
        async for result in results:
            yield result


async def backfill_account(
    run: SyncRun,
    media: MediaServices,
    account_key: str,
    options: BackfillOptions,
    watcher: Watcher,
    *,
    triggered_by: str,
    emit: Emit = _unheard,
) -> BackfillResult:
    """Fetch what `options` ask for; a result for each day of the grid that this settles goes to `emit`.

    Raises `UnknownAccountError`, `NotConnectedError`, a database's own errors.
    """
    session = run.session(await run.connection(account_key))
    try:
        return await AccountBackfill(session, media, triggered_by=triggered_by, emit=emit).run(options, watcher)
    finally:
        while run.late:
            emit(run.late.pop())


class AccountBackfill:
    """Backfills of one account in one run, one after the other.

    `resumes`: what an interrupted run by the same `triggered_by` has taken counts towards the limit.
    """

    def __init__(
        self, session: AccountSession, media: MediaServices, *, triggered_by: str, resumes: bool = False, emit: Emit
    ) -> None:
        self._session, self._media, self._emit = session, media, emit
        self._triggered_by, self._resumes = triggered_by, resumes

    async def run(
        self, options: BackfillOptions, watcher: Watcher, *, cells: Sequence[date] | None = None
    ) -> BackfillResult:
        """As `backfill_account`. `cells`: the days asked for, instead of all that can be settled.

        Noted in `media_backfills` and the ledger unless it is a dry run.
        """
        session, begun, calls = self._session, time.monotonic(), self._session.calls
        if options.dry_run:
            backfill = FilesBackfill(session, self._media, options, watcher)
            await backfill.run()
            return self._result(backfill, watcher.tally, begun, calls)
        ledger = await self._ledger(options, watcher, cells)
        backfill_id, leftovers = await self._begin(options)
        options = await self._resumed(options)
        backfill = FilesBackfill(session, self._media, options, ledger)
        async with ledger.kept():
            await backfill.run()
        if leftovers and backfill.listed_all and options.feed and options.since is None and options.until is None:
            await self._look_after(leftovers, backfill)
        result = self._result(backfill, watcher.tally, begun, calls)
        rest = self._rest(options, result, ledger.left, whole=cells is None)
        await self._finish(backfill_id, result, backfill, rest)
        if options.limit is None:
            await ledger.lose(backfill.error)
        return replace(result, continued=rest is not None)

    async def _ledger(self, options: BackfillOptions, watcher: Watcher, cells: Sequence[date] | None) -> DayLedger:
        """For `cells`, every one of which gets a row; for all days of the grid otherwise."""
        session, emit = self._session, self._emit
        if cells is not None:
            return DayLedger(session, watcher, cells, standing=(), ask_again=True, emit=emit)
        window = settled_by(options, first_day=session.settings.first_day, now=session.now())
        standing = await session.read(lambda db: sync_logs.days_standing(db, session.connection, ASSET))
        # A day asked for again is fetched whole; whoever gave a limit did not want that.
        again = options.limit is None
        days = window.days if window else ()
        return DayLedger(session, watcher, days, standing=standing, ask_again=again, emit=emit)

    async def _begin(self, options: BackfillOptions) -> tuple[int, list[int]]:
        """The id of this backfill's row, and of those that died before; what they wrote half is removed."""
        session = self._session

        def begin(db: sa.Connection) -> tuple[int, list[int]]:
            dead = media_backfills.interrupt(db, session.connection)
            made = media_backfills.begin(
                db,
                session.connection,
                run_id=session.run_id,
                triggered_by=self._triggered_by,
                options=options.as_dict(),
                now=session.now(),
            )
            return made, dead

        made, dead = await session.write(begin)
        if dead:
            swept = await in_thread(self._media.store.sweep)
            logger.info("[MEDIA] an earlier backfill was interrupted: %d unfinished files removed", swept)
        return made, dead

    async def _resumed(self, options: BackfillOptions) -> BackfillOptions:
        """`options` with what is left of the limit when this run takes the place of one that died."""
        if not self._resumes or options.limit is None:
            return options
        connection, by = self._session.connection, self._triggered_by
        taken = await self._session.read(lambda db: media_backfills.files_of_interrupted(db, connection, by))
        return replace(options, limit=max(options.limit - taken, 0))

    async def _look_after(self, dead: list[int], backfill: FilesBackfill) -> None:
        try:
            adopted = await adopt_leftovers(self._session, self._media.store, listed=backfill.listed_ids)
        except (StoreError, DatabaseError, sa.exc.SQLAlchemyError) as error:
            logger.warning("[MEDIA] files of an interrupted backfill were not looked after: %s", error)
            return
        if adopted:
            logger.info("[MEDIA] %d files that an interrupted backfill had stored are indexed now", adopted)
        if backfill.error is None:
            await self._session.write(lambda db: media_backfills.recovered(db, dead))

    def _result(self, backfill: FilesBackfill, tally: Tally, begun: float, calls_before: int) -> BackfillResult:
        key, calls = self._session.connection.account_key, self._session.calls - calls_before
        seconds = time.monotonic() - begun
        if backfill.error is None:
            ended: Status = "partial" if tally.files["failed"] else "complete"
            return BackfillResult(key, ended, tally, calls, seconds)
        verdict = judge(backfill.error, key)
        if verdict.retry_at is not None and backfill.options.dry_run:
            sentence = f"Instagram's rate limit for {key} is reached; count again"
            verdict = replace(verdict, error=f"{sentence} after {verdict.retry_at:%Y-%m-%d %H:%M} UTC.")
        status: Status = "deferred" if verdict.status == "deferred" else "partial" if tally.new else "failed"
        return BackfillResult(
            key,
            status,
            tally,
            calls,
            seconds,
            error=verdict.error,
            error_type=verdict.error_type,
            retry_at=verdict.retry_at,
        )

    def _rest(
        self, options: BackfillOptions, result: BackfillResult, left: list[date], *, whole: bool
    ) -> "partial[None] | None":
        """The request that continues a deferred backfill; None when there is nothing to continue.

        One for days of the grid asks for those that are `left`; any other (`whole`) for all it was asked for: what is
        there by then is skipped, and posts from before the grid's first day have no day that could be left.
        """
        limit = None if options.limit is None else options.limit - result.tally.taken
        if result.status != "deferred" or limit == 0 or not (left or whole):
            return None
        days = left or [last_complete_day(self._session.now())]
        return partial(
            continue_later,
            connection=self._session.connection,
            window=Window(days[0], days[-1]),
            kind=ASSET,
            reason=result.error,
            options=replace(options, limit=limit).flags if whole else {},
            not_before=result.retry_at,
            run_id=self._session.run_id,
        )

    async def _finish(
        self,
        backfill_id: int,
        result: BackfillResult,
        backfill: FilesBackfill,
        rest: "partial[None] | None",
    ) -> None:
        """Note the end. An interrupted one, or a row that stays open, is looked after by the next backfill."""
        session = self._session
        errors = [*([result.error] if result.error else []), *result.tally.errors]

        def finish(db: sa.Connection) -> None:
            counts, now = {**result.tally.as_dict(), "calls": result.calls}, session.now()
            status = media_backfills.INTERRUPTED if backfill.interrupted else result.status
            media_backfills.finish(db, backfill_id, status=status, counts=counts, errors=errors[:20], now=now)
            if rest is not None:
                rest(db, now=now)
            if isinstance(backfill.error, TokenDeadError):
                mark_dead_token(db, session.connection, backfill.error, now)

        try:
            await session.write(finish)
        except (DatabaseError, sa.exc.SQLAlchemyError) as lost:
            logger.warning("[MEDIA] the end of this backfill could not be noted: %s", type(lost).__name__)
