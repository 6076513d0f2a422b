"""What an event of Dagster's costs: the shipped event logs beside ours, on SQLite and PostgreSQL, in one run.

Beside each the limit: the same bytes in a bare table, one INSERT of all of them. Every figure is the median of several
rounds, with the lowest and the highest; rounds of the storages take turns, so that a busy machine is busy for all.
Exits 1 when a planned event costs more than 0.3 ms or a materialization more than 2 ms of the process's own CPU time.
"""

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value

from ig_pipeline.dagster_storage.gathering import GatheringEventLogStorage
from ig_pipeline_tests.dagster_storage.storages import postgres_place, sqlite_place
from ig_pipeline_tests.postgres import running_postgres

ROUNDS = 5
EVENTS = {"shipped": 60, "ours": 1_500, "limit": 1_500}
MOST_MS = {"planned": 0.3, "materialized": 2.0}
_ASSETS = ("account_insights", "media_engagement", "daily_metrics")
_ROW = "{:12} {:14} {:9} {:>10} {:>20} {:>10} {:>10}"

Store = Callable[[Sequence[EventLogEntry]], None]


@dataclass
class Cost:
    """Milliseconds an event, a value for each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, wall: float, cpu: float, events: int) -> None:
        self.wall.append(wall / events * 1000)
        self.cpu.append(cpu / events * 1000)


def main() -> int:
    """Measure and print; the exit code."""
    costs: dict[tuple[str, str, str], Cost] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgres())
        stores = {
            ("SQLite", "shipped"): _storing(sqlite_place(folder / "shipped").shipped()),
            ("SQLite", "ours"): _storing(sqlite_place(folder / "ours").ours()),
            ("SQLite", "limit"): stack.enter_context(_bare(f"sqlite:///{folder / 'bare.db'}")),
            ("PostgreSQL", "shipped"): _storing(postgres_place(server.create()).shipped()),
            ("PostgreSQL", "ours"): _storing(postgres_place(server.create()).ours()),
            ("PostgreSQL", "limit"): stack.enter_context(_bare(server.create())),
        }
        for store in stores.values():
            store(_events("planned", 3))  # tables, connections and compiled statements
        for _ in range(ROUNDS):
            for kind in MOST_MS:
                for (database, name), store in stores.items():
                    events = _events(kind, EVENTS[name])
                    wall, cpu = time.perf_counter(), time.process_time()
                    store(events)
                    cost = costs.setdefault((database, kind, name), Cost())
                    cost.add(time.perf_counter() - wall, time.process_time() - cpu, len(events))
    return _print(costs)


def _print(costs: dict[tuple[str, str, str], Cost]) -> int:
    print(_ROW.format("database", "event", "storage", "ms", "lowest to highest", "ms of CPU", "x limit"))
    missed = []
    for (database, kind, name), cost in costs.items():
        limit = statistics.median(costs[database, kind, "limit"].wall)
        median, cpu = statistics.median(cost.wall), statistics.median(cost.cpu)
        spread = f"{min(cost.wall):.2f} to {max(cost.wall):.2f}"
        print(_ROW.format(database, kind, name, f"{median:.2f}", spread, f"{cpu:.2f}", f"{median / limit:.1f}"))
        if name == "ours" and cpu > MOST_MS[kind]:
            missed.append(f"{database}: a {kind} event takes {cpu:.2f} ms of CPU, more than {MOST_MS[kind]}.")
    if "--json" in sys.argv:
        print(json.dumps({" ".join(key): vars(cost) for key, cost in costs.items()}))
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def _storing(storage: SqlEventLogStorage) -> Store:
    def store(events: Sequence[EventLogEntry]) -> None:
        for event in events:
            storage.store_event(event)
        if isinstance(storage, GatheringEventLogStorage):
            storage.flush()

    return store


@contextmanager
def _bare(url: str) -> Iterator[Store]:
    """Serialised events in a table without an index, in one INSERT."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    table = sa.Table("bare", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("event", sa.Text))
    table.create(engine)

    def store(events: Sequence[EventLogEntry]) -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(table), [{"event": serialize_value(event)} for event in events])

    yield store
    engine.dispose()


def _events(kind: str, count: int) -> list[EventLogEntry]:
    """Events of one run over the grid, as big as the pipeline's own."""
    run_id = str(uuid.uuid4())
    return [_entry(_planned(index) if kind == "planned" else _materialized(index), run_id) for index in range(count)]


def _cell(index: int) -> tuple[str, str, str]:
    asset, day = _ASSETS[index % 3], f"2026-01-{index % 28 + 1:02d}"
    return asset, f"account.{index // 84:03d}", day


def _planned(index: int) -> DagsterEvent:
    asset, account, day = _cell(index)
    return DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION_PLANNED",
        job_name="__ASSET_JOB",
        step_key="instagram_insights",
        event_specific_data=AssetMaterializationPlannedData(dg.AssetKey(asset), partition=f"{account}|{day}"),
        message=f'__ASSET_JOB intends to materialize asset ["{asset}"]',
    )


def _materialized(index: int) -> DagsterEvent:
    asset, account, day = _cell(index)
    numbers = {name: dg.MetadataValue.int(index) for name in ("reach", "views", "likes", "saves", "rows", "calls")}
    told = dg.AssetMaterialization(
        asset,
        description="9 rows (reach 1,204, views 3,310, likes 88)",
        partition=f"{account}|{day}",
        metadata={"status": dg.MetadataValue.text("complete"), **numbers},
        tags={"dagster/partition/account": account, "dagster/partition/date": day},
    )
    return DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION",
        job_name="__ASSET_JOB",
        step_key="instagram_insights",
        event_specific_data=StepMaterializationData(told, []),
        message=f"Materialized value {asset}.",
    )


def _entry(event: DagsterEvent, run_id: str) -> EventLogEntry:
    return EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=20,
        user_message=event.message or "",
        run_id=run_id,
        timestamp=time.time(),
        step_key=event.step_key,
        job_name=event.job_name,
        dagster_event=event,
    )


if __name__ == "__main__":
    sys.exit(main())
