"""The demo does the main job, says so, carries on the second time and leaves nothing behind."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.connections import connect, list_connections
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.results import ASSETS
from ig_pipeline_tests.cli.test_up import days_of
from ig_pipeline_tests.cli.up_process import alive, up_process, wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("up")]


def test_the_demo_fills_thirty_days_and_carries_on_the_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with up_process(folder, "demo", "--once", env={}) as demo:
        demo.says("Connected ")
        family = demo.family()
        assert wait_for(lambda: demo.process.poll() is not None, what="the end")
    assert demo.process.returncode == 0, demo.output
    assert "Traceback" not in demo.output
    assert not alive(family)
    every_account_has_the_truth(folder)
    with up_process(folder, "demo", env={}) as again:
        again.says("Ctrl-C stops")
        assert "account-days are still missing" not in again.output
        family = again.family()
        assert again.stop(signal.SIGINT) == 0
        assert not alive(family)


def every_account_has_the_truth(folder: Path) -> None:
    engine = open_engine(Settings(data_dir=folder).effective_database_url)
    with engine.connect() as db:
        connected = list_connections(db)
    now, today = datetime.now(UTC), instagram_day(datetime.now(UTC))
    window = [today - timedelta(days=n) for n in range(1, 31)]
    world = World(accounts=3)
    assert [c.username for c in connected] == [account.username for account in world.accounts]
    for connection in connected:
        account = world.account(connection.username)
        truth = {day: (account.reach(day, now), account.engagement(day, now)) for day in window}
        assert days_of(engine, connection) == truth
    engine.dispose()
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        cells = {f"{connection.account_key}|{day}" for connection in connected for day in window}
        for asset in ASSETS:
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == cells
        runs = instance.get_runs()
        assert sorted(run.tags["account"] for run in runs) == sorted(c.account_key for c in connected)
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_the_demo_refuses_a_folder_with_real_connections(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    engine = open_engine(Settings(data_dir=folder).effective_database_url)
    migrate(engine)
    with engine.begin() as db:
        connect(
            db,
            email="a@b.example",
            login="facebook",
            account_id="1",
            username="real",
            encrypt=str,
            expires_at=None,
            scopes="",
            now=datetime.now(UTC),
        )
    engine.dispose()
    with up_process(folder, "demo", "--once", env={}) as demo:
        demo.says("This database holds real connections")
        assert demo.process.wait(60) == 1
