"""Files that a killed process stored without their row, of posts that Instagram lists no more: indexed by their names.

Those still listed need nothing: the next backfill fetches them again under the same name, caption and all.
"""

import hashlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.media_store.checking import check_file
from ig_pipeline.media_store.errors import NotMediaError
from ig_pipeline.media_store.naming import file_stem, library_folder, parse_file_name
from ig_pipeline.media_store.sniffing import SNIFFED_BYTES, sniff
from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import media_items
from ig_pipeline.sync.media_files.fetching import CheckedFile, library_row
from ig_pipeline.sync.media_files.wanted import WantedFile
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
        checked = _look(part.path, media_id)
    finally:
        part.discard()
    if checked is None:
        return None
    kind, day = ("VIDEO" if checked.file_type.kind == "video" else "IMAGE"), instagram_day(posted_at)
    post = WantedFile(
        media_id, media_id, kind, "instagram_post", posted_at, day, caption=None, permalink=None, url=None
    )
    return library_row(session, post, checked, key)


def _look(path: Path, media_id: str) -> CheckedFile | None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file_type = sniff(file.read(SNIFFED_BYTES))
        file.seek(0)
        while piece := file.read(_PIECE):
            digest.update(piece)
    if file_type is None:
        return None
    try:
        measures = check_file(path, file_type, media_id=media_id)
    except NotMediaError:
        return None
    return CheckedFile(file_type, measures, digest.hexdigest(), path.stat().st_size)
