"""Dagster's records of one account go; those of others stay as they are, byte for byte, and nothing is read whole."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionStatus

from ig_pipeline.defs.erasure import OURS
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.settings import Settings
from ig_pipeline.storage import deletion_requests
from ig_pipeline_tests.defs.deployments import ASSETS, Deployment, canaries, deployment, words_of
from ig_pipeline_tests.defs.searching import Search
from ig_pipeline_tests.media_store.conftest import s3  # noqa: F401 - a fixture

GONE, STAYS = "gone.canary", "stays.studio"
# Words of Dagster's, of ours and of JSON's, all of them names that a person may choose.
ODD = ("complete", "ig_pipeline", "instagram", "account_insights", "true", "2026-01-01", "status", "dagster")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    accounts = [canaries(name, position=n, posts=1) for n, name in enumerate((GONE, STAYS))]
    with deployment(request, "sqlite", tmp_path, *accounts) as made:
        made.connect(GONE, STAYS)
        yield made


@pytest.fixture
def odd_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    accounts = [canaries(name, position=n, posts=1) for n, name in enumerate((*ODD, STAYS))]
    with deployment(request, "sqlite", tmp_path, *accounts) as made:
        made.connect(*ODD, STAYS)
        yield made


def ask(world: Deployment, *account_keys: str) -> str:
    chosen = [world.small.connection(key) for key in account_keys]
    with world.small.engine.begin() as db:
        return deletion_requests.request(db, chosen, origin="admin", now=world.small.clock()).code


def rows(file: Path, query: str, *values: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(query, values).fetchall()


def records(world: Deployment, run_id: str) -> dict[str, list[Any]]:
    """All that Dagster has stored of one run, and of the cells of the account that stays."""
    history = world.folder / "data" / "dagster" / "history"
    index, cells = history / "runs" / "index.db", (f"{STAYS}|%",)
    kept = ("run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition")
    columns = ", ".join(kept)
    return {
        "run": rows(history / "runs.db", "select run_id, status, run_body from runs where run_id = ?", run_id),
        "tags": rows(history / "runs.db", "select key, value from run_tags where run_id = ? order by id", run_id),
        "its events": rows(history / "runs" / f"{run_id}.db", f"select {columns} from event_logs order by id"),
        "in the index": rows(index, f"select {columns} from event_logs where run_id = ? order by id", run_id),
        "all its cells": rows(index, f"select {columns} from event_logs where partition like ? order by id", *cells),
        "tags of events": rows(
            index,
            "select t.* from asset_event_tags t join event_logs e on e.id = event_id where partition like ?",
            *cells,
        ),
        "backfills": rows(history / "runs.db", "select key, status, body from bulk_actions where body like ?", *cells)
        + rows(history / "runs.db", "select key, body from bulk_actions where body like ?", f"%{STAYS}%"),
    }


def test_accounts_named_like_words_of_dagsters_leave_the_records_of_others_as_they_are(odd_world: Deployment) -> None:
    world, instance = odd_world, odd_world.instance
    shared = world.run(*ODD, STAYS, assets=ASSETS[:3], days=1)
    alone = world.run(STAYS, assets=ASSETS[:3], days=1)
    world.run_beside("demographics")
    for name in (ODD[0], STAYS):
        world.small.revoke(name)
    failed = world.run(STAYS, assets=ASSETS[:1])
    assert not failed.success
    world.run_beside("access_tokens")
    world.add_backfill(STAYS, status=BulkActionStatus.COMPLETED_SUCCESS)
    world.add_tick(STAYS, "a line")
    before = [records(world, run.run_id) for run in (alone, failed)]
    tick, grid = world.ticks(), world.grid(STAYS)
    body = world.run_body(shared.run_id)
    texts = {asset: told(instance, asset) for asset in ("demographics", "access_tokens")}
    assert all(STAYS in text for text in texts.values())

    for name in ODD:
        ask(world, name)
    assert world.tick() == f"{len(ODD)} deletions are done, 0 wait for runs of their accounts."

    assert [records(world, run.run_id) for run in (alone, failed)] == before
    assert (world.ticks(), world.grid(STAYS)) == (tick, grid)
    # The run that all had shared is over this account alone now, and otherwise what it was.
    assert list(instance.get_dynamic_partitions(str(ACCOUNTS.name))) == [STAYS]
    assert world.run_body(shared.run_id) == body.replace(f"{ODD[0]}|", f"{STAYS}|")
    cells = {
        cell.partition("|")[0]
        for key in [*GRID_ASSETS, MEDIA_FILES]
        for cell in instance.get_materialized_partitions(key)
    }
    assert cells == {STAYS}
    for asset, text in texts.items():
        mine = [line for line in text.splitlines() if line.partition(" | ")[0].removeprefix("| ") not in ODD]
        assert told(instance, asset).splitlines() == mine


def told(instance: dg.DagsterInstance, asset: str) -> str:
    """The table of accounts in an asset's newest materialization."""
    (record,) = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    assert record.asset_materialization is not None
    (table,) = (
        value.value
        for value in record.asset_materialization.metadata.values()
        if isinstance(value, dg.MarkdownMetadataValue)
    )
    return str(table)


def test_cells_that_were_wiped_before_leave_no_tag_and_no_event_behind(world: Deployment) -> None:
    small = world.small
    shared = world.run(GONE, STAYS, assets=ASSETS, days=1)
    world.run(GONE, assets=ASSETS[:1], days=1)
    words = words_of(small.world.account(GONE), token=small.simulator.token(GONE, "facebook"))
    world.instance.wipe_assets([*GRID_ASSETS, MEDIA_FILES])
    assert world.found(GONE)
    ask(world, GONE)
    assert "1 deletions are done" in world.tick()
    assert world.found(*words) == []
    assert world.instance.has_run(shared.run_id)


def test_only_the_accounts_own_runs_are_read_and_nothing_without_a_bound(
    world: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {world.run(GONE, STAYS, assets=ASSETS[:1], days=1).run_id, world.run(GONE, assets=ASSETS[:1]).run_id}
    other = world.run(STAYS, assets=ASSETS[:1], days=1).run_id
    file = world.folder / "data" / "dagster" / "history" / "runs" / f"{other}.db"
    before = file.stat().st_mtime_ns, file.stat().st_atime_ns
    asked: list[str] = []
    unbounded: list[object] = []
    get_runs = dg.DagsterInstance.get_runs

    def watched(instance: dg.DagsterInstance, *args: Any, **named: Any) -> Any:
        if named.get("limit") is None:
            unbounded.append(named)
        return get_runs(instance, *args, **named)

    def note(_db: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(" ".join(statement.lower().split()))

    ask(world, GONE)
    monkeypatch.setattr(dg.DagsterInstance, "get_runs", watched)
    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    try:
        assert "1 deletions are done" in world.tick()
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
    assert unbounded == []
    assert mine
    assert (file.stat().st_mtime_ns, file.stat().st_atime_ns) == before
    reading = [text for text in asked if " like " in text and "from event_logs" in text]
    assert reading
    assert [text for text in reading if "asset_key in" not in text or "partition between" not in text] == []
    assert [text for text in asked if " like " in text and ("bulk_actions" in text or "job_ticks" in text)] == []


def not_to_be_used(*_args: object) -> None:
    raise AssertionError("a private part of a Dagster that is not known")


def test_a_dagster_that_is_not_known_gets_public_calls_and_the_result_says_what_is_left(
    world: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(GONE, STAYS, assets=ASSETS[:1], days=1)
    alone = world.run(GONE, assets=ASSETS[:1], days=1)
    before = world.grid(STAYS)
    code = ask(world, GONE)
    with monkeypatch.context() as patch:
        patch.setattr("dagster.__version__", "1.99.0")
        for name in ("events", "events_of", "runs", "ticks"):
            patch.setattr(f"ig_pipeline.dagster_internals.tables.{name}", not_to_be_used)
        said = world.tick()
    assert said.startswith("0 deletions are done")
    assert "does not know Dagster 1.99.0: cells and messages in 1 runs that others share" in said
    assert not world.instance.has_run(alone.run_id)
    assert not world.instance.has_dynamic_partition(str(ACCOUNTS.name), GONE)
    assert world.grid(STAYS) == before
    with world.small.engine.connect() as db:
        found = deletion_requests.by_code(db, code)
    assert found is not None
    assert found.status == "requested", "something that names the account is left"
    assert "tried again later" in world.tick()

    world.small.clock.advance(timedelta(days=1))
    assert "1 deletions are done" in world.tick()
    assert world.found(GONE) == []
    assert world.grid(STAYS) == before


def test_what_of_an_instance_is_ours_is_what_the_definitions_have(world: Deployment) -> None:
    repository = world.definitions.get_repository_def()
    names = [*(each.name for each in repository.sensor_defs), *(each.name for each in repository.schedule_defs)]
    assert set(names) == OURS.instigators
    assets = world.definitions.resolve_asset_graph()
    keys = assets.get_all_asset_keys()
    assert {key for key in keys if assets.get(key).is_partitioned} == set(OURS.grid)
    assert {key for key in keys if not assets.get(key).is_partitioned} == set(OURS.beside)


def test_a_plain_vacuum_is_the_default_and_no_row_of_postgresql_names_the_account(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    accounts = [canaries(name, position=n, posts=1) for n, name in enumerate((GONE, STAYS))]
    default = Settings().rewrite_after_deletion
    assert not default
    with deployment(request, "postgresql", tmp_path, *accounts, rewrite=default) as world:
        world.connect(GONE, STAYS)
        world.run(GONE, STAYS, assets=ASSETS[:3], days=1)
        world.run_beside("demographics")
        before = world.grid(STAYS)
        search = Search(words_of(world.small.world.account(GONE), token=world.small.simulator.token(GONE, "facebook")))
        assert any(search.in_rows(url) for url in world.urls)
        ask(world, GONE)
        assert "1 deletions are done" in world.tick()
        # The planner's statistics are the server's own; a rewrite clears them at once.
        left = [found for url in world.urls for found in search.in_rows(url) if "pg_catalog" not in found]
        assert left == []
        assert world.grid(STAYS) == before
