"""The one resource: how definitions reach the settings, the clock, the database and the engine.

Assets, sensors and checks get this plain object; nothing is opened or read before they call it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import sqlalchemy as sa

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.database import plain_errors, reading, shared_engine
from ig_pipeline.storage.scrubbing import scrub
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult
from ig_pipeline.sync.results import AccountDayResult, AssetName, AudienceAsset
from ig_pipeline.sync.token_refresh import TokenResult, refresh_tokens


class CellSource(Protocol):
    """What fetches cells: the engine, or a stand-in in tests."""

    def __call__(
        self,
        settings: Settings,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[AssetName],
        run_id: str,
        asks_everything: bool,
        clock: Clock,
    ) -> AsyncIterator[AccountDayResult]:
        """One result per asset and cell, in the order they are finished; `asks_everything`: a person asked."""
        ...


class MediaSource(Protocol):
    """What fetches the media files of cells: the engine, or a stand-in in tests."""

    def __call__(
        self,
        settings: Settings,
        cells: Mapping[str, Sequence[date]],
        *,
        run_id: str,
        triggered_by: str,
        options: BackfillOptions | None,
        ended: Callable[[BackfillResult], None],
        clock: Clock,
    ) -> AsyncIterator[AccountDayResult]:
        """One result per cell, in the order they are finished; with `options`, per cell that these settle."""
        ...


async def fetch_cells(
    settings: Settings,
    cells: Mapping[str, Sequence[date]],
    *,
    assets: Collection[AssetName],
    run_id: str,
    asks_everything: bool,
    clock: Clock,
) -> AsyncIterator[AccountDayResult]:
    """The engine, with its own client and database for the length of one run."""
    # pandas and the client are needed in runs only; a code server that never runs starts half a second sooner.
    from ig_pipeline.sync.engine import open_services, sync_account_days  # noqa: PLC0415

    async with open_services(settings, clock=clock) as services:
        results = sync_account_days(services, cells, assets=assets, run_id=run_id, asks_everything=asks_everything)
        async for result in results:
            yield result


async def fetch_media_cells(
    settings: Settings,
    cells: Mapping[str, Sequence[date]],
    *,
    run_id: str,
    triggered_by: str,
    options: BackfillOptions | None,
    ended: Callable[[BackfillResult], None],
    clock: Clock,
) -> AsyncIterator[AccountDayResult]:
    """The engine of media files, with its own client, database and store for the length of one run."""
    from ig_pipeline.sync.engine import open_services  # noqa: PLC0415 - as above
    from ig_pipeline.sync.media_files.cells import media_file_days  # noqa: PLC0415 - as above
    from ig_pipeline.sync.media_files.services import open_media  # noqa: PLC0415 - as above

    async with open_services(settings, clock=clock) as services, open_media(settings) as media:
        results = media_file_days(
            services, media, cells, run_id=run_id, triggered_by=triggered_by, options=options, ended=ended
        )
        async for result in results:
            yield result


async def fetch_snapshots(
    settings: Settings, asset: AudienceAsset, account_keys: Collection[str], *, run_id: str, clock: Clock
) -> AsyncIterator[AccountDayResult]:
    """The engine of what stands beside the grid: one result per account."""
    from ig_pipeline.sync.audience import refresh_demographics, refresh_online_followers  # noqa: PLC0415 - as above
    from ig_pipeline.sync.engine import open_services  # noqa: PLC0415 - as above
    from ig_pipeline.sync.stories import poll_stories  # noqa: PLC0415 - as above

    take = {
        "demographics": refresh_demographics,
        "online_followers": refresh_online_followers,
        "stories": poll_stories,
    }[asset]
    async with open_services(settings, clock=clock) as services:
        async for result in take(services, account_keys, run_id=run_id):
            yield result


async def refresh_all(settings: Settings, clock: Clock) -> list[TokenResult]:
    """The vault, over every connected account."""
    from ig_pipeline.sync.engine import open_services  # noqa: PLC0415 - as above

    async with open_services(settings, clock=clock) as services:
        return await refresh_tokens(services.engine, services.tokens)


@dataclass(frozen=True)
class Pipeline:
    """Factories, not connections: a code server lives for weeks, a run for seconds."""

    settings_of: Callable[[], Settings] = load_settings
    clock: Clock = utc_now
    fetch: CellSource = fetch_cells
    fetch_media: MediaSource = fetch_media_cells
    refresh: Callable[[Settings, Clock], Awaitable[list[TokenResult]]] = refresh_all

    def cells(
        self,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[AssetName],
        run_id: str,
        asks_everything: bool = False,
    ) -> AsyncIterator[AccountDayResult]:
        """Fetch `cells`: one result per asset and cell. `asks_everything`: a person asked."""
        self._engine()
        return self.fetch(
            self.settings, cells, assets=assets, run_id=run_id, asks_everything=asks_everything, clock=self.clock
        )

    def media_cells(
        self,
        cells: Mapping[str, Sequence[date]],
        *,
        run_id: str,
        triggered_by: str,
        options: BackfillOptions | None,
        ended: Callable[[BackfillResult], None],
    ) -> AsyncIterator[AccountDayResult]:
        """Fetch the media files of `cells`: one result per cell; with `options`, per cell that these settle."""
        self._engine()
        return self.fetch_media(
            self.settings,
            cells,
            run_id=run_id,
            triggered_by=triggered_by,
            options=options,
            ended=ended,
            clock=self.clock,
        )

    def snapshots(
        self, asset: AudienceAsset, account_keys: Collection[str], *, run_id: str
    ) -> AsyncIterator[AccountDayResult]:
        """Fetch what stands beside the grid: one result per account."""
        self._engine()
        return fetch_snapshots(self.settings, asset, account_keys, run_id=run_id, clock=self.clock)

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
