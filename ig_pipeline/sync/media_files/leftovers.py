"""Files that a killed process stored without their row, of posts that Instagram lists no more: indexed by their names.

Those still listed need nothing: the next backfill fetches them again under the same name, caption and all.
"""

import hashlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.media_store.checking import Measures, check_file
from ig_pipeline.media_store.errors import NotMediaError
from ig_pipeline.media_store.naming import file_stem, library_folder, parse_file_name
from ig_pipeline.media_store.sniffing import SNIFFED_BYTES, FileType, sniff
from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import media_items
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.session import AccountSession

_PIECE = 1024 * 1024


async def adopt_leftovers(session: AccountSession, store: Store, *, listed: set[str]) -> int:
    """Index what lies in the account's folder without a row; how many files got one. Raises `StoreError`.

    `listed`: media ids that the API still lists. A file of another name is somebody's own and left alone.
    """
    connection = session.connection

    def adopt(db: sa.Connection) -> int:
        contents = media_items.contents(db, connection.u_id)
        with_row = set(contents.paths.values())
        rows = []
        for key in store.keys(library_folder(connection.u_id, connection.account_id)):
            named = parse_file_name(key.rpartition("/")[2])
            if named is None or key in with_row or named[0] in listed or named[0] in contents.media_ids:
                continue
            if row := _row(session, store, key, named[0]):
                rows.append(row)
        indexed = media_items.index(db, connection.u_id, rows)
        for row, entry in zip(rows, indexed, strict=True):
            if entry.path != row["file_path"]:
                store.delete(row["file_path"])
        return len(indexed)

    return await session.write(adopt)


def _row(session: AccountSession, store: Store, key: str, media_id: str) -> dict[str, Any] | None:
    """The row a file's name and bytes give; None for one that is no picture or video."""
    named = parse_file_name(key.rpartition("/")[2])
    assert named is not None
    connection, posted_at = session.connection, named[1]
    part = store.begin(library_folder(connection.u_id, connection.account_id), file_stem(media_id, posted_at))
    try:
        part.write([])  # locked, so that nobody sweeps it away meanwhile
        store.copy_to(key, part.path)
        looked = _look(part.path, media_id)
        if looked is None:
            return None
        file_type, measures, sha256 = looked
        return {
            **_origin(connection, media_id),
            "date": instagram_day(posted_at),
            "posted_at": posted_at,
            "backfilled_at": session.now(),
            "file_path": key,
            "file_name": key.rpartition("/")[2],
            "file_hash": sha256,
            "file_size_bytes": part.path.stat().st_size,
            "mime_type": file_type.mime_type,
            "media_type": "VIDEO" if file_type.kind == "video" else "IMAGE",
            "width": measures.width,
            "height": measures.height,
            "duration_seconds": measures.duration,
        }
    finally:
        part.discard()


def _origin(connection: Connection, media_id: str) -> dict[str, Any]:
    return {
        "account_id": connection.account_id,
        "instagram_media_id": media_id,
        "category": media_items.CATEGORY,
        "source_type": "instagram_post",
        "source_identifier": media_id,
        "caption": None,
        "permalink": None,
    }


def _look(path: Path, media_id: str) -> tuple[FileType, Measures, str] | None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file_type = sniff(file.read(SNIFFED_BYTES))
        file.seek(0)
        while piece := file.read(_PIECE):
            digest.update(piece)
    if file_type is None:
        return None
    try:
        return file_type, check_file(path, file_type, media_id=media_id), digest.hexdigest()
    except NotMediaError:
        return None
