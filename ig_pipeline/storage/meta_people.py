"""`meta_people`: which connection a person gave, by the id Meta gives that person towards our app.

Meta's callbacks for deauthorization and deletion name people so, and in no other way
(docs/graph_api.md#facebook-login).
`signed_requests_seen` keeps such a callback from being played twice.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection, by_id
from ig_pipeline.storage.tables import meta_people, signed_requests_seen
from ig_pipeline.storage.upsert import insert_into, insert_unless_there

SIGNED_REQUEST_LIFETIME = timedelta(hours=24)
"""Older ones are refused, so nothing older needs to be remembered."""


def remember(db: sa.Connection, connection_id: int, person_ids: Iterable[str]) -> None:
    """Note who gave a connection; whoever gave it before no longer has a say in it."""
    db.execute(sa.delete(meta_people).where(meta_people.c.connection_id == connection_id))
    rows = [{"connection_id": connection_id, "person_id": person} for person in dict.fromkeys(person_ids)]
    if rows:
        db.execute(sa.insert(meta_people), rows)


def add(db: sa.Connection, connection_id: int, person_id: str) -> None:
    """Note that a person gave a connection, besides those who are known."""
    insert_unless_there(db, meta_people, {"connection_id": connection_id, "person_id": person_id})


def by_connection(db: sa.Connection) -> dict[int, list[str]]:
    """Who gave each connection, as far as that was told."""
    found: dict[int, list[str]] = {}
    for connection_id, person in db.execute(sa.select(meta_people.c.connection_id, meta_people.c.person_id)):
        found.setdefault(connection_id, []).append(person)
    return found


def connections_of(db: sa.Connection, person_id: str) -> list[Connection]:
    """The connections a person gave."""
    found = sa.select(meta_people.c.connection_id).where(meta_people.c.person_id == person_id)
    return [
        by_id(db, connection_id) for connection_id in db.execute(found.order_by(meta_people.c.connection_id)).scalars()
    ]


def first_seen(db: sa.Connection, signature_hash: str, *, now: datetime) -> bool:
    """True for the first time a signed request comes in; what is too old to be accepted anyway is forgotten."""
    table = signed_requests_seen
    db.execute(sa.delete(table).where(table.c.seen_at < now - 2 * SIGNED_REQUEST_LIFETIME))
    values = insert_into(db, table).values(signature_hash=signature_hash, seen_at=now)
    return db.execute(values.on_conflict_do_nothing(index_elements=["signature_hash"])).rowcount == 1
