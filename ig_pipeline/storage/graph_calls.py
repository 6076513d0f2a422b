"""`graph_calls`: how many requests went to Meta, by endpoint and outcome, over all processes and for ever.

Runs come and go; a counter that monitoring reads has to outlive them.
"""

import logging
from collections.abc import Mapping

import sqlalchemy as sa

from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.storage.tables import graph_calls as table
from ig_pipeline.storage.upsert import insert_into

log = logging.getLogger(__name__)


def add(db: sa.Connection, counts: Mapping[tuple[str, str], int]) -> None:
    """Add calls by (endpoint, outcome). Sorted, so that two writers never wait for each other crosswise."""
    if not counts:
        return
    statement = insert_into(db, table)
    db.execute(
        statement.on_conflict_do_update(
            index_elements=["endpoint", "outcome"], set_={"calls": table.c.calls + statement.excluded.calls}
        ),
        [
            {"endpoint": endpoint, "outcome": outcome, "calls": calls}
            for (endpoint, outcome), calls in sorted(counts.items())
        ],
    )


def keep(engine: sa.Engine, counts: Mapping[tuple[str, str], int]) -> None:
    """Add a process's calls when it ends. Where the database is away they are lost, and the log says so."""
    if not counts:
        return
    try:
        with engine.begin() as db:
            add(db, counts)
    except (DatabaseError, sa.exc.SQLAlchemyError) as error:
        log.warning("%d calls to Meta could not be counted: %s", sum(counts.values()), type(error).__name__)


def totals(db: sa.Connection) -> dict[tuple[str, str], int]:
    """Calls by (endpoint, outcome) since the database was made."""
    return {(row.endpoint, row.outcome): row.calls for row in db.execute(sa.select(table))}
