"""Dagster's event log by SQL, where its own calls end: which runs name an account, and events without the names.

Dagster 1.13 removes events by whole runs only (`wipe_asset_partitions` is "not supported yet"). On SQLite each run has
a file, and an index holds a second copy of what concerns assets; on PostgreSQL there is one table.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

import dagster as dg
import sqlalchemy as sa
from dagster import EventLogEntry
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._serdes import serialize_value

from ig_pipeline.defs.names import Names
from ig_pipeline.storage.scrubbing import scrub_file

_EVENTS = SqlEventLogStorageTable
# Ids in one IN (…): far below SQLite's 32,766 variables.
_CHUNK = 5_000


class StoredEvents:
    """The event log of one instance, and the accounts that are to leave it."""

    def __init__(self, instance: dg.DagsterInstance, names: Names) -> None:
        self._instance, self._names = instance, names
        self._storage = cast("SqlEventLogStorage", instance.event_log_storage)

    def runs(self) -> set[str]:
        """Ids of the runs whose events name the accounts; "" is where cells without a run stand."""
        with self._storage.index_connection() as db:
            found = {row.run_id for row in db.execute(sa.select(_EVENTS.c.run_id).where(self._cells()).distinct())}
            found |= {row.run_id for row in self._naming(db)}
        for run_id in self._files():
            with self._run(run_id) as db:
                if any(self._naming(db)):
                    found.add(run_id)
        return found

    def accounts_of(self, run_ids: Sequence[str]) -> dict[str, set[str]]:
        """Run → keys of all accounts of which it has cells."""
        found: dict[str, set[str]] = defaultdict(set)
        columns = (_EVENTS.c.run_id, _EVENTS.c.partition)
        with self._storage.index_connection() as db:
            for start in range(0, len(run_ids), _CHUNK):
                these = _EVENTS.c.run_id.in_(run_ids[start : start + _CHUNK])
                for run_id, cell in db.execute(sa.select(*columns).where(these, columns[1].is_not(None)).distinct()):
                    found[run_id].add(cell.rpartition("|")[0])
        return found

    def clean(self, run_ids: Collection[str]) -> int:
        """Take the accounts out of these runs, and what was logged in them altogether; how many cells went.

        Raises `ScrubbingWaitsError`.
        """
        if isinstance(self._storage, SqliteEventLogStorage):
            for run_id in run_ids:
                with self._run(run_id) as db:
                    _delete_lines(db, [run_id])
                    self._clean(db)
        with self._storage.index_connection() as db:
            _delete_lines(db, sorted(run_ids))
            count = self._clean(db)
            self._clean_checks(db)
        self._clean_assets()
        for run_id in self._files():
            scrub_file(self._path_of(run_id))
        return count

    def remove_file(self, run_id: str) -> None:
        """Remove the file of a run that was deleted; Dagster leaves it there, empty."""
        if isinstance(self._storage, SqliteEventLogStorage):
            file = self._path_of(run_id)
            for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))):
                path.unlink(missing_ok=True)

    def _files(self) -> list[str]:
        """Runs in whose files one of the words stands, be it in a page that is free. Reading is faster than asking."""
        if not isinstance(self._storage, SqliteEventLogStorage):
            return []
        words = [word.encode() for word in self._names.spellings]
        return [
            run_id
            for run_id in self._storage.get_all_run_ids()
            if any(word in content for content in _contents(self._path_of(run_id)) for word in words)
        ]

    def _path_of(self, run_id: str) -> Path:
        return Path(cast("SqliteEventLogStorage", self._storage).path_for_shard(run_id))

    def _run(self, run_id: str) -> AbstractContextManager[sa.Connection]:
        return self._storage.run_connection(run_id)

    def _cells(self) -> sa.ColumnElement[bool]:
        cell = _EVENTS.c.partition
        return sa.or_(*(cell.startswith(f"{key}|", autoescape=True) for key in self._names.keys))

    def _mention(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        return sa.or_(*(column.contains(word, autoescape=True) for word in self._names.spellings))

    def _naming(self, db: sa.Connection) -> Iterator[sa.Row[int, str, str]]:
        """Id, run and text of the events that name the accounts without being their cells."""
        others = sa.or_(_EVENTS.c.partition.is_(None), ~self._cells())
        statement = sa.select(_EVENTS.c.id, _EVENTS.c.run_id, _EVENTS.c.event).where(
            others, self._mention(_EVENTS.c.event)
        )
        return (row for row in db.execute(statement).all() if self._names.are_in(row.event))

    def _clean(self, db: sa.Connection) -> int:
        ids = list(db.execute(sa.select(_EVENTS.c.id).where(self._cells())).scalars())
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            db.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(chunk)))
            db.execute(_EVENTS.delete().where(_EVENTS.c.id.in_(chunk)))
        for row in self._naming(db):
            this = _EVENTS.c.id == row.id
            cleaned = self._names.without_them(row.event, EventLogEntry)
            db.execute(
                _EVENTS.delete().where(this) if cleaned is None else _EVENTS.update().where(this).values(event=cleaned)
            )
        return len(ids)

    def _clean_checks(self, db: sa.Connection) -> None:
        table = AssetCheckExecutionsTable
        text = sa.cast(table.c.evaluation_event, sa.Text)
        for row in db.execute(sa.select(table.c.id, text.label("event")).where(self._mention(text))).all():
            cleaned, this = self._names.without_them(row.event, EventLogEntry), table.c.id == row.id
            db.execute(
                table.delete().where(this)
                if cleaned is None
                else table.update().where(this).values(evaluation_event=cleaned)
            )

    def _clean_assets(self) -> None:
        """What an asset knows of its newest materialization: taken from what is left in the log."""
        keys = self._instance.all_asset_keys()
        table = AssetKeyTable
        with self._storage.index_connection() as db:
            statement = sa.select(table.c.asset_key).where(self._mention(table.c.last_materialization))
            named = set(db.execute(statement).scalars())
        for key in keys:
            if key.to_string() in named:
                newest = self._instance.fetch_materializations(key, limit=1).records
                value = serialize_value(newest[0]) if newest else None
                with self._storage.index_connection() as db:
                    db.execute(
                        table.update().where(table.c.asset_key == key.to_string()).values(last_materialization=value)
                    )
        self._instance.wipe_asset_cached_status(keys)


def _delete_lines(db: sa.Connection, run_ids: Sequence[str]) -> None:
    """What a run logged in words, as opposed to events."""
    for start in range(0, len(run_ids), _CHUNK):
        chunk = run_ids[start : start + _CHUNK]
        db.execute(_EVENTS.delete().where(_EVENTS.c.run_id.in_(chunk), _EVENTS.c.dagster_event_type.is_(None)))


def _contents(file: Path) -> Iterator[bytes]:
    for path in (file, file.with_name(f"{file.name}-wal")):
        if path.is_file():
            yield path.read_bytes()
