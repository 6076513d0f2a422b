"""Removes every trace of accounts from Dagster's own storage: cells, runs, ticks, logs and the key itself.

Dagster 1.13 has no call for it (`wipe_asset_partitions` is "not supported yet"), so runs go whole, what is left of the
cells goes by SQL, and the other accounts' cells of those runs are told to the grid again, from the ledger.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast, get_args

import dagster as dg
import sqlalchemy as sa
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.reporting import GridReporter
from ig_pipeline.storage import sync_logs
from ig_pipeline.storage.sync_logs import Entry
from ig_pipeline.sync.results import AccountDayResult, AssetName

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_BUSY_S = 30.0


def is_idle(instance: dg.DagsterInstance) -> bool:
    """Whether no run is under way: one that is could write again what is being removed."""
    return not instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED), limit=1)


def forget(
    instance: dg.DagsterInstance, account_keys: Collection[str], *, ledger: Iterable[Entry], before: float
) -> int:
    """Remove `account_keys` from the instance; how many runs and cells went. `before`: ticks older than this go too.

    `ledger`: the newest entry of every cell of the accounts that stay, which are shown in the grid again.
    """
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    run_ids = _runs_about(storage, account_keys)
    run_ids |= {run.run_id for run in instance.get_runs() if _names(run, account_keys)}
    assets = instance.all_asset_keys()
    for run_id in run_ids:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _remove_shard(storage, run_id)
    cells = _delete_cells(storage, account_keys)
    for key in account_keys:
        instance.delete_dynamic_partition(str(ACCOUNTS.name), key)
    instance.wipe_asset_cached_status(assets)
    _purge_ticks(instance, before)
    GridReporter(instance).report(_results(ledger, run_ids))
    compact(Path(instance.root_directory) if instance.is_persistent else None)
    return len(run_ids) + cells


def newest_entries(db: sa.Connection, keys: Collection[str]) -> list[Entry]:
    """The newest written entry of every cell but those of `keys`."""
    return [entry for entry in sync_logs.newest_cells(db) if entry.account_key not in keys]


def compact(home: Path | None) -> None:
    """SQLite keeps deleted text in free pages, and files of runs in the log; both are rewritten without it."""
    if home is None:
        return
    for path in [*home.glob("history/*.db"), *home.glob("history/runs/*.db"), *home.glob("schedules/*.db")]:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as database:
            database.execute("vacuum")
            database.execute("pragma wal_checkpoint(truncate)")


def _runs_about(storage: SqlEventLogStorage, account_keys: Collection[str]) -> set[str]:
    table = SqlEventLogStorageTable
    statement = sa.select(table.c.run_id).where(_cells_of(account_keys)).distinct()
    with storage.index_connection() as db:
        return {row[0] for row in db.execute(statement) if row[0]}


def _delete_cells(storage: SqlEventLogStorage, account_keys: Collection[str]) -> int:
    """Events without a run (what the command line had reported), and what assets and checks remember of any."""
    table = SqlEventLogStorageTable
    ids = sa.select(table.c.id).where(_cells_of(account_keys))
    with storage.index_connection() as db:
        db.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
        count = int(db.execute(table.delete().where(_cells_of(account_keys))).rowcount)
        last = AssetKeyTable.c.last_materialization
        db.execute(AssetKeyTable.update().where(_mentions(last, account_keys)).values(last_materialization=None))
        evaluation = sa.cast(AssetCheckExecutionsTable.c.evaluation_event, sa.Text)
        db.execute(AssetCheckExecutionsTable.delete().where(_mentions(evaluation, account_keys)))
    with storage.run_connection(RUNLESS_RUN_ID) as db:  # SQLite keeps a second copy by run
        db.execute(table.delete().where(_cells_of(account_keys)))
    return count


def _mentions(column: sa.ColumnElement[str], account_keys: Collection[str]) -> sa.ColumnElement[bool]:
    return sa.or_(*(column.contains(key, autoescape=True) for key in account_keys))


def _cells_of(account_keys: Collection[str]) -> sa.ColumnElement[bool]:
    column = SqlEventLogStorageTable.c.partition
    return sa.or_(*(column.startswith(f"{key}|", autoescape=True) for key in account_keys))


def _names(run: dg.DagsterRun, account_keys: Collection[str]) -> bool:
    """Whether a run's tags name one of the accounts, as its own or as an end of its range."""
    words = {part for value in run.tags.values() for text in value.split(",") for part in text.split("|")}
    return any(key in words for key in account_keys)


def _remove_shard(storage: SqlEventLogStorage, run_id: str) -> None:
    if isinstance(storage, SqliteEventLogStorage):
        shard = Path(storage.path_for_shard(run_id))
        for path in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm", "-journal"))):
            path.unlink(missing_ok=True)


def _purge_ticks(instance: dg.DagsterInstance, before: float) -> None:
    """Ticks keep the partitions they added and the lines they logged."""
    for state in instance.all_instigator_state():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id):
            if tick.log_key:
                instance.compute_log_manager.delete_logs(log_key=tick.log_key)
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before)


def _results(ledger: Iterable[Entry], run_ids: Collection[str]) -> Iterator[AccountDayResult]:
    assets: dict[str, AssetName] = {name: name for name in get_args(AssetName)}
    for entry in ledger:
        if entry.run_id in run_ids and entry.asset in assets:
            yield AccountDayResult(
                assets[entry.asset],
                entry.account_key,
                entry.date,
                "complete" if entry.status == "complete" else "partial",
                rows=entry.rows,
                calls=entry.calls,
                absences=entry.absences,
            )
