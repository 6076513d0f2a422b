"""Dagster's event log by SQL, where its own calls end: which runs name an account, and events without the names.

Dagster removes events by whole runs only (`wipe_asset_partitions` is "not supported yet"). On SQLite each run has a
file, and an index holds a second copy of what concerns assets; on PostgreSQL there is one table. Nothing here reads the
whole log: cells are found by the index over asset, kind of event and partition, all else by its run or page by page.
"""

from collections import defaultdict
from collections.abc import Collection

import dagster as dg
import sqlalchemy as sa

from ig_pipeline.dagster_internals.names import Names
from ig_pipeline.dagster_internals.tables import (
    ASSETS,
    CHECKS,
    EVENT_TAGS,
    EVENTS,
    chunks,
    erase,
    events,
    events_of,
    file_of,
    naming,
)
from ig_pipeline.storage.scrubbing import scrub_file

_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_OF_CELLS = [
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    _MATERIALIZED,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
    dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value,
]


class EventLog:
    """The event log of one instance, and the accounts that are to leave it.

    `grid`: our assets whose partitions are cells. `beside`: those without partitions, whose tables list accounts.
    `account_tag`: the tag of an event that holds a cell's account.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        names: Names,
        *,
        grid: Collection[dg.AssetKey],
        beside: Collection[dg.AssetKey],
        account_tag: str,
    ) -> None:
        self._instance, self._names, self._account_tag = instance, names, account_tag
        self._grid, self._beside = ([key.to_string() for key in keys] for keys in (grid, beside))
        self._keys = [*grid, *beside]

    def runs(self) -> set[str]:
        """Ids of the runs whose events name the accounts; "" is where cells without a run stand."""
        with events(self._instance) as db:
            found = set(db.execute(sa.select(EVENTS.c.run_id).where(self._cells()).distinct()).scalars())
            tables = EVENTS.c.asset_key.in_(self._beside), EVENTS.c.dagster_event_type == _MATERIALIZED
            found |= {row.run_id for row, _ in naming(db, self._names, EVENTS.c.event, *tables)}
            checks = naming(db, self._names, CHECKS.c.evaluation_event, self._checked())
            found |= {row.run_id for row, _ in checks}
        return found

    def accounts_of(self, run_ids: Collection[str]) -> dict[str, set[str]]:
        """Run → keys of all accounts of which it has cells."""
        found: dict[str, set[str]] = defaultdict(set)
        with events(self._instance) as db:
            for chunk in chunks(run_ids):
                statement = sa.select(EVENTS.c.run_id, EVENTS.c.partition).where(
                    EVENTS.c.run_id.in_(chunk), EVENTS.c.partition.is_not(None)
                )
                for run_id, cell in db.execute(statement.distinct()):
                    found[run_id].add(cell.rpartition("|")[0])
        return found

    def clean(self, run_ids: Collection[str]) -> int:
        """Take the accounts out of these runs, and what was logged in them altogether; how many cells went.

        Raises `ScrubbingWaitsError`.
        """
        for run_id in run_ids:
            if file := file_of(self._instance, run_id):
                with events_of(self._instance, run_id) as db:
                    self._clean_runs(db, [run_id])
                    db.execute(sa.delete(EVENTS).where(self._cells()))
                scrub_file(file)
        with events(self._instance) as db:
            self._clean_runs(db, run_ids)
            count = db.execute(sa.delete(EVENTS).where(self._cells())).rowcount
            self._delete_tags(db)
            erase(db, self._names, CHECKS.c.evaluation_event, self._checked())
        self._clean_assets()
        return count

    def remove_file(self, run_id: str) -> None:
        """Remove the file of a run that was deleted; Dagster leaves it there, empty."""
        if file := file_of(self._instance, run_id):
            for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))):
                path.unlink(missing_ok=True)

    def _cells(self) -> sa.ColumnElement[bool]:
        cell = EVENTS.c.partition
        # The range is what the index serves, in whatever order a collation puts the bar; the prefix is exact.
        of_accounts = (
            sa.and_(cell.between(f"{key}|0000-00-00", f"{key}|9999-99-99"), cell.startswith(f"{key}|", autoescape=True))
            for key in self._names.keys
        )
        ours = sa.and_(EVENTS.c.asset_key.in_(self._grid), EVENTS.c.dagster_event_type.in_(_OF_CELLS))
        return sa.and_(ours, sa.or_(sa.false(), *of_accounts))

    def _checked(self) -> sa.ColumnElement[bool]:
        return CHECKS.c.asset_key.in_([*self._grid, *self._beside])

    def _clean_runs(self, db: sa.Connection, run_ids: Collection[str]) -> None:
        """What runs logged in words goes for all; their events without a partition lose the names."""
        for chunk in chunks(set(run_ids) - {""}):  # what has no run is cells
            these = EVENTS.c.run_id.in_(chunk)
            db.execute(sa.delete(EVENTS).where(these, EVENTS.c.dagster_event_type.is_(None)))
            erase(db, self._names, EVENTS.c.event, these, EVENTS.c.partition.is_(None))

    def _delete_tags(self, db: sa.Connection) -> None:
        """The tags of their cells, also of cells that were wiped before: Dagster leaves those behind."""
        tags = EVENT_TAGS.c
        ours = tags.asset_key.in_(self._grid), tags.key == self._account_tag, tags.value.in_(self._names.keys)
        for chunk in chunks(db.execute(sa.select(tags.event_id).where(*ours)).scalars().all()):
            db.execute(sa.delete(EVENT_TAGS).where(tags.event_id.in_(chunk)))

    def _clean_assets(self) -> None:
        """What an asset knows of its newest materialization: taken from what is left in the log."""
        keys = {key.to_string(): key for key in self._keys}
        with events(self._instance) as db:
            rows = db.execute(sa.select(ASSETS.c.asset_key, ASSETS.c.last_materialization)).all()
        for name, text in rows:
            if name in keys and text is not None and self._names.without_them(text) != text:
                newest = self._instance.fetch_materializations(keys[name], limit=1).records
                value = dg.serialize_value(newest[0]) if newest else None
                with events(self._instance) as db:
                    db.execute(sa.update(ASSETS).where(ASSETS.c.asset_key == name).values(last_materialization=value))
        self._instance.wipe_asset_cached_status(self._keys)
