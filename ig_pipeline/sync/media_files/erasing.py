"""Removes an account's files from the library, when its owner wants to be forgotten.

Bytes that another account of the same user has too are stored once, in the folder of whoever came first: they move.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from ig_pipeline.media_store.naming import file_stem, library_folder
from ig_pipeline.media_store.sniffing import FileType
from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import media_items

Writing = Callable[[], AbstractContextManager[sa.Connection]]


def erase_files(writing: Writing, store: Store, u_id: int, account_id: str) -> int:
    """Remove what only this account has, parts and files without a row included; how many files.

    `writing` opens a transaction. The account's rows stay. Safe to be called again. Raises `StoreError`.
    """
    folder = library_folder(u_id, account_id)
    with writing() as db:
        lodgers = media_items.lodgers(db, u_id, account_id, folder)
    for row in lodgers:
        new = _copy(store, row)
        with writing() as db:
            media_items.move(db, u_id, row["file_path"], new)
    with writing() as db:
        elsewhere = [
            path
            for path in media_items.paths_of_account_alone(db, u_id, account_id)
            if not path.startswith(f"{folder}/")
        ]
    for path in elsewhere:
        store.delete(path)
    store.sweep()
    return store.delete_folder(folder) + len(elsewhere) - len(lodgers)


def _copy(store: Store, row: dict[str, Any]) -> str:
    """Copy a file to where its row's own account keeps its files, under that row's name; the new key."""
    old, extension = row["file_path"], row["file_path"].rpartition(".")[2]
    folder, stem = (
        library_folder(row["u_id"], row["account_id"]),
        file_stem(row["instagram_media_id"], row["posted_at"]),
    )
    new = f"{folder}/{stem}.{extension}"
    part = store.begin(folder, stem)
    try:
        part.write([])  # locked, so that nobody sweeps it away meanwhile
        store.copy_to(old, part.path)
        mime_type: str = row["mime_type"]
        file_type = FileType(extension, mime_type, "video" if mime_type.startswith("video/") else "image")
        store.commit(part, new, file_type)
    finally:
        part.discard()
    return new
