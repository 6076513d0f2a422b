"""A backfill of one account from beginning to end: noted in the database, done, summed up.

The command line's and the bot's way in; Dagster's is `days`, by the same `FilesBackfill`.
"""

import asyncio
import logging
import time

import sqlalchemy as sa

from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.storage import media_backfills
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key
from ig_pipeline.storage.database import DatabaseError, reading
from ig_pipeline.sync.engine import WRITERS, NotConnectedError, SyncServices
from ig_pipeline.sync.failures import judge
from ig_pipeline.sync.losses import mark_dead_token
from ig_pipeline.sync.media_files.backfill import FilesBackfill
from ig_pipeline.sync.media_files.leftovers import adopt_leftovers
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, FileResult, Status, Tally
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.media_files.wanted import WantedFile
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


class MediaRun:
    """What the backfills of one run share: services, the brake of the whole app, the database's writers."""

    def __init__(self, services: SyncServices, media: MediaServices, *, run_id: str, triggered_by: str) -> None:
        self.services, self.media = services, media
        self.run_id, self.triggered_by = run_id, triggered_by
        self._brake = AppBrake()
        self._writers = asyncio.Semaphore(WRITERS.get(services.engine.dialect.name, 1))

    async def session(self, account_key: str) -> AccountSession:
        """The account's session. Raises `UnknownAccountError`, `NotConnectedError`."""
        connection = await asyncio.to_thread(self._find, account_key)
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
        )

    async def backfill(self, account_key: str, options: BackfillOptions, watcher: Watcher) -> BackfillResult:
        """Fetch what `options` ask for. Raises `UnknownAccountError`, `NotConnectedError`, a database's own errors."""
        session = await self.session(account_key)
        return await self.run(session, options, watcher)

    async def run(self, session: AccountSession, options: BackfillOptions, watcher: Watcher) -> BackfillResult:
        """As `backfill`, for a session at hand; noted in `media_backfills` unless it is a dry run."""
        begun, calls = time.monotonic(), self.services.client.calls_of(session.connection.account_id)
        backfill = FilesBackfill(session, self.media, options, watcher)
        if options.dry_run:
            await backfill.run()
        else:
            backfill_id, leftovers = await self._begin(session, options)
            await backfill.run()
            if leftovers and backfill.listed_all and options.feed and options.since is None and options.until is None:
                await self._look_after(session, leftovers, backfill)
        result = self._result(session.connection, backfill, watcher.tally, begun, calls)
        if not options.dry_run:
            await self._finish(session, backfill_id, result, backfill.error)
        return result

    def _find(self, account_key: str) -> Connection:
        with reading(self.services.engine) as db:
            return by_account_key(db, account_key)

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

    async def _finish(
        self, session: AccountSession, backfill_id: int, result: BackfillResult, error: Exception | None
    ) -> None:
        """Note the end. Where the database is away the row stays open, and the next backfill looks after it."""
        errors = [*([result.error] if result.error else []), *result.tally.errors]

        def finish(db: sa.Connection) -> None:
            counts = {**result.tally.as_dict(), "calls": result.calls}
            media_backfills.finish(
                db, backfill_id, status=result.status, counts=counts, errors=errors[:20], now=session.now()
            )
            if isinstance(error, TokenDeadError):
                mark_dead_token(db, session.connection, error, session.now())

        try:
            await session.write(finish)
        except (DatabaseError, sa.exc.SQLAlchemyError) as lost:
            logger.warning("[MEDIA] the end of this backfill could not be noted: %s", type(lost).__name__)
