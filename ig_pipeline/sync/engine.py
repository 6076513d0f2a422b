"""Fills cells: the same engine under Dagster, the command line, the bot and the tests.

Accounts run concurrently and apart: whatever happens to one, the others go on. Each cell is committed with its
ledger row before it is reported. What the cells mean to a scheduler is the caller's.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.days import instagram_day, last_complete_day
from ig_pipeline.graph_api.versions import served_warning
from ig_pipeline.meta import advice_on, graph_client, refresher
from ig_pipeline.settings import Settings
from ig_pipeline.storage import cell_counts, graph_calls
from ig_pipeline.storage.connections import CONNECTED, Connection, UnknownAccountError, list_connections
from ig_pipeline.storage.database import open_engine
from ig_pipeline.storage.waiting import in_thread
from ig_pipeline.sync import registry
from ig_pipeline.sync.account_sync import AccountSync, Emit
from ig_pipeline.sync.failures import NotConnectedError, innermost, lost_cells
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.progress import Progress
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, SyncRun, SyncServices, cancelled
from ig_pipeline.vault.cipher import KeyRing, KeyRingError
from ig_pipeline.vault.token_vault import TokenVault

logger = logging.getLogger("ig_pipeline.sync")

# Accounts under way at once. The client lets 16 calls on the wire, four of one account: eight keep it full while
# others write.
ACCOUNTS_AT_ONCE = 8


class DayNotOverError(Exception):
    """The day is still running in Los Angeles, or lies ahead."""


EXPECTED = (UnknownAccountError, NotConnectedError, KeyRingError)
"""Errors that say themselves what is wrong: no traceback in the log."""


@asynccontextmanager
async def open_services(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[SyncServices]:
    """The services the settings describe; closed at the end. Raises `DatabaseError`, `SettingsError`."""
    engine = open_engine(settings.effective_database_url)
    try:
        async with graph_client(settings, clock=clock) as client:
            vault = TokenVault(engine, KeyRing.from_settings(settings), refresher(client, settings), clock=clock)
            try:
                yield SyncServices(engine, client, vault, clock, settings)
            finally:
                graph_calls.keep(engine, client.take_outcomes())
                if warning := served_warning(settings.graph_version, client.served_version):
                    logger.warning("[SYNC] %s %s", warning.sentence, advice_on(warning))
    finally:
        engine.dispose()


async def sync_account_days(
    services: SyncServices,
    cells: Mapping[str, Sequence[date]],
    *,
    assets: Collection[str] | None = None,
    run_id: str,
    asks_everything: bool = False,
) -> AsyncGenerator[AccountDayResult]:
    """A result for every cell (`assets` x account key x Pacific day), as each is settled.

    `assets`: names of streams of account-days, those of the grid by default.
    Written cells are committed with their ledger row when they are yielded. A refused token is renewed and the call
    repeated once; then the connection is marked `reconnect_required` and its cells fail with the sentence for its
    owner. At a rate limit what is done stays done; the rest is `deferred` and a row of `sync_requests` asks for it
    again; so does one for what no rule explains. `asks_everything`: a person asked, so that what earlier runs learnt is
    asked for all the same. No account's trouble reaches another, and none is raised.
    """
    streams = registry.chosen(registry.grid() if assets is None else assets)

    async def fill(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        connection = session.connection
        if (days[0], days[-1]) == (connection.initial_backfill_first, connection.initial_backfill_last):
            logger.info("[SYNC] Running initial %d-day IG backfill for %s", len(days), connection.account_key)
        account = AccountSync(session, streams=streams, emit=emit)
        newest = last_complete_day(session.now())
        future = [day for day in days if day > newest]
        account.refuse(future, DayNotOverError(f"Not over in Los Angeles; the newest complete day is {newest}."))
        await account.run(days)

    run = SyncRun(services, run_id, asks_everything=asks_everything)
    async with aclosing(over_accounts(run, cells, assets=[stream.name for stream in streams], work=fill)) as results:
        async for result in results:
            yield result


async def take_snapshots(
    services: SyncServices, account_keys: Collection[str], *, asset: str, run_id: str
) -> AsyncGenerator[AccountDayResult]:
    """One result of the stream `asset` per account, of this moment, kept under its Pacific day.

    Failed and deferred ones are written down; their schedule asks again.
    """
    streams = registry.chosen([asset])

    async def take(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        await AccountSync(session, streams=streams, emit=emit, ask_again=False).run(days)

    today = instagram_day(services.clock())
    cells = {key: [today] for key in account_keys}
    async with aclosing(over_accounts(SyncRun(services, run_id), cells, assets=[asset], work=take)) as results:
        async for result in results:
            yield result


# A schedule that looks daily must not slip by a day each week because a run took some minutes.
_SLACK = timedelta(hours=1)


def due(db: sa.Connection, asset: str, *, now: datetime) -> list[str]:
    """Connected accounts that the schedule of a snapshot asks for at `now` (UTC), by its `every`.

    Without it all of them, else those without a whole snapshot so young: one that was put off or partial stays due.
    """
    (stream,) = registry.chosen([asset])
    keys = [connection.account_key for connection in list_connections(db, statuses=[CONNECTED])]
    if stream.every is None:
        return keys
    newest = cell_counts.last_written(db, asset, statuses=("complete",))
    return [key for key in keys if (last := newest.get(key)) is None or last <= now - stream.every + _SLACK]


Work = Callable[[AccountSession, Sequence[date], Emit], Awaitable[None]]


async def over_accounts(
    run: SyncRun, cells: Mapping[str, Sequence[date]], *, assets: Sequence[str], work: Work
) -> AsyncGenerator[AccountDayResult]:
    """`work` for each account of `cells`, side by side and apart; yields what it emits.

    Cells that `work` leaves behind when it ends in an error are failed with that error. When its reader is cancelled,
    it yields what is committed by then, and raises the cancellation.
    """
    finished: asyncio.Queue[AccountDayResult | None] = asyncio.Queue()
    gate = asyncio.Semaphore(ACCOUNTS_AT_ONCE)

    async def one(account_key: str, days: Sequence[date]) -> None:
        async with gate:
            await _account(run, account_key, sorted(set(days)), assets=assets, work=work, finished=finished.put_nowait)

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
    except asyncio.CancelledError:
        await cancelled(task)
        while not finished.empty():
            if (result := finished.get_nowait()) is not None:
                yield result
        for result in run.late:
            yield result
        raise
    finally:
        # A reader that stops early: what is under way is cancelled and waited for, so that nothing writes afterwards.
        await cancelled(task)


async def _account(
    run: SyncRun, account_key: str, days: Sequence[date], *, assets: Sequence[str], work: Work, finished: Emit
) -> None:
    """Settle all cells of one account; nothing is raised but cancellation."""
    progress = Progress(account_key, days=len(days), assets=len(assets))
    left = {(asset, day) for asset in assets for day in days}

    def emit(result: AccountDayResult) -> None:
        left.discard((result.asset, result.date))
        progress.add(result)
        finished(result)

    started_at = run.services.clock()
    connection: Connection | None = None
    try:
        connection = await run.connection(account_key)
        await work(run.session(connection), days, emit)
    except Exception as error:
        # Whatever it is (a lost database, a bug): this account's cells fail with it, the other accounts go on.
        cause = innermost(error)
        if not isinstance(cause, EXPECTED):
            logger.exception("[SYNC] %s stopped by an unexpected error", account_key)
        lost = [
            result
            for asset in assets
            for result in lost_cells(cause, asset=asset, account_key=account_key, connection=connection, days=days)
            if (asset, result.date) in left
        ]
        await in_thread(lambda: _write_down(run, lost, started_at))
        for result in lost:
            emit(result)
    finally:
        progress.finish(calls=run.services.client.calls_of(connection.account_id) if connection else 0)


def _write_down(run: SyncRun, lost: Sequence[AccountDayResult], started_at: datetime) -> None:
    try:
        with run.services.engine.begin() as db:
            record(db, lost, run_id=run.run_id, started_at=started_at, finished_at=run.services.clock())
    except sa.exc.SQLAlchemyError as error:
        # The cells are reported as failed either way; a lost database is often why they failed.
        logger.warning("[SYNC] the ledger could not be written: %s", type(error).__name__)
