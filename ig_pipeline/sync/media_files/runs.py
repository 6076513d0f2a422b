"""A backfill of one account from beginning to end: noted in the database, done, its days in the ledger, summed up.

The way in of the command line and the bot; Dagster's is `cells`.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial

import sqlalchemy as sa

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.storage import media_backfills, sync_logs, sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key
from ig_pipeline.storage.database import DatabaseError, reading
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.storage.waiting import retry_while_unavailable
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import WRITERS, SyncServices
from ig_pipeline.sync.failures import NotConnectedError, judge
from ig_pipeline.sync.losses import mark_dead_token
from ig_pipeline.sync.media_files.backfill import FilesBackfill
from ig_pipeline.sync.media_files.day_ledger import DayLedger
from ig_pipeline.sync.media_files.days import ASSET, DayWatch, settled_by
from ig_pipeline.sync.media_files.leftovers import adopt_leftovers
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, FileResult, Status, Tally
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, AppBrake

logger = logging.getLogger("ig_pipeline.sync.media_files")


class Watcher:
    """An observer that counts; whoever shows progress inherits from it."""

    def __init__(self) -> None:
        self.tally = Tally()

    def listed(self, files: list[WantedFile]) -> None:
        """Count a post."""
        self.tally.items += 1

    def received(self, count: int) -> None:
        """Nothing to count: bytes count when their file is settled."""

    def finished(self, result: FileResult) -> None:
        """Count a file."""
        self.tally.add(result)

    def listing_ended(self) -> None:
        """Nothing to do."""


def _nobody(result: AccountDayResult) -> None:
    """Nobody wants to hear of days."""


class MediaRun:
    """What the backfills of one run share: services, the brake of the whole app, the database's writers."""

    def __init__(
        self, services: SyncServices, media: MediaServices, *, run_id: str, triggered_by: str, resumes: bool = False
    ) -> None:
        """`resumes`: what an interrupted run by the same `triggered_by` has taken counts towards the limit."""
        self.services, self.media = services, media
        self.run_id, self.triggered_by, self._resumes = run_id, triggered_by, resumes
        self._brake = AppBrake()
        self._writers = asyncio.Semaphore(WRITERS.get(services.engine.dialect.name, 1))

    async def session(self, account_key: str) -> AccountSession:
        """The account's session. Raises `UnknownAccountError`, `NotConnectedError`."""
        patience = self.media.patience
        connection = await retry_while_unavailable(lambda: asyncio.to_thread(self._find, account_key), timeout=patience)
        if connection.status != CONNECTED:
            advice = connection.status_message or "Connect it again."
            raise NotConnectedError(f"{account_key} is not connected ({connection.status}). {advice}")
        services = self.services
        return AccountSession(
            connection,
            client=services.client,
            tokens=services.tokens,
            engine=services.engine,
            writers=self._writers,
            brake=self._brake,
            clock=services.clock,
            run_id=self.run_id,
            patience=patience,
        )

    async def backfill(
        self, account_key: str, options: BackfillOptions, watcher: Watcher, *, emit: Emit = _nobody
    ) -> BackfillResult:
        """Fetch what `options` ask for; a result for each day of the grid that this settles goes to `emit`.

        Raises `UnknownAccountError`, `NotConnectedError`, a database's own errors.
        """
        return await self.run(await self.session(account_key), options, watcher, emit=emit)

    async def run(
        self,
        session: AccountSession,
        options: BackfillOptions,
        watcher: Watcher,
        *,
        cells: Sequence[date] | None = None,
        emit: Emit = _nobody,
    ) -> BackfillResult:
        """As `backfill`, for a session at hand. `cells`: the days asked for, instead of all that can be settled.

        Noted in `media_backfills` and the ledger unless it is a dry run.
        """
        begun, calls = time.monotonic(), self.services.client.calls_of(session.connection.account_id)
        if options.dry_run:
            backfill = FilesBackfill(session, self.media, options, watcher)
            await backfill.run()
            return self._result(session.connection, backfill, watcher.tally, begun, calls)
        ledger = await self._ledger(session, options, cells, emit)
        backfill_id, leftovers = await self._begin(session, options)
        options = await self._resumed(session, options)
        backfill = FilesBackfill(session, self.media, options, DayWatch(watcher, ledger.left, ledger.settle))
        async with ledger.kept():
            await backfill.run()
        if leftovers and backfill.listed_all and options.feed and options.since is None and options.until is None:
            await self._look_after(session, leftovers, backfill)
        result = self._result(session.connection, backfill, watcher.tally, begun, calls)
        rest = self._rest(session, options, result, ledger.left, whole=cells is None)
        await self._finish(session, backfill_id, result, backfill, rest)
        if options.limit is None:
            await ledger.lose(backfill.error)
        return replace(result, continued=rest is not None)

    def _find(self, account_key: str) -> Connection:
        with reading(self.services.engine) as db:
            return by_account_key(db, account_key)

    async def _ledger(
        self, session: AccountSession, options: BackfillOptions, cells: Sequence[date] | None, emit: Emit
    ) -> DayLedger:
        """For `cells`, every one of which gets a row; for all days of the grid otherwise."""
        if cells is not None:
            return DayLedger(session, cells, standing=(), ask_again=True, emit=emit)
        window = settled_by(options, first_day=self.services.settings.first_day, now=session.now())
        standing = await session.read(lambda db: sync_logs.days_standing(db, session.connection, ASSET))
        # A day asked for again is fetched whole; whoever gave a limit did not want that.
        again = options.limit is None
        return DayLedger(session, window.days if window else (), standing=standing, ask_again=again, emit=emit)

    async def _begin(self, session: AccountSession, options: BackfillOptions) -> tuple[int, list[int]]:
        """The id of this backfill's row, and of those that died before; what they wrote half is removed."""

        def begin(db: sa.Connection) -> tuple[int, list[int]]:
            dead = media_backfills.interrupt(db, session.connection)
            made = media_backfills.begin(
                db,
                session.connection,
                run_id=self.run_id,
                triggered_by=self.triggered_by,
                options=options.as_dict(),
                now=session.now(),
            )
            return made, dead

        made, dead = await session.write(begin)
        if dead:
            swept = await asyncio.to_thread(self.media.store.sweep)
            logger.info("[MEDIA] an earlier backfill was interrupted: %d unfinished files removed", swept)
        return made, dead

    async def _resumed(self, session: AccountSession, options: BackfillOptions) -> BackfillOptions:
        """`options` with what is left of the limit when this run takes the place of one that died."""
        if not self._resumes or options.limit is None:
            return options
        connection = session.connection
        taken = await session.read(lambda db: media_backfills.files_of_interrupted(db, connection, self.triggered_by))
        return replace(options, limit=max(options.limit - taken, 0))

    async def _look_after(self, session: AccountSession, dead: list[int], backfill: FilesBackfill) -> None:
        try:
            adopted = await adopt_leftovers(session, self.media.store, listed=backfill.listed_ids)
        except (StoreError, DatabaseError, sa.exc.SQLAlchemyError) as error:
            logger.warning("[MEDIA] files of an interrupted backfill were not looked after: %s", error)
            return
        if adopted:
            logger.info("[MEDIA] %d files that an interrupted backfill had stored are indexed now", adopted)
        if backfill.error is None:
            await session.write(lambda db: media_backfills.recovered(db, dead))

    def _result(
        self, connection: Connection, backfill: FilesBackfill, tally: Tally, begun: float, calls_before: int
    ) -> BackfillResult:
        calls = self.services.client.calls_of(connection.account_id) - calls_before
        seconds = time.monotonic() - begun
        if backfill.error is None:
            status: Status = "partial" if tally.files["failed"] else "complete"
            return BackfillResult(connection.account_key, status, tally, calls, seconds)
        verdict = judge(backfill.error, connection.account_key)
        if verdict.retry_at is not None and backfill.options.dry_run:
            sentence = f"Instagram's rate limit for {connection.account_key} is reached; count again"
            verdict = replace(verdict, error=f"{sentence} after {verdict.retry_at:%Y-%m-%d %H:%M} UTC.")
        status = "deferred" if verdict.status == "deferred" else "partial" if tally.new else "failed"
        return BackfillResult(
            connection.account_key,
            status,
            tally,
            calls,
            seconds,
            error=verdict.error,
            error_type=verdict.error_type,
            retry_at=verdict.retry_at,
        )

    def _rest(
        self,
        session: AccountSession,
        options: BackfillOptions,
        result: BackfillResult,
        left: list[date],
        *,
        whole: bool,
    ) -> "partial[SyncRequest] | None":
        """The request that continues a deferred backfill; None when there is nothing to continue.

        One for days of the grid asks for those that are `left`; any other (`whole`) for all it was asked for: what is
        there by then is skipped, and posts from before the grid's first day have no day that could be left.
        """
        limit = None if options.limit is None else options.limit - result.tally.taken
        if result.status != "deferred" or limit == 0 or not (left or whole):
            return None
        days = left or [last_complete_day(session.now())]
        key = session.connection.account_key
        return partial(
            sync_requests.enqueue,
            kind=ASSET,
            account_key=key,
            first=days[0],
            last=days[-1],
            requested_by="rate_limit",
            reason=result.error or "rate limit",
            options=replace(options, limit=limit).flags if whole else {},
            not_before=result.retry_at,
            dedupe=f"deferred:{ASSET}:{self.run_id}:{key}:{days[0]}",
        )

    async def _finish(
        self,
        session: AccountSession,
        backfill_id: int,
        result: BackfillResult,
        backfill: FilesBackfill,
        rest: "partial[SyncRequest] | None",
    ) -> None:
        """Note the end. An interrupted one, or a row that stays open, is looked after by the next backfill."""
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
