"""A library to fill: a small world whose accounts a test chooses, the services of media files, and what is on disk."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ig_pipeline.media_store.downloading import Patience
from ig_pipeline.media_store.store import Store
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.cells import media_file_days
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult
from ig_pipeline.sync.media_files.runs import MediaRun, Watcher
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import archive_account, true_hashes

HASTY = Patience(stall=5.0, pause=0.001)


@dataclass
class Library:
    """A small world and its library."""

    small: SmallWorld
    store: Store | None = None
    watchers: list[Watcher] = field(default_factory=list)
    days: list[AccountDayResult] = field(default_factory=list)

    @property
    def account(self) -> Account:
        return self.small.world.accounts[0]

    @property
    def key(self) -> str:
        return self.account.username

    @property
    def root(self) -> Path:
        return self.small.settings.home / "media"

    async def backfill(self, account_key: str | None = None, **options: Any) -> BackfillResult:
        """One backfill, as a process of its own would do it."""
        small = self.small
        async with (
            open_services(small.settings, clock=small.clock) as services,
            open_media(small.settings, store=self.store, download_patience=HASTY, database_patience=5.0) as media,
        ):
            run = MediaRun(services, media, run_id=f"run-{len(self.watchers)}", triggered_by="test")
            self.watchers.append(Watcher())
            self.days.clear()
            wanted = BackfillOptions(**options)
            return await run.backfill(account_key or self.key, wanted, self.watchers[-1], emit=self.days.append)

    async def fill_days(self, days: Sequence[date], *keys: str, run_id: str = "run") -> list[AccountDayResult]:
        """The cells of some accounts, as Dagster asks for them."""
        small = self.small
        async with (
            open_services(small.settings, clock=small.clock) as services,
            open_media(small.settings, store=self.store, download_patience=HASTY) as media,
        ):
            cells = dict.fromkeys(keys or (self.key,), days)
            return [result async for result in media_file_days(services, media, cells, run_id=run_id)]

    def rows(self) -> list[dict[str, Any]]:
        return self.small.rows(tables.media_items)

    def files(self) -> dict[str, str]:
        """Path → SHA-256 of everything below the library's folder."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file()
        }

    def truth(self, account: Account | None = None) -> dict[str, str]:
        """Media id → SHA-256 of every file the account has."""
        account = account or self.account
        assert account.archive is not None
        return dict(true_hashes(self.small.simulator.cdn, account.archive))

    def check_whole(self, *, complete: bool = True) -> None:
        """The library is what the world has: every row its file, every file a row, no part, hashes true."""
        rows, files, truth = self.rows(), self.files(), self.truth()
        assert not [name for name in files if name.endswith(".part")]
        assert {row["file_path"] for row in rows} == set(files)
        assert all(files[row["file_path"]] == row["file_hash"] for row in rows)
        found = {row["instagram_media_id"]: row["file_hash"] for row in rows}
        assert len(found) == len(rows)
        assert found == truth if complete else found.items() <= truth.items()


Make = Callable[..., Library]


@pytest.fixture
def library(database_url: SecretStr, tmp_path: Path) -> Iterator[Make]:
    """Makes a library for an account with posts of the given shapes; on both databases."""
    with ExitStack() as stack:

        def make(*shapes: str, accounts: Sequence[Account] | None = None, **settings: Any) -> Library:
            world = World(given=accounts or [archive_account(shapes)])
            small = stack.enter_context(small_world(database_url, tmp_path / "data", world=world, **settings))
            small.connect_all()
            return Library(small)

        yield make
