"""Backfills, ticks and the daemons' last errors by SQL: Dagster has calls that read them, and none that remove."""

import re
from collections.abc import Collection
from typing import Any

import dagster as dg
import sqlalchemy as sa

from ig_pipeline.dagster_internals.names import Names
from ig_pipeline.dagster_internals.tables import (
    BACKFILL_TAGS,
    BACKFILLS,
    HEARTBEATS,
    TICKS,
    erase,
    naming,
    runs,
    ticks,
    write,
)

UNFINISHED = ("REQUESTED", "CANCELING", "FAILING")
"""Statuses of a backfill that goes on."""

_A_CELL = re.compile(r"\|\d{4}-\d\d-\d\d")


def unfinished_backfills(instance: dg.DagsterInstance, names: Names, *, ours: Collection[dg.AssetKey]) -> int:
    """How many backfills of our assets that go on name the accounts."""
    with runs(instance) as db:
        found = naming(db, names, BACKFILLS.c.body, BACKFILLS.c.status.in_(UNFINISHED))
        return sum(_is_of(ours, row.body) for row, _ in found)


def clean_backfills(instance: dg.DagsterInstance, names: Names, *, ours: Collection[dg.AssetKey]) -> None:
    """Backfills of our assets stay without the accounts; those that have no cell left go."""
    with runs(instance) as db:
        for row, cleaned in naming(db, names, BACKFILLS.c.body):
            if not _is_of(ours, row.body):
                continue
            left = cleaned if cleaned and _A_CELL.search(cleaned) else None
            write(db, BACKFILLS.c.body, row.id, left)
            tags = BACKFILL_TAGS.c.backfill_id == row.key
            if left is None:
                db.execute(sa.delete(BACKFILL_TAGS).where(tags))
                continue
            for tag in db.execute(sa.select(BACKFILL_TAGS).where(tags)).all():
                if changed := names.in_tags({tag.key: tag.value}):
                    db.execute(
                        sa.update(BACKFILL_TAGS).where(BACKFILL_TAGS.c.id == tag.id).values(value=changed[tag.key])
                    )


def clean_ticks(instance: dg.DagsterInstance, names: Names, *, ours: Collection[str]) -> None:
    """Ticks of our sensors and schedules (`ours`) keep the partitions they added, and their errors.

    They stay without the names: from a schedule's newest one the daemon knows which nights are done. Skipped ones name
    no one: our sensors say why in numbers.
    """
    with ticks(instance) as db:
        for row, cleaned in naming(db, names, TICKS.c.tick_body, TICKS.c.status != "SKIPPED"):
            tick: Any = dg.deserialize_value(row.tick_body)
            if tick.instigator_name not in ours:
                continue
            if tick.log_key:
                instance.compute_log_manager.delete_logs(log_key=tick.log_key)
            write(db, TICKS.c.tick_body, row.id, cleaned)


def clean_heartbeats(instance: dg.DagsterInstance, names: Names) -> None:
    """Daemons keep their last errors until they write the next beat."""
    with runs(instance) as db:
        erase(db, names, HEARTBEATS.c.body)


def _is_of(ours: Collection[dg.AssetKey], body: str) -> bool:
    return any(key.path[-1] in body for key in ours)
