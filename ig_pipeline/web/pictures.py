"""Pictures of posts from the media library, for the pages. Meta's own picture addresses expire and are never used."""

import sqlalchemy as sa

from ig_pipeline.media_store.opening import open_store
from ig_pipeline.media_store.previews import picture
from ig_pipeline.settings import Settings
from ig_pipeline.storage import media_items
from ig_pipeline.storage.connections import Connection

# A card is 320 points wide; twice that is sharp on a phone.
_SIDE = 640


def pictures_of(db: sa.Connection, connection: Connection) -> dict[str, str]:
    """Media id → address of its picture here; posts whose files are not in the library are left out."""
    posts = media_items.posts_with_files(db, connection.u_id, connection.account_id)
    return {post: f"/pictures/{connection.account_key}/{post}" for post in posts}


def draw(settings: Settings, db: sa.Connection, connection: Connection, post_id: str) -> bytes | None:
    """The post's first file as WebP; None when the library has none that can be shown. Raises `StoreError`."""
    key = media_items.first_file_of_post(db, connection.u_id, connection.account_id, post_id)
    return picture(open_store(settings), key, side=_SIDE) if key else None
