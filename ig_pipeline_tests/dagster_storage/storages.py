"""Event storages of both kinds side by side, and what they hold, read from their tables as plain rows."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster_postgres.event_log import PostgresEventLogStorage

from ig_pipeline.dagster_storage.gathering import GatheringEventLogStorage
from ig_pipeline.dagster_storage.postgres import BatchingPostgresEventLogStorage
from ig_pipeline.dagster_storage.sqlite import BatchingSqliteEventLogStorage

# When a row was made.
_OF_THE_MOMENT = {"create_timestamp"}
# A number that PostgreSQL draws for each upsert, also for one that updates.
_DRAWN = {"asset_keys": {"id"}}


@dataclass(frozen=True)
class Place:
    """A folder or a database, opened by the shipped storage and by ours."""

    ours: Callable[[], GatheringEventLogStorage]
    shipped: Callable[[], SqlEventLogStorage]
    urls: Callable[[], list[str]]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Table (of a file) → its rows as they stand, in the order of their ids."""
        found: dict[str, list[dict[str, Any]]] = {}
        for url in self.urls():
            engine = sa.create_engine(url)
            with engine.connect() as connection:
                for table in sa.inspect(connection).get_table_names():
                    if table in {"event_logs", "asset_event_tags", "asset_keys", "asset_check_executions"}:
                        name = f"{Path(url).name if url.startswith('sqlite') else ''}/{table}"
                        columns = "asset_key" if table == "asset_keys" else "id"
                        rows = connection.execute(sa.text(f"select * from {table} order by {columns}")).mappings()
                        found[name] = [_plain(dict(row), _OF_THE_MOMENT | _DRAWN.get(table, set())) for row in rows]
            engine.dispose()
        return found


def sqlite_place(folder: Path) -> Place:
    return Place(
        ours=lambda: BatchingSqliteEventLogStorage(str(folder)),
        shipped=lambda: SqliteEventLogStorage(str(folder)),
        urls=lambda: [f"sqlite:///{path}" for path in sorted(folder.glob("*.db"))],
    )


def postgres_place(url: str) -> Place:
    url = url.replace("postgresql://", "postgresql+psycopg2://")  # as our settings name it to Dagster
    return Place(
        ours=lambda: BatchingPostgresEventLogStorage(url),
        shipped=lambda: PostgresEventLogStorage(url),
        urls=lambda: [url],
    )


@contextmanager
def opened(storage: SqlEventLogStorage) -> Iterator[SqlEventLogStorage]:
    try:
        yield storage
    finally:
        storage.dispose()


def events_of_runs(home: Path) -> list[EventLogEntry]:
    """What Dagster itself stores of a run with checks, of one that fails, and of two events without a run."""
    days = dg.StaticPartitionsDefinition([f"2026-01-{day:02d}" for day in range(1, 8)])

    @dg.multi_asset(
        specs=[dg.AssetSpec(name, partitions_def=days, skippable=True) for name in ("numbers", "chart")],
        check_specs=[dg.AssetCheckSpec("sane", asset="numbers")],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def grid(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for key in context.partition_keys:
            for asset in ("numbers", "chart"):
                if key.endswith("05"):
                    yield dg.AssetObservation(asset, partition=key, metadata={"error": "Nothing came."})
                else:
                    tags = {"dagster/partition/date": key}
                    yield dg.AssetMaterialization(asset, partition=key, metadata={"rows": 3}, tags=tags)
            context.log.info("[SYNC] a line of the run's log")
        yield dg.AssetCheckResult(passed=True, check_name="sane", asset_key="numbers")
        if context.run.tags.get("fails"):
            raise dg.Failure("One day is missing.")

    with dg.DagsterInstance.local_temp(str(home)) as instance:
        ends = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-07"}
        for tags in (ends, {**ends, "fails": "true"}):
            dg.materialize([grid], instance=instance, tags=tags, raise_on_error=False)
        for event in (dg.AssetMaterialization("numbers", partition="2026-01-05"), dg.AssetObservation("chart")):
            instance.report_runless_asset_event(event)
        runs = reversed(instance.get_runs(limit=10))
        entries = [entry for run in runs for entry in instance.all_logs(run.run_id)]
        runless = instance.event_log_storage.get_records_for_run("").records
        return [*entries, *(record.event_log_entry for record in runless)]


def stored(storage: SqlEventLogStorage, events: Sequence[EventLogEntry]) -> None:
    for event in events:
        storage.store_event(event)


def without_numbers(value: Any) -> Any:
    """Rows without the numbers that the database drew for them: a transaction that failed has drawn some."""
    if isinstance(value, list):
        return [without_numbers(item) for item in value]
    if isinstance(value, dict):
        return {
            name: without_numbers(item) for name, item in value.items() if name not in {"id", "event_id", "storage_id"}
        }
    return value


def _plain(row: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    return {
        name: json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value
        for name, value in row.items()
        if name not in left_out
    }
