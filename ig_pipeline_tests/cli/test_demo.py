"""The demo does the main job, says so, carries on the second time and leaves nothing behind."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import open_engine
from ig_pipeline.sync.registry import grid
from ig_pipeline_tests.canaries import assert_no_token, assert_nowhere
from ig_pipeline_tests.cli.test_up import days_of
from ig_pipeline_tests.cli.truth import assert_true
from ig_pipeline_tests.cli.up_process import alive, is_scheduled, up_process, wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("up")]


# What a deployment's .env may hold: none of it is for made-up numbers.
REAL = """
IG_PIPELINE_DATABASE_URL=postgresql://app@127.0.0.1:1/real
IG_PIPELINE_DAGSTER_DATABASE_URL=postgresql://app@127.0.0.1:1/real
IG_PIPELINE_MEDIA_URL=s3://real
IG_PIPELINE_GRAPH_URL=http://127.0.0.1:1
"""


def test_the_demo_fills_thirty_days_and_carries_on_the_second_time(tmp_path: Path) -> None:
    folder, since = tmp_path / "data", datetime.now(UTC)
    (tmp_path / ".env").write_text(REAL)
    with up_process(folder, "demo", "--once", env={}) as demo:
        demo.says("Connected ")
        family = demo.family()
        assert wait_for(lambda: demo.process.poll() is not None, what="the end")
    assert demo.process.returncode == 0, demo.output
    assert "Traceback" not in demo.output
    assert not alive(family)
    every_account_has_the_truth(folder / "demo", since=since)
    assert [path.name for path in folder.iterdir()] == ["demo"], "it is kept apart from real data"
    key = (folder / "demo" / "keys" / "token.key").read_text().split()[-1]
    assert_nowhere({"app secret": World(accounts=3).app_secret, "key": key}, demo.output, folder)
    assert_no_token(demo.output, folder)
    with up_process(folder, "demo", env={"IG_LONG_TOKEN": "canary-long-token"}) as again:
        again.says("Ctrl-C stops")
        assert [child for child in again.family()[1:] if "canary-long-token" in child.environ().values()] == []
        if instagram_day(datetime.now(UTC)) == instagram_day(since):
            assert "account-days are still missing" not in again.output
        family = again.family()
        assert again.stop(signal.SIGINT) == 0
        assert not alive(family)


def every_account_has_the_truth(folder: Path, *, since: datetime) -> None:
    engine = open_engine(Settings(data_dir=folder).effective_database_url)
    with engine.connect() as db:
        connected = list_connections(db)
    world = World(accounts=3)
    assert [c.username for c in connected] == [account.username for account in world.accounts]
    for connection in connected:
        assert_true(world.account(connection.username), connection, days_of(engine, connection), since=since)
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        cells = {f"{c.account_key}|{day}" for c in connected for day in days_of(engine, c)}
        for asset in grid():
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == cells
        runs = [run for run in instance.get_runs() if not is_scheduled(run.tags)]
        assert sorted(run.tags["account"] for run in runs) == sorted(c.account_key for c in connected)
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    engine.dispose()
