"""Takes accounts out of Dagster's own storage: cells, runs, backfills, ticks, logs and the keys themselves.

A run of nobody else goes whole. One that other accounts share stays, without these: what the grid shows of those who
stay is not touched, be it green or red. Only what such a run logged in words goes for all of them.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, PartitionBackfill
from dagster._core.scheduler.instigation import TickData
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import (
    BackfillTagsTable,
    BulkActionsTable,
    DaemonHeartbeatsTable,
    RunsTable,
    RunStorageSqlMetadata,
)
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.schedules.schema import JobTickTable, ScheduleStorageSqlMetadata
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._serdes import serialize_value

from ig_pipeline.defs.names import FORGOTTEN, Names
from ig_pipeline.defs.partitions import ACCOUNTS, RANGE_END, RANGE_START
from ig_pipeline.defs.stored_events import StoredEvents
from ig_pipeline.storage.scrubbing import scrub_file, scrub_postgresql

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# Repository and sensor: the only one whose ticks log whom they are about, and Dagster keeps logs longer than ticks.
_TICK_LOGS = ["__repository__", "new_connections"]


def under_way(instance: dg.DagsterInstance, names: Names, ours: Collection[dg.AssetKey]) -> int:
    """How many unfinished runs and backfills could still write what is being removed.

    Runs over other accounts are none of them. Runs of `ours` without partitions are: they write about everybody.
    """
    known = instance.get_dynamic_partitions(str(ACCOUNTS.name))
    runs = [
        run
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
        if (_covers(run, names, known) if _is_partitioned(run) else _touches(run, ours))
    ]
    backfills = [backfill_id for backfill_id, status, _ in _backfills(instance, names) if status not in _ENDED]
    return len(runs) + len(backfills)


def forget(instance: dg.DagsterInstance, names: Names) -> int:
    """Remove the accounts from the instance; how many runs and cells went. Safe to be called again after a crash.

    Raises `ScrubbingWaitsError`.
    """
    if not names:
        return 0
    events = StoredEvents(instance, names)
    # All at once: each of Dagster's calls opens a connection of its own to PostgreSQL.
    runs = {run.run_id: run for run in instance.get_runs()}
    naming = events.runs() | {run.run_id for run in runs.values() if _is_tagged(run, names)}
    accounts_of = events.accounts_of(sorted(naming))
    order = instance.get_dynamic_partitions(str(ACCOUNTS.name))
    deleted = set()
    for run_id in naming.intersection(runs):
        run, accounts = runs[run_id], accounts_of.get(run_id, set())
        others = accounts - names.keys
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        if not others and (accounts or _is_partitioned(run)):
            instance.delete_run(run_id)
            events.remove_file(run_id)
            deleted.add(run_id)
        else:
            _clean_run(instance, run, names, [key for key in order if key in others])
    cells = events.clean(naming - deleted)
    for key in names.keys:
        instance.delete_dynamic_partition(str(ACCOUNTS.name), key)
    _clean_backfills(instance, names)
    _clean_ticks(instance, names)
    return len(deleted) + cells


def scrub_dagster(instance: dg.DagsterInstance, *, rewrite: bool) -> None:
    """Write Dagster's databases anew without what was removed; the files of single runs are. Raises as `forget`."""
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    with storage.index_connection() as db:
        if db.dialect.name == "postgresql":
            metadata = (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
            scrub_postgresql(db, {table for each in metadata for table in each.tables}, rewrite=rewrite)
            return
    if instance.is_persistent:
        home = Path(instance.root_directory)
        # A run's file that a process holds open keeps its log, with what was removed from it.
        logs = [path for path in home.glob("history/runs/*.db-wal") if path.stat().st_size]
        held = [log.with_name(log.name.removesuffix("-wal")) for log in logs]
        index = home.glob("history/runs/index.db")
        for path in {*home.glob("history/*.db"), *index, *home.glob("schedules/*.db"), *held}:
            scrub_file(path)


_ENDED = {status.value for status in BULK_ACTION_TERMINAL_STATUSES}


def _is_partitioned(run: dg.DagsterRun) -> bool:
    return any(name.startswith(("dagster/partition", RANGE_START)) for name in run.tags)


def _touches(run: dg.DagsterRun, ours: Collection[dg.AssetKey]) -> bool:
    checks = {check.asset_key for check in run.asset_check_selection or ()}
    return not checks.union(run.asset_selection or ()).isdisjoint(ours)


def _covers(run: dg.DagsterRun, names: Names, known: Sequence[str]) -> bool:
    """Whether one of the accounts is named by the run's tags or stands between the ends of its range."""
    if _is_tagged(run, names):
        return True
    first, last = (run.tags.get(tag, "").rpartition("|")[0] for tag in (RANGE_START, RANGE_END))
    if first not in known or last not in known:
        return False
    return not names.keys.isdisjoint(known[known.index(first) : known.index(last) + 1])


def _is_tagged(run: dg.DagsterRun, names: Names) -> bool:
    return any(names.are_in(value) for value in run.tags.values())


def _clean_run(instance: dg.DagsterInstance, run: dg.DagsterRun, names: Names, stay: Sequence[str]) -> None:
    """A run that others share: its range shrinks to those who stay, other tags lose the name."""
    tags = {name: FORGOTTEN for name, value in run.tags.items() if names.are_in(value)}
    for tag, index in ((RANGE_START, 0), (RANGE_END, -1)):
        if tag in tags and stay:
            tags[tag] = f"{stay[index]}|{run.tags[tag].rpartition('|')[2]}"
    if tags:
        instance.add_run_tags(run.run_id, tags)
    body = serialize_value(run.with_tags({**run.tags, **tags}))
    if names.are_in(body) and (cleaned := names.without_them(body, dg.DagsterRun)):
        with cast("SqlRunStorage", instance.run_storage).connect() as db:
            db.execute(RunsTable.update().where(RunsTable.c.run_id == run.run_id).values(run_body=cleaned))


def _backfills(instance: dg.DagsterInstance, names: Names) -> list[tuple[str, str, str]]:
    """Id, status and body of the backfills that name the accounts."""
    table = BulkActionsTable
    mentioned = sa.or_(*(table.c.body.contains(word, autoescape=True) for word in names.spellings))
    with cast("SqlRunStorage", instance.run_storage).connect() as db:
        return [
            (row.key, row.status, row.body)
            for row in db.execute(sa.select(table.c.key, table.c.status, table.c.body).where(mentioned))
            if names.are_in(row.body)
        ]


def _clean_backfills(instance: dg.DagsterInstance, names: Names) -> None:
    """Backfills of others stay without the accounts; Dagster has no call for either."""
    for backfill_id, _, body in _backfills(instance, names):
        cleaned = names.without_them(body, PartitionBackfill)
        this, tags = BulkActionsTable.c.key == backfill_id, BackfillTagsTable
        with cast("SqlRunStorage", instance.run_storage).connect() as db:
            if cleaned is None or "|" not in cleaned:
                db.execute(BulkActionsTable.delete().where(this))
                db.execute(tags.delete().where(tags.c.backfill_id == backfill_id))
            else:
                db.execute(BulkActionsTable.update().where(this).values(body=cleaned))
                for row in db.execute(
                    sa.select(tags.c.id, tags.c.value).where(tags.c.backfill_id == backfill_id)
                ).all():
                    if names.are_in(row.value or ""):
                        db.execute(tags.update().where(tags.c.id == row.id).values(value=FORGOTTEN))


def _clean_ticks(instance: dg.DagsterInstance, names: Names) -> None:
    """Ticks keep the partitions they added, and logs of their own; daemons keep their last errors.

    The ticks stay without the names: from a schedule's newest one the daemon knows which nights are done.
    """
    instance.compute_log_manager.delete_logs(prefix=_TICK_LOGS)
    table = JobTickTable
    with cast("SqlScheduleStorage", instance.schedule_storage).connect() as db:
        mentioned = sa.or_(*(table.c.tick_body.contains(word, autoescape=True) for word in names.spellings))
        for row in db.execute(sa.select(table.c.id, table.c.tick_body).where(mentioned)).all():
            if log_key := json.loads(row.tick_body).get("log_key"):
                instance.compute_log_manager.delete_logs(log_key=log_key)
            cleaned, this = names.without_them(row.tick_body, TickData), table.c.id == row.id
            db.execute(
                table.delete().where(this) if cleaned is None else table.update().where(this).values(tick_body=cleaned)
            )
    with cast("SqlRunStorage", instance.run_storage).connect() as db:
        for beat in db.execute(sa.select(DaemonHeartbeatsTable.c.id, DaemonHeartbeatsTable.c.body)).all():
            if names.are_in(beat.body or ""):  # errors of the last minutes; the daemon writes the next beat
                db.execute(DaemonHeartbeatsTable.delete().where(DaemonHeartbeatsTable.c.id == beat.id))
