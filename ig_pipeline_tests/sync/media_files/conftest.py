"""A library to fill: a small world whose accounts a test chooses, the services of media files, and what is on disk."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ig_pipeline.media_store.downloading import RETRIES, DownloadLimits
from ig_pipeline.media_store.object_storage import ObjectStorage
from ig_pipeline.media_store.store import Store
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, Watcher
from ig_pipeline.sync.media_files.runs import backfill_account, media_file_days
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncRun
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import archive_account, true_hashes

HASTY = DownloadLimits(stall=5.0, retries=replace(RETRIES, first=0.001))


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
        settings = self.small.settings
        return Path(settings.media_url) if settings.media_url else settings.home / "media"

    async def backfill(
        self, account_key: str | None = None, *, database_timeout: float = 30.0, **options: Any
    ) -> BackfillResult:
        """One backfill, as a process of its own would do it."""
        small = self.small
        async with (
            open_services(small.settings, clock=small.clock) as services,
            open_media(
                small.settings, store=self.store, download_limits=HASTY, database_timeout=database_timeout
            ) as media,
        ):
            run = SyncRun(services, f"run-{len(self.watchers)}", timeout=media.timeout)
            self.watchers.append(Watcher())
            self.days.clear()
            wanted = BackfillOptions(**options)
            key, watcher = account_key or self.key, self.watchers[-1]
            return await backfill_account(run, media, key, wanted, watcher, triggered_by="test", emit=self.days.append)

    async def fill_days(
        self, days: Sequence[date], *keys: str, run_id: str = "run", options: BackfillOptions | None = None
    ) -> list[AccountDayResult]:
        """The cells of some accounts, as Dagster asks for them; runs are by "dagster", each a retry of the others."""
        small = self.small
        async with (
            open_services(small.settings, clock=small.clock) as services,
            open_media(small.settings, store=self.store, download_limits=HASTY) as media,
        ):
            cells = dict.fromkeys(keys or (self.key,), days)
            results = media_file_days(
                services,
                media,
                cells,
                run_id=run_id,
                triggered_by="dagster",
                options=options,
                ended=lambda _: None,
            )
            return [result async for result in results]

    def rows(self) -> list[dict[str, Any]]:
        return self.small.rows(tables.media_items)

    def files(self) -> dict[str, str]:
        """Path → SHA-256 of everything in the library's folder or bucket, parts included."""
        if isinstance(self.store, ObjectStorage):
            found = {key: self.store.read(key) for key in self.store.keys("instagram_backfill")}
            found |= {path.name: path.read_bytes() for path in self.small.settings.home.rglob("*.part")}
        else:
            paths = [path for path in self.root.rglob("*") if path.is_file()]
            found = {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}
        return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}

    def without_row(self) -> set[str]:
        """Paths of files that no row leads to."""
        return set(self.files()) - {row["file_path"] for row in self.rows()}

    def truth(self, account: Account | None = None) -> dict[str, str]:
        """Media id → SHA-256 of every file the account has."""
        account = account or self.account
        assert account.archive is not None
        return dict(true_hashes(self.small.simulator.cdn, account.archive))

    def check_whole(self, *, complete: bool = True, waiting: Collection[str] = ()) -> None:
        """The library is what the world has: every row its file, every file a row, no part, hashes true.

        `waiting`: files whose row the next backfill writes.
        """
        wrong = self._wrong(complete=complete, waiting=waiting)
        assert not wrong, f"the library is not whole: {'; '.join(wrong)}"

    def _wrong(self, *, complete: bool, waiting: Collection[str]) -> list[str]:
        rows, files, truth = self.rows(), self.files(), self.truth()
        paths = {row["file_path"] for row in rows}
        hashes = {row["instagram_media_id"]: row["file_hash"] for row in rows}
        counts = {
            "parts": sum(name.endswith(".part") for name in files),
            "rows without their file": len(paths - set(files)),
            "files without a row": len(set(files) - paths - set(waiting)),
            "files with other bytes than their row says": sum(
                files.get(row["file_path"], row["file_hash"]) != row["file_hash"] for row in rows
            ),
            "rows of one media id twice": len(rows) - len(hashes),
            "rows that are not the world's": len(hashes.items() - truth.items()),
            "files of the world missing": len(truth.keys() - hashes.keys()) if complete else 0,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


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
