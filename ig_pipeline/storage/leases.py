"""`leases`: what one process at a time may do, over all machines; a lease that is not renewed ends by itself."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.clock import Clock
from ig_pipeline.storage.tables import leases as table
from ig_pipeline.storage.upsert import insert_into

log = logging.getLogger(__name__)

DELETIONS = "deletions"
"""Held by the one process that carries deletions out, be it a run of Dagster's or the command line."""

LIFETIME = timedelta(minutes=5)
"""How long what a process held that was killed stays held."""

_RENEWED_EVERY_S = 60

Writing = Callable[[], AbstractContextManager[sa.Connection]]


def take(db: sa.Connection, name: str, *, owner: str, now: datetime) -> bool:
    """True for the one who holds `name` from now on; its `owner` may take it again, which renews it."""
    values = {"name": name, "owner": owner, "expires_at": now + LIFETIME}
    statement = insert_into(db, table).values(values)
    free = sa.or_(table.c.owner == owner, table.c.expires_at <= now)
    return db.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values, where=free)).rowcount == 1


def is_taken(db: sa.Connection, name: str, *, now: datetime) -> bool:
    """Whether anyone holds `name`."""
    held = sa.select(table.c.name).where(table.c.name == name, table.c.expires_at > now)
    return db.execute(held).first() is not None


def release(db: sa.Connection, name: str, *, owner: str) -> None:
    """Let others take it; does nothing when it has passed on."""
    db.execute(sa.delete(table).where(table.c.name == name, table.c.owner == owner))


@contextmanager
def held(writing: Writing, name: str, *, owner: str, clock: Clock) -> Iterator[bool]:
    """Hold `name` for the length of the block, renewed by a thread; False when another holds it.

    `writing` opens a transaction. Raises `DatabaseError`.
    """
    with writing() as db:
        mine = take(db, name, owner=owner, now=clock())
    if not mine:
        yield False
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEWED_EVERY_S):
            try:
                with writing() as db:
                    take(db, name, owner=owner, now=clock())
            # In a thread, where whatever is not caught ends the renewals without a word; the next one may succeed.
            except Exception:
                log.warning("The lease %s could not be renewed; tried again in a minute.", name, exc_info=True)

    renewing = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    renewing.start()
    try:
        yield True
    finally:
        ended.set()
        renewing.join()
        with writing() as db:
            release(db, name, owner=owner)
