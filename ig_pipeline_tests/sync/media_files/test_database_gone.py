"""A PostgreSQL of its own that crashes under a backfill, at every place that needs it, and comes back or does not.

The long form, thirty seconds away under a process of thousands of files, is `make chaos-media`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock, Timer
from types import ModuleType
from typing import Any

import pytest
from pydantic import SecretStr

from ig_pipeline.storage import absences, media_backfills, media_items, sync_logs, tables, token_rows
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync import session
from ig_pipeline.sync.media_files import day_ledger
from ig_pipeline_tests.postgres import PostgresServer, running_postgres
from ig_pipeline_tests.sync.media_files.conftest import Make
from ig_pipeline_tests.sync.media_files.worlds import NEWEST

pytestmark = pytest.mark.anyio

# Everything a backfill asks of the database, and everything a day of Dagster's grid asks besides.
BACKFILL = [(session, "by_account_key"), (sync_logs, "days_standing"), (media_backfills, "begin"),
            (media_items, "contents"), (token_rows, "read"), (media_items, "index"), (absences, "save"),
            (day_ledger, "record"), (media_backfills, "finish")]  # fmt: skip
CELL = [(session, "by_account_key"), (day_ledger, "record")]

_AWAY_S = 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that tests may stop."""
    with running_postgres(durable=True) as running:
        yield running


@pytest.fixture
def database_url(server: PostgresServer) -> SecretStr:
    url = SecretStr(server.create())
    made = open_engine(url)
    migrate(made)
    made.dispose()
    return url


@dataclass
class Outages:
    """Crashes the server at the first use of each function, for a moment or until `end`."""

    server: PostgresServer
    returning: bool = True
    had: list[str] = field(default_factory=list)
    _stopped: bool = False
    _lock: Any = field(default_factory=Lock)

    def during(self, module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """When `module.name` has done its work, and nothing of it is committed."""
        work: Callable[..., Any] = getattr(module, name)
        place = f"{module.__name__}.{name}"

        def crashing(*arguments: Any, **keywords: Any) -> Any:
            result = work(*arguments, **keywords)
            if place in self.had:
                return result
            self.had.append(place)
            self._begin()
            return work(*arguments, **keywords)

        monkeypatch.setattr(module, name, crashing)

    def _begin(self) -> None:
        with self._lock:
            self.server.stop("immediate")
            self._stopped = True
        if self.returning:
            Timer(_AWAY_S, self.end).start()

    def end(self) -> None:
        """The server is there again."""
        with self._lock:
            if self._stopped:
                self.server.start()
                self._stopped = False


@pytest.fixture
def outages(server: PostgresServer) -> Iterator[Outages]:
    made = Outages(server)
    yield made
    made.end()


async def test_a_server_that_crashes_at_every_step_of_a_backfill_costs_nothing(
    library: Make, outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = library(*["image", "album 2"] * 4, "gone")
    for module, name in BACKFILL:
        outages.during(module, name, monkeypatch)
    result = await media.backfill()
    assert (result.status, result.tally.new) == ("complete", 12)
    assert len(outages.had) == len(BACKFILL)
    media.check_whole()
    assert [row["status"] for row in media.small.rows(tables.media_backfills)] == ["complete"]


async def test_a_day_of_the_grid_waits_for_its_ledger_too(
    library: Make, outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = library(*["image"] * 3)
    for module, name in CELL:
        outages.during(module, name, monkeypatch)
    results = await media.fill_days([NEWEST.date()])
    assert [(result.status, result.rows) for result in results] == [("complete", 3)]
    assert len(outages.had) == len(CELL)
    assert [row["status"] for row in media.small.rows(tables.instagram_sync_logs)] == ["complete"]
    media.check_whole()


async def test_a_server_that_stays_away_is_said_and_the_next_backfill_goes_on(
    library: Make, outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = library(*["image"] * 30)
    outages.during(media_items, "index", monkeypatch)
    outages.returning = False
    result = await media.backfill(database_timeout=0.4)
    assert (result.status, result.error_type) == ("failed", "DatabaseUnreachableError")
    assert "The database does not answer" in (result.error or "")
    assert "it goes on from here" in (result.error or "")
    outages.end()
    media.small.engine.dispose()  # back within a second, its old connections would be taken to live
    assert [row["status"] for row in media.small.rows(tables.media_backfills)] == ["running"]
    media.check_whole(complete=False, waiting=media.without_row())
    assert (await media.backfill()).status == "complete"
    media.check_whole()
    assert [row["status"] for row in media.small.rows(tables.media_backfills)] == ["recovered", "complete"]
