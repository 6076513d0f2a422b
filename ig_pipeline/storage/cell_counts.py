"""`cell_counts`: how many cells of an account ended how, the rows they wrote, and when last. The ledger's sums.

Added to in the transaction of the ledger's rows, by whoever records them; monitoring reads nothing larger.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import cell_counts as table
from ig_pipeline.storage.upsert import insert_into

WRITTEN = ("complete", "partial")
_KEY = ("u_id", "account_id", "asset", "status")


@dataclass(frozen=True)
class CellCount:
    """Cells of all accounts that ended in `status`, a cell asked again counting again, and the rows they wrote."""

    asset: str
    status: str
    cells: int
    rows: int


def add(db: sa.Connection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Count rows of the ledger. In the order of their keys: two writers never wait for each other crosswise."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        key = tuple(entry[name] for name in _KEY)
        known = sums.get(key, {"cells": 0, "rows": 0, "last_at": entry["finished_at"]})
        sums[key] = {
            "account_key": entry["account_key"],
            "cells": known["cells"] + 1,
            "rows": known["rows"] + entry["rows"],
            "last_at": max(known["last_at"], entry["finished_at"]),
        }
    if not sums:
        return
    statement = insert_into(db, table)
    new = statement.excluded
    db.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY,
            set_={
                "account_key": new.account_key,
                "cells": table.c.cells + new.cells,
                "rows": table.c.rows + new.rows,
                "last_at": sa.case((table.c.last_at > new.last_at, table.c.last_at), else_=new.last_at),
            },
        ),
        [dict(zip(_KEY, key, strict=True)) | sums[key] for key in sorted(sums)],
    )


def totals(db: sa.Connection) -> list[CellCount]:
    """By asset and outcome, over all accounts."""
    found = db.execute(
        sa.select(
            table.c.asset,
            table.c.status,
            sa.func.sum(table.c.cells).label("cells"),
            sa.func.sum(table.c.rows).label("rows"),
        )
        .group_by(table.c.asset, table.c.status)
        .order_by(table.c.asset, table.c.status)
    )
    return [CellCount(asset, status, int(cells), int(rows)) for asset, status, cells, rows in found]


def last_written(
    db: sa.Connection, asset: str | None = None, *, statuses: Collection[str] = WRITTEN
) -> dict[str, datetime]:
    """Account key → when a cell of `asset` (None: of any) last ended in one of `statuses` (UTC)."""
    newest = sa.func.max(table.c.last_at, type_=table.c.last_at.type)
    statement = sa.select(table.c.account_key, newest).where(table.c.status.in_(list(statuses)))
    if asset is not None:
        statement = statement.where(table.c.asset == asset)
    rows = db.execute(statement.group_by(table.c.account_key).order_by(table.c.account_key))
    return dict(map(tuple, rows))
