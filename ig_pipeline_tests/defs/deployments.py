"""A whole deployment on its real storages: the engine, Dagster on SQLite or PostgreSQL, media in a folder or S3."""

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import DynamicPartitionsRequestResult, TickData, TickStatus
from dagster._core.storage.compute_log_manager import ComputeIOType
from pydantic import SecretStr

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.definitions import build
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS, cell_key
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline_tests.defs.searching import Search, everywhere
from ig_pipeline_tests.defs.stand_ins import run_rectangle, status_of
from ig_pipeline_tests.postgres import PostgresServer
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account

LAST = NEWEST.date()
ASSETS = [key.to_user_string() for key in [*GRID_ASSETS, MEDIA_FILES]]


@dataclass
class Deployment:
    """What a test does with it, and where it looks afterwards."""

    folder: Path
    small: SmallWorld
    instance: dg.DagsterInstance
    urls: list[str]
    server: PostgresServer | None

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(settings_of=lambda: self.small.settings, clock=self.small.clock)
        self.definitions = build(self.pipeline)
        self._cursors: dict[str, str | None] = {}

    def connect(self, *usernames: str, email: str | None = None) -> None:
        for username in usernames:
            key = self.small.connect(username, email=email or f"{username}@mail.example").account_key
            self.instance.add_dynamic_partitions(str(ACCOUNTS.name), [key])

    def run(self, *account_keys: str, assets: Sequence[str], days: int = 2) -> dg.ExecuteInProcessResult:
        """A run over the last days of neighbouring accounts."""
        return run_rectangle(
            self.definitions,
            self.instance,
            Rectangle(account_keys, LAST - timedelta(days=days - 1), LAST),
            assets=assets,
        )

    def run_beside(self, *assets: str) -> dg.ExecuteInProcessResult:
        """A run of assets without partitions, over everybody."""
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance, asset_selection=[dg.AssetKey(name) for name in assets], raise_on_error=False
        )

    def add_backfill(self, *account_keys: str, status: BulkActionStatus, days: int = 2) -> str:
        """A backfill as Dagster's UI leaves it behind."""
        cells = {str(cell_key(key, LAST - timedelta(days=n))) for key in account_keys for n in range(days)}
        backfill = PartitionBackfill.from_asset_graph_subset(
            backfill_id=uuid.uuid4().hex[:8],
            backfill_timestamp=self.small.clock().timestamp(),
            dynamic_partitions_store=self.instance,
            asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # the rest has defaults
                partitions_subsets_by_asset_key={GRID_ASSETS[0]: DefaultPartitionsSubset(cells)},
            ),
            tags={"account": account_keys[0]},
            title=f"Again: {account_keys[0]}",
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill.with_status(status))
        return str(backfill.backfill_id)

    def add_tick(self, account_key: str, line: str) -> None:
        """A tick of `new_connections` as the daemon leaves it behind, with what it logged."""
        log_key = ["__repository__", "new_connections", uuid.uuid4().hex]
        with self.instance.compute_log_manager.open_log_stream(log_key, ComputeIOType.STDERR) as log:
            assert log is not None
            log.write(line)  # type: ignore[call-overload]  # declared without saying text or bytes
        self.instance.create_tick(
            TickData(
                instigator_origin_id="new_connections",
                instigator_name="new_connections",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.SUCCESS,
                timestamp=self.small.clock().timestamp(),
                selector_id="new_connections",
                log_key=log_key,
                run_ids=[],
                dynamic_partitions_request_results=[
                    DynamicPartitionsRequestResult(str(ACCOUNTS.name), [account_key], None, [])
                ],
            )
        )

    def tick(self) -> str:
        """A tick of the sensor `deletions` and the run that it asks for; what either says."""
        asked = self._evaluate("deletions")
        if not asked.run_requests:
            return asked.skip_message or ""
        job = self.definitions.resolve_job_def("forget_accounts")
        try:
            run = job.execute_in_process(instance=self.instance)
        except BaseException:  # as the daemon does when it notices that the process is gone
            for left in self.instance.get_runs(filters=dg.RunsFilter(job_name=job.name), limit=1):
                self.instance.report_run_failed(left)
            raise
        (ended,) = (event for event in run.all_events if event.is_successful_output)
        return str(ended.step_output_data.metadata["result"].value)

    def run_what_is_requested(self) -> list[dg.ExecuteInProcessResult]:
        """A tick of the sensor `requested_syncs`, and the runs that it asks for."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return [
            job.execute_in_process(
                instance=self.instance, tags=dict(asked.tags), asset_selection=list(asked.asset_selection or ())
            )
            for asked in self._evaluate("requested_syncs").run_requests or ()
        ]

    def _evaluate(self, name: str) -> SensorExecutionData:
        sensor = self.definitions.get_repository_def().get_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.instance,
            definitions=self.definitions,
            resources={"pipeline": self.pipeline},
            cursor=self._cursors.get(name),
        ) as context:
            answer = sensor.evaluate_tick(context)
            self._cursors[name] = context.cursor
        return answer

    def grid(self, account_key: str) -> dict[str, tuple[set[str], set[str], dict[str, object]]]:
        """Asset → green cells, red cells, and what the newest event of each green one shows."""
        found: dict[str, tuple[set[str], set[str], dict[str, object]]] = {}
        for asset in ASSETS:
            green, red = (
                {cell for cell in cells if cell.startswith(f"{account_key}|")}
                for cells in status_of(self.instance, self.definitions, asset)
            )
            shown: dict[str, object] = {}
            for record in reversed(self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records):
                if record.partition_key in green and record.asset_materialization is not None:
                    shown[str(record.partition_key)] = (record.run_id, record.asset_materialization.metadata)
            found[asset] = green, red, shown
        return found

    def run_body(self, run_id: str) -> str:
        """A run as Dagster's SQLite stores it."""
        (body,) = self._rows("history/runs.db", "select run_body from runs where run_id = ?", run_id)
        return str(body[0])

    def ticks(self) -> list[Any]:
        """Ticks as Dagster's SQLite stores them."""
        return self._rows("schedules/schedules.db", "select id, tick_body from job_ticks order by id")

    def _rows(self, file: str, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "data" / "dagster" / file)) as db:
            return db.execute(query, values).fetchall()

    def found(self, *words: str) -> list[str]:
        """Where any of the words is, in whatever spelling."""
        store = open_store(self.small.settings)
        return everywhere(Search(words), self.folder, self.urls, self.server, store)


def canaries(username: str, *, position: int, posts: int = 3) -> Account:
    """An account whose posts have captions of their own."""
    account = archive_account(["image"] * posts, username=username, position=position)
    assert account.archive is not None
    archive = tuple(
        replace(
            post, caption=f"Wörds of {username.replace('.', ' ')} № {n}", shortcode=f"{username.replace('.', '')}{n}"
        )
        for n, post in enumerate(account.archive)
    )
    return replace(account, archive=archive)


def words_of(account: Account, *, token: str) -> list[str]:
    """What only this account has: names, ids, captions, permalinks, the token."""
    posts = account.archive or ()
    captions = [post.caption for post in posts if post.caption]
    ids = [*(post.id for post in posts), *(f"/p/{post.shortcode}/" for post in posts)]
    return [account.username, account.id, f"{account.username}@mail.example", *captions, *ids, token]


@contextmanager
def deployment(
    request: pytest.FixtureRequest, kind: str, folder: Path, *accounts: Account, rewrite: bool = True
) -> Iterator[Deployment]:
    """`kind`: sqlite (and a folder for media) or postgresql (and S3). `rewrite`: no bytes are left in its files."""
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    server: PostgresServer | None = None
    settings: dict[str, Any] = {"first_day": date(2026, 11, 1)}
    urls: list[str] = []
    if kind == "sqlite":
        url = SecretStr(f"sqlite:///{folder / 'data' / 'ig_pipeline.db'}")
    else:
        server = request.getfixturevalue("postgres")
        urls = [server.create(), server.create()]
        url = SecretStr(urls[0])
        settings["dagster_database_url"] = SecretStr(urls[1])
        settings["rewrite_after_deletion"] = rewrite
        settings["media_url"] = f"s3://{_bucket(request, patch)}"
    migrate(open_engine(url))
    with small_world(url, folder / "data", world=World(given=accounts), **settings) as small:
        home = prepare_home(small.settings)
        if dagster_url := small.settings.dagster_storage_url:
            patch.setenv("IG_PIPELINE_DAGSTER_DATABASE_URL", dagster_url.get_secret_value())
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield Deployment(folder, small, instance, urls, server)
    for url_ in urls:
        assert server is not None
        server.drop(url_)


def _bucket(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> str:
    address, bucket = request.getfixturevalue("s3"), f"b{uuid.uuid4().hex}"
    httpx.put(f"{address}/{bucket}").raise_for_status()
    for name, value in {
        "AWS_ENDPOINT": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        patch.setenv(name, value)
    return bucket
