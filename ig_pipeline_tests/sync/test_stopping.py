"""A sync or a backfill that is stopped: when it has ended, nothing is written and no task is left."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.storage import insights, media_items, sync_logs, tables
from ig_pipeline.sync.engine import open_services, sync_account_days
from ig_pipeline.sync.media_files.backfill import FilesBackfill
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.sync.media_files.conftest import Make, library

__all__ = ["library"]

pytestmark = pytest.mark.anyio

_HELD_S = 0.1


async def stopped_while_writing(
    work: Callable[[], Awaitable[Any]], module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel `work` while a transaction of it stands at `module.name`, which goes on a moment later."""
    write, began, release = getattr(module, name), Event(), Event()

    def held(*arguments: Any, **keywords: Any) -> Any:
        began.set()
        assert release.wait(30)
        return write(*arguments, **keywords)

    monkeypatch.setattr(module, name, held)
    task = asyncio.ensure_future(work())
    assert await asyncio.to_thread(began.wait, 30)
    task.cancel()
    asyncio.get_running_loop().call_later(_HELD_S, release.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()


async def rows_and_after(engine: sa.Engine, *names: sa.Table) -> list[tuple[int, int]]:
    """Rows of each table now, and when every thread has come to its end."""

    def count(table: sa.Table) -> int:
        with engine.connect() as db:
            return int(db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    now = [count(table) for table in names]
    await asyncio.get_running_loop().shutdown_default_executor()
    return list(zip(now, map(count, names), strict=True))


async def test_a_stopped_sync_writes_nothing_afterwards(small: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    small.connect("acme.studio")
    told: set[tuple[str, date]] = set()

    async def sync() -> None:
        cells = {"acme.studio": small.window(3)}
        async with open_services(small.settings, clock=small.clock) as services:
            async for result in sync_account_days(services, cells, run_id="stopped"):
                told.add((result.asset, result.date))

    await stopped_while_writing(sync, insights, "save", monkeypatch)
    found = await rows_and_after(small.engine, tables.instagram_insights, tables.instagram_sync_logs)
    assert found == [(before, before) for before, _ in found]
    # What was under way is whole, the cell's rows and its ledger row, and the reader knows of it.
    assert told == {(row["asset"], row["date"]) for row in small.rows(tables.instagram_sync_logs)}
    assert told
    assert {row["date"] for row in small.rows(tables.instagram_insights)} == {
        row["date"] for row in small.rows(tables.instagram_sync_logs) if row["asset"] == "account_insights"
    }


@pytest.mark.parametrize(("module", "name"), [(sync_logs, "record"), (media_items, "index")], ids=["ledger", "rows"])
async def test_a_stopped_backfill_writes_nothing_afterwards(
    library: Make, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = library(*["image"] * 3)
    await stopped_while_writing(media.backfill, module, name, monkeypatch)
    ledger = media.small.rows(tables.instagram_sync_logs)
    assert {row["date"] for row in ledger} == {result.date for result in media.days}
    found = await rows_and_after(media.small.engine, tables.media_items, tables.instagram_sync_logs)
    assert found == [(before, before) for before, _ in found]
    media.check_whole(complete=False, waiting=media.without_row())


async def test_a_listing_that_ends_at_a_limit_leaves_no_task_behind(
    library: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: set[str] = set()
    run = FilesBackfill.run

    async def watched(self: FilesBackfill) -> None:
        before = asyncio.all_tasks()
        await run(self)
        left.update(map(str, asyncio.all_tasks() - before))

    monkeypatch.setattr(FilesBackfill, "run", watched)
    media = library(*["image"] * 3)
    assert (await media.backfill(limit=1, dry_run=True)).tally.taken == 1
    assert not left
