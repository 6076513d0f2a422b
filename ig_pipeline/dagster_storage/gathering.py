"""What both storages share: asset events are gathered for a moment and written together.

A step yields its materializations one by one, and Dagster's own batches (`DAGSTER_EVENT_BATCH_SIZE`) do not reach them.
"""

import atexit
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast
from weakref import WeakMethod

import sqlalchemy as sa
from dagster import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

logger = logging.getLogger("ig_pipeline.dagster_storage")

GATHERED = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.ASSET_OBSERVATION,
    }
)
"""Events of cells, which come by the thousand. Whatever else happens is written at once, after what was gathered."""

MOST = 500
"""Events gathered before they are written: a batch of them costs the same per event as one of 5,000."""

LINGER = 0.5
"""Seconds after which they are written although no more came: what a killed process loses, and the UI waits for."""

Row = dict[str, Any]


class GatheringEventLogStorage(SqlEventLogStorage):
    """Gathers asset events, up to `MOST` or for `LINGER` seconds; everything else is its parents'.

    Whoever reads or writes through this object sees them: they are written before any other statement of it. Another
    process sees them at most `LINGER` seconds later. A process that is killed loses what it has gathered; its cells are
    committed with their ledger rows by then, and the run that takes its place tells Dagster of them again.

    A subclass calls `start_gathering` in its constructor, `flush` before it connects, and implements `write_batch`.
    """

    linger = LINGER
    most = MOST

    def start_gathering(self) -> None:
        """Begin with nothing gathered."""
        self._gathered: list[EventLogEntry] = []
        # Reentrant: `write_batch` connects, and connecting flushes.
        self._gathering = threading.RLock()
        self._flushing = False
        self._timer: threading.Timer | None = None
        _flush_at_exit(self)

    def store_event(self, event: EventLogEntry) -> None:
        """Gather an asset event, write any other at once. Raises what the database raises; nothing gathered is lost."""
        if event.is_dagster_event and event.dagster_event_type in GATHERED and event.get_dagster_event().asset_key:
            self._gather([event])
        else:
            self.flush()
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """As `store_event` for each of them, in their order."""
        kinds = {event.dagster_event_type for event in events}
        if kinds <= GATHERED:
            self._gather([event for event in events if event.get_dagster_event().asset_key])
        else:
            for event in events:
                self.store_event(event)

    def flush(self) -> None:
        """Write what is gathered. Raises what the database raises; what was not written stays gathered."""
        if not self._gathered:  # without the lock: another thread's events are its own business
            return
        with self._gathering:
            if self._flushing or not self._gathered:
                return
            self._flushing = True
            try:
                self.write_batch(self._gathered)
            finally:
                self._flushing = False
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None

    def write_batch(self, events: list[EventLogEntry]) -> None:
        """Write asset events in their order and remove from `events` what is committed."""
        raise NotImplementedError

    def dispose(self) -> None:
        """Write what is gathered and close."""
        self.flush()
        super().dispose()

    def _gather(self, events: Iterable[EventLogEntry]) -> None:
        with self._gathering:
            self._gathered.extend(events)
            if len(self._gathered) >= self.most:
                self.flush()
            elif self._gathered and self._timer is None:
                self._timer = threading.Timer(self.linger, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def _flush_later(self) -> None:
        with self._gathering:
            self._timer = None
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - the events stay gathered: who comes next meets the error itself
            logger.warning("Dagster's events could not be written yet (%s); tried again.", type(error).__name__)

    # -- the tables of asset events, each in one statement ----------------------------------------------------------

    def insert_events(self, connection: sa.Connection, rows: Sequence[Row]) -> list[int]:
        """Insert rows of `event_logs`; their ids, in the same order."""
        table = SqlEventLogStorageTable
        statement = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
        return [row[0] for row in connection.execute(statement, list(rows))]

    def insert_tags(self, connection: sa.Connection, events: Sequence[EventLogEntry], ids: Sequence[int]) -> None:
        """Insert the tags of asset events by which Dagster looks cells up."""
        values = [
            {
                "event_id": id_,
                "asset_key": cast("Any", event.get_dagster_event().asset_key).to_string(),
                "key": key,
                "value": value,
                "event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            }
            for id_, event in zip(ids, events, strict=True)
            for key, value in self._tags_for_asset_event(event).items()
        ]
        if values and self._has_tags:
            connection.execute(sa.insert(AssetEventTagsTable), values)

    def asset_values(self, events: Sequence[EventLogEntry], ids: Sequence[int]) -> Mapping[str, Mapping[str, Any]]:
        """Asset → what its row in `asset_keys` says after these events: the last of each kind, in their order."""
        last: dict[str, dict[DagsterEventType, tuple[int, EventLogEntry]]] = {}
        for id_, event in zip(ids, events, strict=True):
            found = event.get_dagster_event()
            of_asset = last.setdefault(cast("Any", found.asset_key).to_string(), {})
            of_asset.pop(found.event_type, None)  # to the end of the order
            of_asset[found.event_type] = (id_, event)
        values: dict[str, Mapping[str, Any]] = {}
        for asset, kinds in last.items():
            merged: dict[str, Any] = {}
            for id_, event in kinds.values():
                merged |= self._get_asset_entry_values(event, id_, self._has_index_columns)
            values[asset] = merged
        return values

    @cached_property
    def _has_tags(self) -> bool:
        return self.has_table(AssetEventTagsTable.name)

    @cached_property
    def _has_index_columns(self) -> bool:
        return self.has_asset_key_index_cols()


def _flush_at_exit(storage: GatheringEventLogStorage) -> None:
    """Write what is gathered when the process ends in order; nothing keeps `storage` alive for that."""
    flush = WeakMethod(storage.flush)

    def at_exit() -> None:
        if (method := flush()) is not None:
            method()

    atexit.register(at_exit)
