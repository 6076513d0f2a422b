"""A small world to run the pipeline in: a simulator on a socket, a migrated database, connected accounts, one clock.

    with small_world(database_url, tmp_path) as small:
        small.connect("acme.studio")
        results = await small.sync(["acme.studio"], days=3)

Used by every package whose tests need the whole engine; the fixture `small` has an account of each kind.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.graph_api.catalogue import DEFAULT_SERIES, DEFAULT_TOTALS, MIN_FOLLOWERS
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.meta import graph_client, hosts, refresher
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import Connection, by_account_key
from ig_pipeline.storage.database import open_engine
from ig_pipeline.sync.engine import open_services, sync_account_days
from ig_pipeline.sync.plan import initial_window
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncServices
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import TokenVault

# A Friday afternoon in Los Angeles, far from midnight there and in UTC.
NOW = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)

# For what no database can change, such as what is asked of Meta and how it is said.
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


Disturb = Callable[[httpx.Request], httpx.Response | None]


class _Disturbed(httpx.AsyncBaseTransport):
    """The network, with somebody in between."""

    def __init__(self, disturb: Disturb) -> None:
        self._disturb = disturb
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._disturb(request) or await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


@dataclass
class SmallWorld:
    """What a test needs to run the pipeline and to know the truth."""

    simulator: RunningSimulator
    settings: Settings
    engine: sa.Engine
    clock: MovableClock
    runs: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def today(self) -> date:
        """The Pacific day of the clock."""
        return instagram_day(self.clock())

    def window(self, days: int = 30) -> list[date]:
        """The newest complete days."""
        window = initial_window(self.today, days)
        assert window is not None
        return window.days

    # ---- connections ---------------------------------------------------------------------------------------------

    def connect(
        self,
        username: str,
        *,
        email: str = "owner@b.example",
        login: Login = "facebook",
        token: str | None = None,
        expires_in: timedelta | None = timedelta(days=60),
    ) -> Connection:
        """Connect an account of the world, as the callback of a login would."""
        account = self.world.account(username)
        with self.engine.begin() as db:
            return self._vault().store(
                db,
                email=email,
                login=login,
                account_id=account.id,
                username=username,
                token=SecretStr(token or self.simulator.token(username, login)),
                expires_at=None if expires_in is None else self.clock() + expires_in,
            )

    def connect_all(self) -> list[str]:
        """Connect every account of the world, each with an owner of its own; their keys.

        Their tokens have no end: commands have the real clock, by which one of this clock's may be over.
        """
        return [
            self.connect(account.username, email=f"{account.username}@b.example", expires_in=None).account_key
            for account in self.world.accounts
        ]

    def connection(self, account_key: str) -> Connection:
        with self.engine.connect() as db:
            return by_account_key(db, account_key)

    def revoke(self, username: str, *, subcode: int = 458) -> None:
        """End every token of the account's owner."""
        logins: tuple[Login, ...] = ("facebook", "instagram")
        for login in logins:
            subject = self.simulator.simulation.subject_of(username, login)
            self.simulator.simulation.book.kill(login, subject, at=self.clock(), subcode=subcode)

    def throttle(self, username: str, *, after: int = 0, lasting: timedelta = timedelta(minutes=60)) -> None:
        """Block the account from the call `after` the next ones on."""
        account = self.world.account(username)
        self.simulator.simulation.limits.throttle(account.id, now=self.clock(), lasting=lasting, after_calls=after)

    # ---- syncing -------------------------------------------------------------------------------------------------

    async def sync(
        self,
        account_keys: Collection[str],
        *,
        days: int | Sequence[date] = 30,
        assets: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> list[AccountDayResult]:
        """Run the engine as a process of its own would: services opened and closed around it."""
        wanted = self.window(days) if isinstance(days, int) else list(days)
        return await self.sync_cells(dict.fromkeys(account_keys, wanted), assets=assets, run_id=run_id)

    async def sync_cells(
        self,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> list[AccountDayResult]:
        """The engine's results for `cells`."""
        async with open_services(self.settings, clock=self.clock) as services:
            return await self.sync_with(services, cells, assets=assets, run_id=run_id)

    async def sync_with(
        self,
        services: SyncServices,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> list[AccountDayResult]:
        """The engine's results for `cells`, with the caller's services."""
        self.runs.append(run_id or f"run-{len(self.runs) + 1}")
        return [result async for result in sync_account_days(services, cells, assets=assets, run_id=self.runs[-1])]

    @asynccontextmanager
    async def services_over(self, disturb: Disturb) -> AsyncIterator[SyncServices]:
        """Services whose every request passes `disturb` first, and whose waits cost no time.

        `disturb` answers in Meta's stead, raises what httpx would, or returns None and lets the request through.
        """

        async def no_time(seconds: float) -> None:
            await asyncio.sleep(0)

        client = GraphClient(
            hosts(self.settings),
            app_secret=self.settings.app_secret,
            clock=self.clock,
            sleep=no_time,
            transport=_Disturbed(disturb),
        )
        async with client:
            renew = refresher(client, self.settings)
            vault = TokenVault(self.engine, KeyRing.from_settings(self.settings), renew, clock=self.clock)
            yield SyncServices(self.engine, client, vault, self.clock, self.settings)

    def calls_of(self, username: str) -> int:
        """Calls about an account that the simulator counted."""
        return self.simulator.calls.of(username)

    # ---- what is in the database -----------------------------------------------------------------------------------

    def rows(self, table: sa.Table, account_key: str | None = None) -> list[dict[str, Any]]:
        """Rows of `table`, all or one account's, in the order they were written."""
        statement = sa.select(table).order_by(table.c.id)
        if account_key is not None:
            if "account_key" in table.c:
                statement = statement.where(table.c.account_key == account_key)
            else:
                statement = statement.where(table.c.account_id == self.connection(account_key).account_id)
        with self.engine.connect() as db:
            return [dict(row._mapping) for row in db.execute(statement)]

    def daily(self, account_key: str) -> dict[date, tuple[int | None, int | None]]:
        """Day → (reach, engagement) as `metrics` has it."""
        return {row["date"]: (row["reach"], row["engagement"]) for row in self.rows(tables.metrics, account_key)}

    def insights(self, account_key: str) -> dict[tuple[str, date], int]:
        """(metric, day) → value as `instagram_insights` has it."""
        rows = self.rows(tables.instagram_insights, account_key)
        return {(row["metric"], row["date"]): row["value"] for row in rows}

    def true_insights(self, username: str, days: Collection[date]) -> dict[tuple[str, date], int]:
        """(metric, day) → value of the world itself, for every metric of the catalogue the account can give."""
        account = self.world.account(username)
        absent = {"follower_count"} if account.kind.followers < MIN_FOLLOWERS else set()
        given = {*DEFAULT_SERIES, *DEFAULT_TOTALS} - absent
        return {(name, day): account.metric(name, day, self.clock()) for name in given for day in days}

    def truth(
        self, username: str, days: Collection[date], *, at: datetime | None = None
    ) -> dict[date, tuple[int | None, int | None]]:
        """Day → (reach, engagement) of the world itself, not through the API; as of the clock unless told."""
        account: Account = self.world.account(username)
        instant = at or self.clock()
        return {day: (account.reach(day, instant), account.engagement(day, instant)) for day in days}

    def _vault(self) -> TokenVault:
        client = graph_client(self.settings, clock=self.clock)
        return TokenVault(
            self.engine,
            KeyRing.from_settings(self.settings),
            refresher(client, self.settings),
            clock=self.clock,
        )


@contextmanager
def small_world(
    database_url: SecretStr,
    data_dir: Path,
    *,
    world: World | None = None,
    now: datetime = NOW,
    latency: float = 0.0,
    **settings: Any,
) -> Iterator[SmallWorld]:
    """A simulator of `world` (default: an account of each kind) and everything around it; nobody is connected yet.

    `settings`: more fields of `Settings`, for example `login`.
    """
    world = world or World(accounts=8)
    clock = MovableClock(now)
    with running_simulator(world, clock=clock, latency=latency) as simulator:
        fields = {
            "data_dir": data_dir,
            "database_url": database_url,
            "graph_url": simulator.url,
            "app_id": world.app_id,
            "app_secret": world.app_secret,
            **settings,
        }
        engine = open_engine(database_url)
        try:
            yield SmallWorld(simulator, Settings.model_validate(fields), engine, clock)
        finally:
            engine.dispose()
