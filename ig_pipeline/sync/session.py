"""One account during one run: asks Meta with a valid token, writes to the database, knows when to stop.

Every call of the engine goes through `ask`, every transaction through `write`.
What is asked and written is decided by the modules of the assets.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime
from typing import Literal, TypeVar, cast

import sqlalchemy as sa

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.errors import AppFaultError, GraphError, RateLimitedError, TokenDeadError, TransientError
from ig_pipeline.meta import sentence_of
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import DatabaseUnreachableError, reading
from ig_pipeline.storage.waiting import retry_while_unavailable
from ig_pipeline.sync.failures import STOPPING, lost_cells
from ig_pipeline.sync.results import AccountDayResult, AnyAsset
from ig_pipeline.vault.tokens import TokenVault

logger = logging.getLogger("ig_pipeline.sync")

T = TypeVar("T")


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


class AccountSession:
    """A connected account, its token and the run's means.

    `patience`: seconds for which everything here waits for a database that is away; what is written must then bear
    being written twice. `asks_everything`: a person asked, so that nothing is left out for what earlier runs learnt.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        client: GraphClient,
        tokens: TokenVault,
        engine: sa.Engine,
        writers: asyncio.Semaphore,
        brake: AppBrake,
        clock: Clock,
        run_id: str,
        patience: float = 0.0,
        asks_everything: bool = False,
    ) -> None:
        self.connection = connection
        self.run_id = run_id
        self.asks_everything = asks_everything
        self.client = client
        self._tokens = tokens
        self._engine = engine
        self._writers = writers
        self._brake = brake
        self._clock = clock
        self._patience = patience
        self._credentials: Credentials | None = None
        self._renewing = asyncio.Lock()
        self._renewed = False
        self._stopped: Exception | None = None

    @property
    def stopped(self) -> Exception | None:
        """The error after which nothing more may be asked for this account; None while all is well."""
        return self._stopped or self._brake.error_for(self.connection.login)

    def now(self) -> datetime:
        """The run's clock, in UTC."""
        return self._clock().astimezone(UTC)

    async def ask(self, question: Callable[[Credentials], Awaitable[T]]) -> T:
        """The answer to `question`. A refused token is renewed once per run and the question asked once more.

        Raises what the question raises. After a rate limit, a fault of the app, a dead token or a policy block every
        later call raises the same error at once: a throttled account that calls on is blocked for longer (facts §4).
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
        """`work` on a connection that only reads; it waits for nobody."""

        def look() -> T:
            with reading(self._engine) as db:
                return work(db)

        return await self._outlasting(lambda: asyncio.to_thread(look))

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """`work` in a transaction of its own, on a thread: a waiting database must not hold up the network."""

        def transact() -> T:
            with self._engine.begin() as db:
                return work(db)

        async def take_turn() -> T:
            async with self._writers:
                return await asyncio.to_thread(transact)

        return await self._outlasting(take_turn)

    def lost(self, error: Exception, asset: AnyAsset, days: Iterable[date]) -> list[AccountDayResult]:
        """`days` of one asset as failed or deferred results."""
        connection = self.connection
        return lost_cells(error, asset=asset, account_key=connection.account_key, connection=connection, days=days)

    async def _current(self) -> Credentials:
        async with self._renewing:
            if self._credentials is None:
                key = self.connection.account_key
                token = await self._outlasting(lambda: self._tokens.token_of(key))
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
                token = await self._outlasting(lambda: self._tokens.refresh_now(key, rejected.token))
            except (TransientError, RateLimitedError):
                raise
            except GraphError as error:
                if isinstance(error, AppFaultError) and error.whole_app:
                    raise
                # Dead here too, too young, or no app to renew it with: the first refusal says best what to do.
                raise refusal from None
            self._credentials = Credentials(rejected.account_id, token, rejected.login)
            return self._credentials

    async def _outlasting(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await retry_while_unavailable(work, timeout=self._patience)
        except DatabaseUnreachableError:
            self._patience = 0.0  # it is spent: what is still to be noted at the end does not wait as long again
            raise

    def _stop(self, error: Exception) -> None:
        if self._stopped is None:
            self._stopped = error
        self._brake.apply(error, self.connection.login)
