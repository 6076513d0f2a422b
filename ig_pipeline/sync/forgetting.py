"""Carries out what `deletion_requests` asks for: files, cells, rows, and then the bytes they leave behind.

May be repeated after a crash at any point: the request names its accounts until everything else is gone.
Who asks, and how it was answered, is the web service's and the command line's.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import deletion_requests, media_items
from ig_pipeline.storage.connections import UnknownAccountError, by_id
from ig_pipeline.storage.database import reading, scrub
from ig_pipeline.storage.deletion_requests import DeletionRequest, Target
from ig_pipeline.storage.user_data import erase_account, erase_person

log = logging.getLogger("ig_pipeline.sync")

ClearCells = Callable[[Collection[str]], int]
"""Removes the partitions of these account keys, and what a scheduler remembers of them; how many cells."""


def no_cells(account_keys: Collection[str]) -> int:
    """For whoever has no grid: the command line without an instance, the tests."""
    return 0


def forget_all(engine: sa.Engine, store: Store, *, clear_cells: ClearCells = no_cells, now: datetime) -> int:
    """Carry out every waiting request, oldest first; how many. Blocks; not inside a transaction.

    No run of these accounts may be under way: it would write them down again. Raises `StoreError`,
    `DatabaseError` and what `clear_cells` raises; the request that failed stays and can be tried again.
    """
    with reading(engine) as db:
        waiting = deletion_requests.waiting(db)
    for request in waiting:
        _forget(engine, store, request, clear_cells=clear_cells, now=now)
    if waiting:
        scrub(engine)
    return len(waiting)


def _forget(
    engine: sa.Engine, store: Store, request: DeletionRequest, *, clear_cells: ClearCells, now: datetime
) -> None:
    erased = {"files": sum(_delete_files(engine, store, target) for target in request.targets)}
    erased["cells"] = clear_cells([target.account_key for target in request.targets])
    with engine.begin() as db:
        for target in request.targets:
            for table, rows in _erase_rows(db, target).items():
                erased[table] = erased.get(table, 0) + rows
        deletion_requests.done(db, request, {name: count for name, count in erased.items() if count}, now=now)
    # The code alone: the log must not name whom it forgot.
    log.info("[FORGET] Deletion %s is done: %s", request.code, erased)


def _delete_files(engine: sa.Engine, store: Store, target: Target) -> int:
    with reading(engine) as db:
        paths = media_items.paths_of_account_alone(db, target.u_id, target.account_id)
    for path in paths:
        store.delete(path)
    return len(paths)


def _erase_rows(db: sa.Connection, target: Target) -> dict[str, int]:
    erased: dict[str, int] = {}
    # Another request may have named the same account and been first.
    with suppress(UnknownAccountError):
        erased = erase_account(db, by_id(db, target.connection_id))
    return erased | erase_person(db, target.u_id, target.email)
