"""`web_sessions`: one row per browser that is signed in. Signing out deletes it, and with it the session.

Only a hash of the id is kept. What a role may do is the web service's and Dagster's gate's to know.
"""

import hashlib
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage.tables import web_sessions as table

LIFETIME = timedelta(hours=12)
"""How long a browser stays signed in."""


def insert(db: sa.Connection, session_id: str, *, role: str, now: datetime) -> None:
    """Begin a session; those that are over go."""
    db.execute(sa.delete(table).where(table.c.expires_at <= now))
    db.execute(
        sa.insert(table).values(id_hash=_hash_of(session_id), role=role, created_at=now, expires_at=now + LIFETIME)
    )


def is_open(db: sa.Connection, session_id: str, *, role: str, now: datetime) -> bool:
    """Whether the session of this role has begun and not ended."""
    mine = sa.select(table.c.id_hash).where(
        table.c.id_hash == _hash_of(session_id), table.c.role == role, table.c.expires_at > now
    )
    return db.execute(mine).first() is not None


def delete(db: sa.Connection, session_id: str) -> None:
    """End a session, everywhere its id is known."""
    db.execute(sa.delete(table).where(table.c.id_hash == _hash_of(session_id)))


def _hash_of(session_id: str) -> str:
    """SHA-256: ids are 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
