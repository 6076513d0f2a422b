"""Pictures of posts from the media library, for the pages. Meta's own picture addresses expire and are never used."""

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection


def pictures_of(db: sa.Connection, connection: Connection) -> dict[str, str]:
    """Media id → address of its picture here."""
    return {}
