"""A stand-in for the engine, and runs of the real definitions on an ephemeral instance."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.utils import make_new_run_id

from ig_pipeline.definitions import build
from ig_pipeline.defs.partitions import ACCOUNTS, range_tags
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.settings import Settings
from ig_pipeline.storage import connections
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline.sync.requests.asking import ask_for_history
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncServices

FIRST = date(2026, 10, 1)
NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)

Fate = Callable[[str, str, date], AccountDayResult]


def complete(asset: str, account_key: str, day: date) -> AccountDayResult:
    return AccountDayResult(
        asset, account_key, day, "complete", rows=2, calls=1, values={"reach": 10, "views": 20}, absences={}
    )


@dataclass
class FakeEngine:
    """Gives each cell the result `fate` decides, and remembers what it was asked."""

    fate: Fate = complete
    asked: list[tuple[dict[str, list[date]], tuple[str, ...], str]] = field(default_factory=list)
    asked_everything: list[bool] = field(default_factory=list)
    dies_after: int | None = None

    async def __call__(
        self,
        services: SyncServices,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[str],
        run_id: str,
        asks_everything: bool,
    ) -> AsyncIterator[AccountDayResult]:
        self.asked_everything.append(asks_everything)
        self.asked.append(({key: list(days) for key, days in cells.items()}, tuple(assets), run_id))
        for n, (key, day) in enumerate((key, day) for key, days in cells.items() for day in days):
            if n == self.dies_after:
                raise RuntimeError("the engine broke")
            for asset in assets:
                yield self.fate(asset, key, day)


class World:
    """The definitions on a database and an ephemeral instance, with a clock that is set by hand."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.settings = Settings(data_dir=folder, first_day=date(2026, 9, 1))
        self.now = NOW
        self.engine = FakeEngine()
        self.instance = instance
        self.pipeline = Pipeline(fetch=self.engine, settings_of=lambda: self.settings, clock=lambda: self.now)
        self.definitions = build(self.pipeline)

    def connect(self, *names: str, expires_in: timedelta | None = timedelta(days=60)) -> list[Connection]:
        """As their consents would; the owner of `ana` is ana@b.example."""
        made = []
        with self.pipeline.writing() as db:
            before = {connection.username: connection for connection in connections.list_connections(db)}
            for name in names:
                connection = connections.connect(
                    db,
                    email=f"{name}@b.example",
                    login="facebook",
                    account_id=f"1784{hash(name) % 10**9}",
                    username=name,
                    encrypt=str,
                    expires_at=self.now + expires_in if expires_in else None,
                    scopes="",
                    now=self.now,
                )
                known = before.get(name)
                ask_for_history(db, connection, before=known, settings=self.settings, now=self.now)
                made.append(connection)
        return made

    def connection(self, name: str) -> Connection:
        with self.pipeline.reading() as db:
            return connections.by_account_key(db, name)

    def add_to_grid(self, *accounts: str) -> None:
        self.instance.add_dynamic_partitions(str(ACCOUNTS.name), list(accounts))

    def sensor_tick(self, name: str, *, launch: bool = True) -> list[dg.RunRequest]:
        """One tick as the daemon does it: partitions added, a run record for each new run key."""
        sensor = self.definitions.get_repository_def().get_sensor_def(name)
        context = dg.build_sensor_context(
            instance=self.instance,
            instance_ref=None,
            definitions=self.definitions,
            resources={"pipeline": self.pipeline},
        )
        with context:
            tick = sensor.evaluate_tick(context)
        for added in tick.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
        return self.launch(tick.run_requests or [], by=name) if launch else list(tick.run_requests or [])

    def end_run(self, status: dg.DagsterRunStatus, **tags: str) -> None:
        """The newest run ends, as Dagster notes it."""
        run = self.instance.get_runs(limit=1)[0]
        self.instance.add_run_tags(run.run_id, tags)
        event = {"SUCCESS": "PIPELINE_SUCCESS", "FAILURE": "PIPELINE_FAILURE", "CANCELED": "PIPELINE_CANCELED"}
        self.instance.report_dagster_event(DagsterEvent(event[status.value], run.job_name), run.run_id)

    def schedule_tick(self, name: str, at: datetime) -> list[dg.RunRequest]:
        schedule = self.definitions.get_repository_def().get_schedule_def(name)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=at,
            resources={"pipeline": self.pipeline},
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            return self.launch(schedule.evaluate_tick(context).run_requests or [], by=name)

    def launch(self, requests: Sequence[dg.RunRequest], *, by: str) -> list[dg.RunRequest]:
        """A run record for every request whose run key is new to `by`, as the daemon's; returns those."""
        launched = []
        for request in requests:
            tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/asked_by": by}
            mine = {"dagster/run_key": tags["dagster/run_key"], "dagster/asked_by": by}
            if self.instance.get_runs(filters=dg.RunsFilter(tags=mine), limit=1):
                continue
            # A record alone: the thousands of "planned" events of a night are Dagster's business, not the tick's.
            run = dg.DagsterRun(
                job_name="__ASSET_JOB", run_id=make_new_run_id(), tags=tags, status=dg.DagsterRunStatus.NOT_STARTED
            )
            self.instance.add_run(run)
            launched.append(request)
        return launched


@contextmanager
def instance_with(*accounts: str) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        if accounts:
            instance.add_dynamic_partitions(str(ACCOUNTS.name), list(accounts))
        yield instance


def rectangle(*accounts: str, days: int = 3, first: date = FIRST) -> Rectangle:
    return Rectangle(accounts, first, first + timedelta(days=days - 1))


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=folder, first_day=date(2026, 9, 1))


def run_rectangle(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    asked: Rectangle,
    *,
    assets: Sequence[str] = ("account_insights", "media_engagement", "daily_metrics"),
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """One run of the asset job over a rectangle, in this process, with a real run record."""
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        tags={**range_tags(asked), **(tags or {})},
        asset_selection=[dg.AssetKey(name) for name in assets],
        raise_on_error=False,
    )


def status_of(instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str) -> tuple[set[str], set[str]]:
    """(green, red) cells as Dagster's grid paints them."""
    key = dg.AssetKey(asset)
    partitions = definitions.resolve_asset_graph().get(key).partitions_def
    cached = get_and_update_asset_status_cache_value(instance, key, partitions, instance)
    if cached is None or partitions is None:
        return set(), set()
    done = cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
    failed = cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()
    return set(map(str, done)), set(map(str, failed))
