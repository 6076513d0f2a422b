"""An account's files go with it; bytes that the user's other account has too stay, under that one's name."""

from datetime import UTC, datetime
from functools import partial

import pytest
import sqlalchemy as sa

from ig_pipeline.media_store.naming import file_stem, library_folder
from ig_pipeline.media_store.sniffing import JPEG
from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import media_items, tables
from ig_pipeline.storage.connections import user_of
from ig_pipeline.sync.media_files.erasing import erase_files
from ig_pipeline_tests.media_store.conftest import s3, store  # noqa: F401 - fixtures

AT = datetime(2026, 11, 19, 12, tzinfo=UTC)
GONE, STAYS = "17841400000000001", "17841400000000002"


def keep(database: sa.Engine, place: Store, u_id: int, account_id: str, media_id: str, content: bytes) -> None:
    """A file as a backfill leaves it: equal bytes of one user are stored once."""
    folder, stem = library_folder(u_id, account_id), file_stem(media_id, AT)
    row = {
        "account_id": account_id,
        "instagram_media_id": media_id,
        "date": AT.date(),
        "posted_at": AT,
        "backfilled_at": AT,
        "file_path": f"{folder}/{stem}.jpg",
        "file_name": f"{stem}.jpg",
        "file_hash": content.decode(),
        "file_size_bytes": len(content),
        "mime_type": "image/jpeg",
        "category": "instagram_backfill",
        "source_type": "instagram_post",
        "source_identifier": media_id,
        "media_type": "IMAGE",
        "caption": None,
        "permalink": None,
        "width": 1,
        "height": 1,
        "duration_seconds": None,
    }
    with database.begin() as db:
        [indexed] = media_items.index(db, u_id, [row])
    if indexed.path == row["file_path"]:
        part = place.begin(folder, stem)
        part.write([content])
        place.commit(part, indexed.path, JPEG)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_files_of_an_account_go_and_shared_bytes_move_to_who_stays(database: sa.Engine, store: Store) -> None:  # noqa: F811
    with database.begin() as db:
        u_id = user_of(db, "a@b.example", now=AT)
    keep(database, store, u_id, GONE, "1", b"shared")
    keep(database, store, u_id, STAYS, "2", b"shared")
    keep(database, store, u_id, GONE, "3", b"own")
    keep(database, store, u_id, STAYS, "4", b"first here")
    keep(database, store, u_id, GONE, "5", b"first here")
    orphan = store.begin(library_folder(u_id, GONE), file_stem("6", AT))
    orphan.write([b"stored by a process that was killed before its row"])
    store.commit(orphan, f"{library_folder(u_id, GONE)}/{file_stem('6', AT)}.jpg", JPEG)
    erase = partial(erase_files, database.begin, store, u_id, GONE)
    assert erase() == 2
    assert erase() == 0  # once more, as after a crash
    home = library_folder(u_id, STAYS)
    left = {f"{home}/{file_stem('2', AT)}.jpg": b"shared", f"{home}/{file_stem('4', AT)}.jpg": b"first here"}
    assert {key: store.read(key) for key in store.keys("instagram_backfill")} == left
    with database.begin() as db:
        mine = sa.select(tables.media_items.c.file_path).where(tables.media_items.c.account_id == STAYS)
        assert set(db.execute(mine).scalars()) == set(left)
