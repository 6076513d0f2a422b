"""Fills account-days: the same engine under Dagster, the command line and the tests.

Accounts run concurrently and apart: whatever happens to one, the others go on. Each cell is committed with its
ledger row before it is reported. What the cells mean to a scheduler is the caller's.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.oauth import TokenRefresher
from ig_pipeline.graph_api.versions import served_warning
from ig_pipeline.settings import Settings
from ig_pipeline.storage import graph_calls
from ig_pipeline.storage.connections import CONNECTED, Connection, UnknownAccountError, by_account_key
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.waiting import outlasting
from ig_pipeline.sync.account_sync import AccountSync, Emit
from ig_pipeline.sync.failures import NotConnectedError, innermost, lost_cells
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.progress import Progress
from ig_pipeline.sync.results import ASSETS, AccountDayResult, AnyAsset, AssetName
from ig_pipeline.sync.session import AccountSession, AppBrake
from ig_pipeline.vault.cipher import KeyRing, KeyRingError
from ig_pipeline.vault.tokens import TokenVault

logger = logging.getLogger("ig_pipeline.sync")

# Accounts under way at once. The client lets 16 calls on the wire, four of one account: eight keep it full while
# others write.
ACCOUNTS_AT_ONCE = 8
# SQLite has one writer; more threads would only poll for its lock. PostgreSQL takes a few.
WRITERS = {"sqlite": 1, "postgresql": 4}


class DayNotOverError(Exception):
    """The day is still running in Los Angeles, or lies ahead."""


EXPECTED = (UnknownAccountError, NotConnectedError, KeyRingError)
"""Errors that say themselves what is wrong: no traceback in the log."""


@dataclass(frozen=True)
class SyncServices:
    """What a sync works with. One per process and run: its client holds the limits of all accounts."""

    engine: sa.Engine
    client: GraphClient
    tokens: TokenVault
    clock: Clock
    settings: Settings


@asynccontextmanager
async def open_services(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[SyncServices]:
    """The services the settings describe; closed at the end. Raises `DatabaseError`, `SettingsError`."""
    engine = open_engine(settings.effective_database_url)
    try:
        async with GraphClient.from_settings(settings, clock=clock) as client:
            vault = TokenVault(engine, KeyRing.from_settings(settings), TokenRefresher(client, settings), clock=clock)
            try:
                yield SyncServices(engine, client, vault, clock, settings)
            finally:
                graph_calls.keep(engine, client.take_outcomes())
                if warning := served_warning(settings.graph_version, client.served_version):
                    logger.warning("[SYNC] %s", warning.sentence)
    finally:
        engine.dispose()


async def sync_account_days(
    services: SyncServices,
    cells: Mapping[str, Sequence[date]],
    *,
    assets: Collection[AssetName] = ASSETS,
    run_id: str,
    asks_everything: bool = False,
) -> AsyncGenerator[AccountDayResult]:
    """A result for every cell (`assets` x account key x Pacific day), as each is settled.

    Written cells are committed with their ledger row when they are yielded. A refused token is renewed and the call
    repeated once; then the connection is marked `reconnect_required` and its cells fail with the sentence for its
    owner. At a rate limit what is done stays done; the rest is `deferred` and a row of `sync_requests` asks for it
    again; so does one for what no rule explains. `asks_everything`: a person asked, so that what earlier runs learnt is
    asked for all the same. No account's trouble reaches another, and none is raised.
    """
    ordered = [asset for asset in ASSETS if asset in assets]

    async def fill(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        connection = session.connection
        if (days[0], days[-1]) == (connection.initial_backfill_first, connection.initial_backfill_last):
            logger.info("[SYNC] Running initial %d-day IG backfill for %s", len(days), connection.account_key)
        account = AccountSync(session, assets=ordered, emit=emit, with_follows=services.settings.follows_and_unfollows)
        newest = last_complete_day(session.now())
        future = [day for day in days if day > newest]
        account.refuse(future, DayNotOverError(f"Not over in Los Angeles; the newest complete day is {newest}."))
        await account.run(days)

    everything = over_accounts(
        services, cells, assets=ordered, run_id=run_id, work=fill, asks_everything=asks_everything
    )
    async with aclosing(everything) as results:
        async for result in results:
            yield result


Work = Callable[[AccountSession, Sequence[date], Emit], Awaitable[None]]


async def over_accounts(
    services: SyncServices,
    cells: Mapping[str, Sequence[date]],
    *,
    assets: Sequence[AnyAsset],
    run_id: str,
    work: Work,
    patience: float = 0.0,
    asks_everything: bool = False,
) -> AsyncGenerator[AccountDayResult]:
    """`work` for each account of `cells`, side by side and apart; yields what it emits.

    Cells that `work` leaves behind when it ends in an error are failed with that error. `patience` and
    `asks_everything`: the sessions'.
    """
    finished: asyncio.Queue[AccountDayResult | None] = asyncio.Queue()
    gate = asyncio.Semaphore(ACCOUNTS_AT_ONCE)
    run = _Run(services, assets, run_id, work, finished, patience=patience, asks_everything=asks_everything)

    async def one(account_key: str, days: Sequence[date]) -> None:
        async with gate:
            await run.account(account_key, sorted(set(days)))

    async def everyone() -> None:
        try:
            await asyncio.gather(*(one(key, days) for key, days in cells.items() if days))
        finally:
            finished.put_nowait(None)

    task = asyncio.create_task(everyone())
    try:
        while (result := await finished.get()) is not None:
            yield result
        await task
    finally:
        # A reader that stops early: what is under way is cancelled and waited for, so that nothing writes afterwards.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Run:
    """What the accounts of one run share."""

    def __init__(
        self,
        services: SyncServices,
        assets: Sequence[AnyAsset],
        run_id: str,
        work: Work,
        finished: "asyncio.Queue[AccountDayResult | None]",
        *,
        patience: float,
        asks_everything: bool,
    ) -> None:
        self._services = services
        self._assets = assets
        self._run_id = run_id
        self._work = work
        self._finished = finished
        self._patience = patience
        self._asks_everything = asks_everything
        self._writers = asyncio.Semaphore(WRITERS.get(services.engine.dialect.name, 1))
        self._brake = AppBrake()

    async def account(self, account_key: str, days: Sequence[date]) -> None:
        """Settle all cells of one account; nothing is raised but cancellation."""
        progress = Progress(account_key, days=len(days), assets=len(self._assets))
        left = {(asset, day) for asset in self._assets for day in days}

        def emit(result: AccountDayResult) -> None:
            left.discard((result.asset, result.date))
            progress.add(result)
            self._finished.put_nowait(result)

        started_at = self._services.clock()
        connection: Connection | None = None
        try:
            connection = await outlasting(lambda: asyncio.to_thread(self._find, account_key), patience=self._patience)
            await self._work(self._session(connection), days, emit)
        except Exception as error:
            # Whatever it is (a lost database, a bug): this account's cells fail with it, the other accounts go on.
            cause = innermost(error)
            if not isinstance(cause, EXPECTED):
                logger.exception("[SYNC] %s stopped by an unexpected error", account_key)
            lost = [
                result
                for asset in self._assets
                for result in lost_cells(cause, asset=asset, account_key=account_key, connection=connection, days=days)
                if (asset, result.date) in left
            ]
            await asyncio.to_thread(self._write_down, lost, started_at)
            for result in lost:
                emit(result)
        finally:
            progress.finish(calls=self._services.client.calls_of(connection.account_id) if connection else 0)

    def _find(self, account_key: str) -> Connection:
        with reading(self._services.engine) as db:
            return by_account_key(db, account_key)

    def _session(self, connection: Connection) -> AccountSession:
        if connection.status != CONNECTED:
            advice = connection.status_message or "Connect it again."
            raise NotConnectedError(f"It is not connected ({connection.status}). {advice}")
        return AccountSession(
            connection,
            client=self._services.client,
            tokens=self._services.tokens,
            engine=self._services.engine,
            writers=self._writers,
            brake=self._brake,
            clock=self._services.clock,
            run_id=self._run_id,
            patience=self._patience,
            asks_everything=self._asks_everything,
        )

    def _write_down(self, lost: Sequence[AccountDayResult], started_at: datetime) -> None:
        try:
            with self._services.engine.begin() as db:
                record(db, lost, run_id=self._run_id, started_at=started_at, finished_at=self._services.clock())
        except sa.exc.SQLAlchemyError as error:
            # The cells are reported as failed either way; a lost database is often why they failed.
            logger.warning("[SYNC] the ledger could not be written: %s", type(error).__name__)
