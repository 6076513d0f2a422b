"""The real thing: a row in the database, sensor, queue, run, rows and cells. On PostgreSQL: test_compose."""

import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from dagster_graphql.schema import create_schema
from graphql import parse, validate
from pydantic import SecretStr

from ig_pipeline.cli.children import free_port
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.meta import graph_client, refresher
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import Connection, by_account_key
from ig_pipeline.storage.database import open_engine
from ig_pipeline.sync.registry import grid
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import TokenVault
from ig_pipeline_tests.cli.truth import assert_true
from ig_pipeline_tests.cli.up_process import UpProcess, alive, up_process, wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("up")]

UI = "Dagster's UI: "


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(World(accounts=2), latency=0.05) as running:
        yield running


def settings_for(simulator: RunningSimulator, folder: Path, database_url: str | None = None) -> Settings:
    values = {"data_dir": folder, "graph_url": simulator.url, "database_url": database_url}
    app = {"app_id": simulator.world.app_id, "app_secret": simulator.world.app_secret}
    return Settings.model_validate({**values, **app})


def environment(settings: Settings) -> dict[str, str]:
    assert settings.app_secret is not None
    env = {"IG_PIPELINE_GRAPH_URL": settings.graph_url or "", "IG_PIPELINE_APP_ID": settings.app_id or ""}
    env["IG_PIPELINE_APP_SECRET"] = settings.app_secret.get_secret_value()
    if settings.database_url:
        env["IG_PIPELINE_DATABASE_URL"] = settings.database_url.get_secret_value()
    return env


def connect(
    settings: Settings, simulator: RunningSimulator, engine: sa.Engine, username: str, login: Login = "facebook"
) -> Connection:
    """A row and nothing else."""
    client = graph_client(settings)
    vault = TokenVault(
        engine,
        KeyRing.from_settings(settings),
        refresher(client, settings),
        clock=lambda: datetime.now(UTC),
    )
    with engine.begin() as db:
        return vault.store(
            db,
            email=f"{username}@b.example",
            login=login,
            account_id=simulator.world.account(username).id,
            username=username,
            token=SecretStr(simulator.token(username, login)),
            expires_at=datetime.now(UTC) + timedelta(days=50),
        )


def days_of(engine: sa.Engine, connection: Connection) -> dict[date, tuple[int | None, int | None]]:
    table = tables.metrics
    with engine.connect() as db:
        rows = db.execute(
            sa.select(table.c.date, table.c.reach, table.c.engagement).where(
                table.c.account_id == connection.account_id
            )
        )
        return {row.date: (row.reach, row.engagement) for row in rows}


def thirty_days(engine: sa.Engine, connection: Connection) -> dict[date, tuple[int | None, int | None]]:
    def look() -> dict[date, tuple[int | None, int | None]] | None:
        days = days_of(engine, connection)
        return days if len(days) >= 30 else None

    return wait_for(look, what="thirty days")


def main_job(up: UpProcess, settings: Settings, simulator: RunningSimulator) -> float:
    """Both accounts of the world get their thirty days by rows alone; seconds from the first row to the last day."""
    engine = open_engine(settings.effective_database_url)
    began, since = time.monotonic(), datetime.now(UTC)
    connected = [connect(settings, simulator, engine, account.username) for account in simulator.world.accounts]
    filled = [thirty_days(engine, connection) for connection in connected]
    took = time.monotonic() - began
    runs = up.finished_runs(len(connected))
    assert [run["status"] for run in runs] == ["SUCCESS"] * len(connected)
    assert sorted(run["tags"]["account"] for run in runs) == sorted(c.account_key for c in connected)
    assert {asset: up.materialized(asset) for asset in grid()} == dict.fromkeys(grid(), 30 * len(connected))
    with engine.connect() as db:
        marked = [by_account_key(db, connection.account_key) for connection in connected]
    for connection, days in zip(marked, filled, strict=True):
        assert connection.initial_backfill_requested_at
        assert_true(simulator.world.account(connection.username), connection, days, since=since)
    engine.dispose()
    return took


def test_the_main_job_on_sqlite_and_what_comes_after_it(tmp_path: Path, simulator: RunningSimulator) -> None:
    folder = tmp_path / "data"
    settings = settings_for(simulator, folder)
    with up_process(folder, "up", env=environment(settings)) as up:
        assert up.says(UI).startswith(f"{UI}http://127.0.0.1:{up.port}")
        main_job(up, settings, simulator)
        no_page_of_another_site_is_obeyed(up)
        its_own_page_starts_a_backfill(up, simulator)
        a_second_one_on_the_same_folder_is_refused(folder, settings)
        family = up.family()
        assert len(family) >= 4
        assert up.stop(signal.SIGINT) == 0
        assert "Stopped." in up.output
        assert not alive(family)


CELLS = '{assetKey:{path:["account_insights"]}}'
# What one image or form on a foreign page did: cells gone, work started, and with the code location all of `up`.
ORDERS = (
    f"mutation{{wipeAssets(assetPartitionRanges:[{CELLS}]){{__typename}}}}",
    'mutation{launchPartitionBackfill(backfillParams:{assetSelection:[{path:["account_insights"]}],allPartitions:true})'
    "{__typename}}",
    'mutation{startSchedule(scheduleSelector:{repositoryLocationName:"ig_pipeline",repositoryName:"__repository__",'
    'scheduleName:"nightly_media_files"}){__typename}}',
    'mutation{shutdownRepositoryLocation(repositoryLocationName:"ig_pipeline"){__typename}}',
)


def no_page_of_another_site_is_obeyed(up: UpProcess) -> None:
    address = f"http://127.0.0.1:{up.port}"
    before, runs = {asset: up.materialized(asset) for asset in grid()}, len(up.runs())
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    schema = create_schema().graphql_schema
    for order in ORDERS:
        assert validate(schema, parse(order)) == [], "an order that Dagster would not understand proves nothing"
        query = {"query": order}
        for headers in ({}, foreign):
            answers = [
                httpx.get(f"{address}/graphql", params=query, headers=headers),
                httpx.post(f"{address}/graphql", params=query, headers={**headers, **form}, content=b"a=b"),
            ]
            assert {answer.status_code for answer in answers} <= {403, 415}, order
        assert httpx.post(f"{address}/graphql", json=query, headers=foreign).status_code == 403
        assert httpx.post(f"{address}/graphql", json=query, headers={"Host": "evil.example"}).status_code == 400
    assert {asset: up.materialized(asset) for asset in grid()} == before
    assert len(up.runs()) == runs
    assert up.query("{partitionBackfillsOrError{... on PartitionBackfills{results{id}}}}") == {
        "partitionBackfillsOrError": {"results": []}
    }


def its_own_page_starts_a_backfill(up: UpProcess, simulator: RunningSimulator) -> None:
    """As the button in the grid does, and the cells turn green."""
    address, name = f"http://127.0.0.1:{up.port}", simulator.world.accounts[0].username
    days = [instagram_day(datetime.now(UTC)) - timedelta(days=ago) for ago in (34, 33, 32)]
    before = up.materialized("account_insights")
    order = "mutation($p:LaunchBackfillParams!){launchPartitionBackfill(backfillParams:$p){__typename}}"
    params = {
        "assetSelection": [{"path": [asset]} for asset in grid()],
        "partitionNames": [f"{name}|{day}" for day in days],
    }
    answer = httpx.post(
        f"{address}/graphql",
        json={"query": order, "variables": {"p": params}},
        headers={"Origin": address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        timeout=60,
    )
    assert answer.json() == {"data": {"launchPartitionBackfill": {"__typename": "LaunchBackfillSuccess"}}}
    wait_for(lambda: up.materialized("account_insights") == before + len(days) or None, what="the backfill")
    up.finished_runs(1)


def a_second_one_on_the_same_folder_is_refused(folder: Path, settings: Settings) -> None:
    with up_process(folder, "up", env=environment(settings)) as second:
        second.says("Already running for this data folder")
        assert second.process.wait(60) != 0
        assert "Traceback" not in second.output


def test_a_port_in_use_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up_process(tmp_path / "data", "up", env={}, port=port) as up:
            line = up.says(f"Port {port} on 127.0.0.1 is in use.")
            assert "--port" in line
            assert up.process.wait(60) == 1
    assert "Traceback" not in up.output


@pytest.mark.parametrize("name", ["IG_PIPELINE_DATABASE_URL", "IG_PIPELINE_DAGSTER_DATABASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["postgresql://app:open-sesame@127.0.0.1:{port}/ig", "oracle://app:open-sesame@127.0.0.1/ig", "open-sesame"],
)
def test_a_wrong_or_unreachable_url_is_one_clear_line_without_its_password(tmp_path: Path, name: str, url: str) -> None:
    with up_process(tmp_path / "data", "up", env={name: url.format(port=free_port())}) as up:
        line = up.says("Error: ")
        assert up.process.wait(60) != 0
    assert name in line
    assert "open-sesame" not in up.output
    assert "Traceback" not in up.output
