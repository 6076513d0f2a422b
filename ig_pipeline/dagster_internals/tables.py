"""The tables of Dagster's storages in which an account can stand, by name and with the columns that are used.

Dagster has public calls neither for rows of other runs' events nor for backfills and ticks. The tables are named here
rather than imported: their names have not changed since Dagster 1.0, the modules that define them have.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from ig_pipeline.dagster_internals.names import Names
from ig_pipeline.storage.scrubbing import scrub_file, scrub_postgresql

# Ids in one IN (…), far below SQLite's 32,766 variables; and rows read at once.
_CHUNK = 1_000
_PAGE = 500


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns))


EVENTS = _table("event_logs", "id", "run_id", "event", "dagster_event_type", "asset_key", "partition")
EVENT_TAGS = _table("asset_event_tags", "event_id", "asset_key", "key", "value")
CHECKS = _table("asset_check_executions", "id", "asset_key", "run_id", "evaluation_event")
ASSETS = _table("asset_keys", "asset_key", "last_materialization")
BACKFILLS = _table("bulk_actions", "id", "key", "status", "body")
BACKFILL_TAGS = _table("backfill_tags", "id", "backfill_id", "key", "value")
TICKS = _table("job_ticks", "id", "status", "tick_body")
HEARTBEATS = _table("daemon_heartbeats", "id", "body")
# Reached by calls of the instance; named here because deleted rows lie on in them.
_OTHERS = ("dynamic_partitions", "runs", "run_tags")


@contextmanager
def events(instance: dg.DagsterInstance) -> Iterator[sa.Connection]:
    """The event log; on SQLite the index beside the runs' own files. A transaction of Dagster's own making."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as db:
        yield db


@contextmanager
def events_of(instance: dg.DagsterInstance, run_id: str) -> Iterator[sa.Connection]:
    """The events in the file of one run, which must exist (`file_of`)."""
    storage: Any = instance.event_log_storage
    with storage.run_connection(run_id) as db:
        yield db


@contextmanager
def runs(instance: dg.DagsterInstance) -> Iterator[sa.Connection]:
    """Backfills and heartbeats."""
    storage: Any = instance.run_storage
    with storage.connect() as db:
        yield db


@contextmanager
def ticks(instance: dg.DagsterInstance) -> Iterator[sa.Connection]:
    """Ticks of sensors and schedules."""
    storage: Any = instance.schedule_storage
    with storage.connect() as db:
        yield db


def file_of(instance: dg.DagsterInstance, run_id: str) -> Path | None:
    """The file that SQLite keeps for one run's events ("": for those without a run); None when there is none."""
    storage: Any = instance.event_log_storage
    if not hasattr(storage, "path_for_shard"):
        return None
    file = Path(storage.path_for_shard(run_id))
    return file if file.is_file() else None


def chunks(values: Collection[Any]) -> Iterator[list[Any]]:
    """`values` in lists that one statement can take."""
    ordered = sorted(values)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))


def naming(
    db: sa.Connection, names: Names, column: sa.ColumnClause[Any], *where: sa.ColumnElement[bool]
) -> Iterator[tuple[sa.Row[Any], str | None]]:
    """The rows in whose `column` accounts stand, and the text without them (None: the row has to go), page by page."""
    table = column.table
    assert isinstance(table, sa.TableClause)
    last = -1
    while rows := db.execute(
        sa.select(table).where(table.c.id > last, column.is_not(None), *where).order_by(table.c.id).limit(_PAGE)
    ).all():
        last = rows[-1].id
        for row in rows:
            text = row._mapping[column.name]
            if (cleaned := names.without_them(text)) != text:
                yield row, cleaned


def erase(db: sa.Connection, names: Names, column: sa.ColumnClause[Any], *where: sa.ColumnElement[bool]) -> None:
    """Take the accounts out of the rows in whose `column` they stand."""
    for row, cleaned in naming(db, names, column, *where):
        write(db, column, row.id, cleaned)


def write(db: sa.Connection, column: sa.ColumnClause[Any], row_id: int, cleaned: str | None) -> None:
    """Write a cleaned text in its place, or delete the row when there is none."""
    table = column.table
    assert isinstance(table, sa.TableClause)
    this = table.c.id == row_id
    db.execute(
        sa.delete(table).where(this) if cleaned is None else sa.update(table).where(this).values({column.name: cleaned})
    )


def scrub(instance: dg.DagsterInstance, *, rewrite: bool) -> None:
    """Vacuum what deleted rows lie in; files of single runs are when they are cleaned.

    `rewrite`: as `storage.scrubbing.scrub_postgresql`. Raises `ScrubbingWaitsError`.
    """
    named = (EVENTS, EVENT_TAGS, CHECKS, ASSETS, BACKFILLS, BACKFILL_TAGS, TICKS, HEARTBEATS)
    with events(instance) as db:
        if db.dialect.name == "postgresql":
            scrub_postgresql(db, {*_OTHERS, *(table.name for table in named)}, rewrite=rewrite)
            return
    if instance.is_persistent:
        home = Path(instance.root_directory)
        for path in [*home.glob("history/*.db"), *home.glob("history/runs/index.db"), *home.glob("schedules/*.db")]:
            scrub_file(path)
