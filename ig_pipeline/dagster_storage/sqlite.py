"""Dagster's event log in SQLite: a file per run, and an index over all of them."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import QueuePool

from ig_pipeline.dagster_storage.gathering import GatheringEventLogStorage

_OPEN_RUNS = 8
"""Files of runs held open at once: a run writes its own, the UI reads a page of them."""


@dataclass(frozen=True)
class _Shard:
    engine: sa.Engine
    inode: int
    """Of the file: one that was deleted and made again is opened again."""


class BatchingSqliteEventLogStorage(GatheringEventLogStorage, SqliteEventLogStorage):
    """The files of `SqliteEventLogStorage`, kept open and written in batches.

    Configured as the shipped one, by `base_dir`.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._shards: OrderedDict[str, _Shard] = OrderedDict()
        self._unindexed: list[tuple[EventLogEntry, dict[str, Any]]] = []
        self.start_gathering()
        super().__init__(base_dir, inst_data)
        # Dagster reads through other methods while a connection is open, on other files.
        self._db_lock = threading.RLock()  # type: ignore[assignment]  # used as a context manager only

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingSqliteEventLogStorage":
        """As Dagster makes it from `dagster.yaml`."""
        return cls(config_value["base_dir"], inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        """A transaction on a file, with a connection that is kept afterwards."""
        self.flush()
        with self._db_lock, self._engine_of(shard).begin() as connection:
            yield connection

    def write_batch(self, events: list[EventLogEntry]) -> None:
        """Each run's file, then the index; each in a transaction of its own, as in the shipped storage."""
        by_run: dict[str, list[EventLogEntry]] = {}
        for event in events:
            by_run.setdefault(event.run_id, []).append(event)
        for run_id, of_run in by_run.items():
            rows = [self._event_to_row(event) for event in of_run]
            with self._connect(run_id) as connection:
                self.insert_events(connection, rows)
            # From here on a failure repeats what is missing alone.
            self._unindexed += zip(of_run, rows, strict=True)
            written = set(map(id, of_run))
            events[:] = [event for event in events if id(event) not in written]
        self._index()

    def flush(self) -> None:
        """Write what is gathered, and what an earlier failure left out of the index."""
        super().flush()
        if self._unindexed and not self._flushing:
            with self._gathering:
                self._index()

    def wipe(self) -> None:
        """Delete all events."""
        self._close()
        super().wipe()

    def delete_events(self, run_id: str) -> None:
        """Delete a run's events."""
        super().delete_events(run_id)
        self._forget(run_id)

    def dispose(self) -> None:
        """Write what is gathered and close every file."""
        super().dispose()
        self._close()

    def _index(self) -> None:
        if not self._unindexed:
            return
        events, rows = zip(*self._unindexed, strict=True)
        flushing, self._flushing = self._flushing, True
        try:
            tagged, described = self._has_tags, self._has_index_columns  # each looks for itself the first time
            assert tagged is not None
            assert described is not None
            with self._connect(INDEX_SHARD_NAME) as connection:
                ids = self.insert_events(connection, rows)
                self.insert_tags(connection, events, ids)
                self._upsert_assets(connection, events, ids)
        finally:
            self._flushing = flushing
        self._unindexed.clear()

    def _upsert_assets(self, connection: sa.Connection, events: Sequence[EventLogEntry], ids: Sequence[int]) -> None:
        for asset, values in self.asset_values(events, ids).items():
            statement = sqlite.insert(AssetKeyTable).values(asset_key=asset, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["asset_key"], set_=dict(values)))

    def _engine_of(self, shard: str) -> sa.Engine:
        path = Path(self.path_for_shard(shard))
        known = self._shards.get(shard)
        if known is not None and known.inode == _inode(path):
            self._shards.move_to_end(shard)
            return known.engine
        self._forget(shard)
        engine = self._new_engine(shard)
        if not _is_made(engine):
            self._initdb(engine)
        self._shards[shard] = _Shard(engine, _inode(path))
        self._initialized_dbs.add(shard)
        for other in [name for name in self._shards if name != INDEX_SHARD_NAME][:-_OPEN_RUNS]:
            self._forget(other)
        return engine

    def _new_engine(self, shard: str) -> sa.Engine:
        engine = sa.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=QueuePool,
            pool_size=1,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _set_up)
        return engine

    def _forget(self, shard: str) -> None:
        if known := self._shards.pop(shard, None):
            known.engine.dispose()

    def _close(self) -> None:
        for shard in list(self._shards):
            self._forget(shard)


def _inode(path: Path) -> int:
    return path.stat().st_ino if path.exists() else -1


def _is_made(engine: sa.Engine) -> bool:
    """Whether the file has its tables: asking Alembic, as the shipped storage does, takes 50 ms a file."""
    names = ("event_logs", "alembic_version")
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("select count(*) from sqlite_master where type = 'table' and name in (:a, :b)"),
            dict(zip("ab", names, strict=True)),
        ).scalar_one()
        return bool(found == len(names))


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    """In WAL mode NORMAL loses no commit when a process dies, and keeps the file whole when the machine does.

    See https://www.sqlite.org/pragma.html#pragma_synchronous. What the machine's end costs is told again by the ledger.
    """
    connection.execute("pragma synchronous = normal")
