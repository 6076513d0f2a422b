"""One account during one run: asks Meta with a valid token, writes to the database, knows when to stop.

Every call of the engine goes through `ask`, every transaction through `write`. Sessions are made by their run alone,
which holds what all accounts share.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar, cast

import sqlalchemy as sa

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.errors import AppFaultError, GraphError, RateLimitedError, TokenDeadError, TransientError
from ig_pipeline.meta import sentence_of
from ig_pipeline.settings import Settings
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key
from ig_pipeline.storage.database import DatabaseUnreachableError, reading
from ig_pipeline.storage.waiting import in_thread, retry_while_unavailable
from ig_pipeline.sync.failures import STOPPING, NotConnectedError, lost_cells
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.vault.token_vault import TokenVault

logger = logging.getLogger("ig_pipeline.sync")

T = TypeVar("T")

# SQLite has one writer; more threads would only poll for its lock. PostgreSQL takes a few.
_WRITERS = {"sqlite": 1, "postgresql": 4}


class AppBrake:
    """Shared by the accounts of a run: what concerns the whole app stops them all.

    A limit of the app (code 4) stops every account; a fault of the app, which is logged once, those of its login.
    """

    def __init__(self) -> None:
        self._limit: RateLimitedError | None = None
        self._faults: dict[str, AppFaultError] = {}

    def error_for(self, login: str) -> GraphError | None:
        """The error after which no account of `login` may be asked for; None while there is none."""
        return self._limit or self._faults.get(login)

    def apply(self, error: Exception, login: str) -> None:
        """Stop the other accounts when `error` concerns them too."""
        if isinstance(error, RateLimitedError) and error.scope == "app":
            self._limit = error
        if isinstance(error, AppFaultError) and error.whole_app and login not in self._faults:
            self._faults[login] = error
            logger.error("[SYNC] No account with %s login can be read. %s", login, sentence_of(error))


@dataclass(frozen=True)
class SyncServices:
    """What a sync works with. One per process and run: its client holds the limits of all accounts."""

    engine: sa.Engine
    client: GraphClient
    tokens: TokenVault
    clock: Clock
    settings: Settings


class SyncRun:
    """What the accounts of one run share: services, the brake of the whole app, the database's writers.

    `timeout`: seconds for which everything here waits for a database that is away; what is written must then bear
    being written twice. `asks_everything`: a person asked, so that nothing is left out for what earlier runs learnt.
    """

    def __init__(
        self, services: SyncServices, run_id: str, *, timeout: float = 0.0, asks_everything: bool = False
    ) -> None:
        self.services, self.run_id = services, run_id
        self.timeout, self.asks_everything = timeout, asks_everything
        self.writers = asyncio.Semaphore(_WRITERS.get(services.engine.dialect.name, 1))
        self.brake = AppBrake()
        self.late: list[AccountDayResult] = []
        """Cells whose transaction ended after the run was cancelled: they are committed, and no one was told."""

    async def connection(self, account_key: str) -> Connection:
        """The account's connection, whatever its status. Raises `UnknownAccountError`."""

        def find() -> Connection:
            with reading(self.services.engine) as db:
                return by_account_key(db, account_key)

        return await retry_while_unavailable(lambda: in_thread(find), timeout=self.timeout)

    def session(self, connection: Connection) -> "AccountSession":
        """The account's session. Raises `NotConnectedError`."""
        if connection.status != CONNECTED:
            advice = connection.status_message or "Connect it again."
            raise NotConnectedError(f"{connection.account_key} is not connected ({connection.status}). {advice}")
        return AccountSession(connection, self)


class AccountSession:
    """A connected account, its token and its run's means."""

    def __init__(self, connection: Connection, run: SyncRun) -> None:
        self.connection = connection
        self.run_id, self.asks_everything = run.run_id, run.asks_everything
        self.client, self.settings = run.services.client, run.services.settings
        self._run = run
        self._timeout = run.timeout
        self._credentials: Credentials | None = None
        self._renewing = asyncio.Lock()
        self._renewed = False
        self._stopped: Exception | None = None

    @property
    def stopped(self) -> Exception | None:
        """The error after which nothing more may be asked for this account; None while all is well."""
        return self._stopped or self._run.brake.error_for(self.connection.login)

    @property
    def calls(self) -> int:
        """Calls about this account that the run has made so far."""
        return self.client.calls_of(self.connection.account_id)

    def now(self) -> datetime:
        """The run's clock, in UTC."""
        return self._run.services.clock().astimezone(UTC)

    async def ask(self, question: Callable[[Credentials], Awaitable[T]]) -> T:
        """The answer to `question`. A refused token is renewed once per run and the question asked once more.

        Raises what the question raises. After a rate limit, a fault of the app, a dead token or a policy block every
        later call raises the same error at once: a throttled account that calls on is blocked for longer
        (docs/graph_api.md#errors-and-what-to-do).
        """
        if self.stopped is not None:
            raise self.stopped
        try:
            credentials = await self._current()
            try:
                return await question(credentials)
            except TokenDeadError as rejected:
                fresh = await self._renew(credentials, rejected)
            return await question(fresh)
        except STOPPING as error:
            self._stop(error)
            raise

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """`work` on a connection that only reads; it waits for no writer."""

        def look() -> T:
            with reading(self._run.services.engine) as db:
                return work(db)

        return await self._retried(lambda: in_thread(look))

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """`work` in a transaction of its own, on a thread: a waiting database must not hold up the network.

        A cancellation is raised when the transaction has ended, or before it began: nothing is written afterwards, and
        cells that it has written are in the run's `late`.
        """

        def transact() -> T:
            with self._run.services.engine.begin() as db:
                return work(db)

        async def take_turn() -> T:
            async with self._run.writers:
                return await in_thread(transact, late=self._note_late)

        return await self._retried(take_turn)

    def recorded(
        self,
        db: sa.Connection,
        asset: str,
        day: date,
        *,
        started_at: datetime,
        rows: int,
        calls: int = 0,
        values: Mapping[str, int | float | None],
        absences: Mapping[str, Absence | str],
        lacking: Collection[str] | None = None,
    ) -> AccountDayResult:
        """The result of a cell whose rows are written, with its ledger row in the same transaction.

        `absences`: what the API does not give, with the reason. `lacking`: what no rule explains, by default the
        absences that say so; a cell that has some is partial.
        """
        found = {name: absence for name, absence in absences.items() if not isinstance(absence, str)}
        if lacking is None:
            lacking = [name for name, absence in found.items() if not absence.is_explained]
        told = {name: found[name].detail if name in found else str(absence) for name, absence in absences.items()}
        result = AccountDayResult(
            asset,
            self.connection.account_key,
            day,
            "partial" if lacking else "complete",
            rows=rows,
            calls=calls,
            values=values,
            absences=dict(sorted(told.items())),
            lacking=tuple(sorted(lacking)),
            account_id=self.connection.account_id,
            u_id=self.connection.u_id,
        )
        record(db, [result], run_id=self.run_id, started_at=started_at, finished_at=self.now())
        return result

    def lost(self, error: Exception, asset: str, days: Iterable[date]) -> list[AccountDayResult]:
        """`days` of one stream as failed or deferred results."""
        connection = self.connection
        return lost_cells(error, asset=asset, account_key=connection.account_key, connection=connection, days=days)

    async def _current(self) -> Credentials:
        async with self._renewing:
            if self._credentials is None:
                key = self.connection.account_key
                token = await self._retried(lambda: self._run.services.tokens.token_of(key))
                login = cast(Literal["facebook", "instagram"], self.connection.login)
                self._credentials = Credentials(self.connection.account_id, token, login)
            return self._credentials

    async def _renew(self, rejected: Credentials, refusal: TokenDeadError) -> Credentials:
        """Fresh credentials instead of the `rejected` ones; one renewal a run, whoever of the concurrent calls asks."""
        async with self._renewing:
            current = self._credentials
            if current is not None and current.token.get_secret_value() != rejected.token.get_secret_value():
                return current
            if self._renewed:
                raise refusal
            self._renewed = True
            try:
                key = self.connection.account_key
                token = await self._retried(lambda: self._run.services.tokens.refresh_now(key, rejected.token))
            except (TransientError, RateLimitedError):
                raise
            except GraphError as error:
                if isinstance(error, AppFaultError) and error.whole_app:
                    raise
                # Dead here too, too young, or no app to renew it with: the first refusal says best what to do.
                raise refusal from None
            self._credentials = Credentials(rejected.account_id, token, rejected.login)
            return self._credentials

    async def _retried(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await retry_while_unavailable(work, timeout=self._timeout)
        except DatabaseUnreachableError:
            self._timeout = 0.0  # it is spent: what is still to be noted at the end does not wait as long again
            raise

    def _note_late(self, written: object) -> None:
        results = written if isinstance(written, list) else [written]
        self._run.late += [result for result in results if isinstance(result, AccountDayResult)]

    def _stop(self, error: Exception) -> None:
        if self._stopped is None:
            self._stopped = error
        self._run.brake.apply(error, self.connection.login)


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel `tasks` and return when they have ended: none of them does anything afterwards."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
