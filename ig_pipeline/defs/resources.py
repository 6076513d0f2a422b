"""The one resource: how definitions reach the settings, the clock, the database and the engine.

Assets, sensors and checks get this plain object; nothing is opened or read before they call it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.database import plain_errors, reading, shared_engine
from ig_pipeline.storage.scrubbing import scrub
from ig_pipeline.sync.engine import open_services, sync_account_days
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncServices
from ig_pipeline.sync.token_refresh import TokenResult, refresh_tokens

Cells = Callable[..., AsyncIterator[AccountDayResult]]
"""What fetches the grid's cells, called as `sync_account_days` is: that, or a stand-in in tests."""


async def refresh_all(settings: Settings, clock: Clock) -> list[TokenResult]:
    """The vault, over every connected account."""
    async with open_services(settings, clock=clock) as services:
        return await refresh_tokens(services.engine, services.tokens)


@dataclass(frozen=True)
class Pipeline:
    """Factories, not connections: a code server lives for weeks, a run for seconds."""

    settings_of: Callable[[], Settings] = load_settings
    clock: Clock = utc_now
    fetch: Cells = sync_account_days
    refresh: Callable[[Settings, Clock], Awaitable[list[TokenResult]]] = refresh_all

    async def results(
        self, work: Callable[[SyncServices], AsyncIterator[AccountDayResult]]
    ) -> AsyncIterator[AccountDayResult]:
        """What `work` yields, with a client and a database of its own for the length of one run."""
        self._engine()
        async with open_services(self.settings, clock=self.clock) as services:
            async for result in work(services):
                yield result

    async def refreshed_tokens(self) -> list[TokenResult]:
        """Refresh what is due, of every connected account."""
        self._engine()
        return await self.refresh(self.settings, self.clock)

    @property
    def settings(self) -> Settings:
        """The settings as they are now. Raises `SettingsError`."""
        return self.settings_of()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The database, to read. Raises `DatabaseError`, one line without the password."""
        with plain_errors(), reading(self._engine()) as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block. Raises `DatabaseError`."""
        with plain_errors(), self._engine().begin() as db:
            yield db

    def scrub(self, *, rewrite: bool) -> None:
        """Let nothing deleted linger in the database's files, see `storage.scrubbing`. Raises `DatabaseError`."""
        scrub(self._engine(), rewrite=rewrite)

    def _engine(self) -> sa.Engine:
        """One engine per process and URL, its tables up to date: `dagster dev` in a fresh clone has no others."""
        return shared_engine(self.settings.effective_database_url)
