"""After a deletion nothing of the account is found, in no table, no file of the database and no file of the library."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.local_folder import LocalFolder
from ig_pipeline.storage import connections, daily_metrics, deletion_requests, media_items, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tables import metadata
from ig_pipeline.sync.forgetting import forget_all
from ig_pipeline_tests.postgres import PostgresServer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 19)


def connect(db: sa.Connection, email: str, account_id: str, username: str) -> Connection:
    made = connections.connect(
        db,
        email=email,
        login="facebook",
        account_id=account_id,
        username=username,
        encrypt=lambda _: "sealed",
        expires_at=NOW + timedelta(days=60),
        scopes="instagram_basic",
        now=NOW,
    )
    daily_metrics.save(
        db,
        [
            {
                "u_id": made.u_id,
                "account_id": account_id,
                "date": DAY,
                "source": "instagram",
                "reach": 7,
                "engagement": 3,
                "observed_at": NOW,
            }
        ],
    )
    sync_requests.enqueue(
        db,
        kind="insights",
        account_key=made.account_key,
        first=DAY,
        last=DAY,
        requested_by="admin",
        reason=f"asked for {username}",
        now=NOW,
    )
    return made


def keep_file(db: sa.Connection, store: LocalFolder, owner: Connection, media_id: str, content: str) -> str:
    """A file in the library, with its row; equal content of one user is one file."""
    path = f"instagram_backfill/{owner.u_id}/20261119_120000_{media_id}.jpg"
    row = {
        "account_id": owner.account_id,
        "instagram_media_id": media_id,
        "date": DAY,
        "posted_at": NOW,
        "backfilled_at": NOW,
        "file_path": path,
        "file_name": path.rpartition("/")[2],
        "file_hash": content,
        "file_size_bytes": len(content),
        "mime_type": "image/jpeg",
        "category": "instagram_backfill",
        "source_type": "feed",
        "source_identifier": media_id,
        "media_type": "IMAGE",
        "caption": f"by {owner.username}",
        "permalink": None,
        "width": 1,
        "height": 1,
        "duration_seconds": None,
    }
    placed = media_items.index(db, owner.u_id, [row])[0].path
    file = store.path_of(placed)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return placed


def ask_to_forget(database: sa.Engine, *gone: Connection) -> str:
    with database.begin() as db:
        return deletion_requests.request(db, gone, origin="admin", now=NOW).code


def rows_that_name(database: sa.Engine, words: tuple[str, ...]) -> Iterator[str]:
    with reading(database) as db:
        for table in metadata.sorted_tables:
            for row in db.execute(sa.select(table)):
                if any(word in repr(row) for word in words):
                    yield f"{table.name}: {row}"


def tables_of_postgresql(request: pytest.FixtureRequest, database: sa.Engine) -> Path:
    """The folder of the database's tables, written to disk. The server's log of changes is the operator's."""
    server: PostgresServer = request.getfixturevalue("postgres")
    with reading(database) as db:
        number = db.execute(sa.text("select oid from pg_database where datname = current_database()")).scalar_one()
    server.execute("checkpoint")
    return server.data / "base" / str(number)


def test_nothing_of_a_forgotten_person_is_left_and_everything_of_others_is(
    request: pytest.FixtureRequest, database: sa.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = LocalFolder(tmp_path / "media")
    with database.begin() as db:
        gone = connect(db, "forget.me@b.example", "17841400000000001", "forgotten.studio")
        stays = connect(db, "keep.me@b.example", "17841400000000001", "forgotten.studio.twin")
        theirs = keep_file(db, store, gone, "1", "picture")
        others = keep_file(db, store, stays, "1", "picture")
    code = ask_to_forget(database, gone)
    assert forget_all(database, store, now=NOW, clear_cells=len) == 1
    words = ("forget.me", "forgotten.studio'")
    assert list(rows_that_name(database, words)) == []
    assert store.size_of(theirs) is None
    assert store.size_of(others) == len("picture")
    with reading(database) as db:
        assert connections.by_account_key(db, "forgotten.studio.twin").status == "connected"
        assert daily_metrics.has_any(db, stays.u_id, stays.account_id)
        tombstone = deletion_requests.by_code(db, code)
    assert tombstone is not None
    assert (tombstone.status, tombstone.targets) == ("done", ())
    assert (tombstone.erased["files"], tombstone.erased["cells"], tombstone.erased["users"]) == (1, 1, 1)
    assert "[FORGET] Deletion" in caplog.text
    assert "forget.me" not in caplog.text
    assert "forgotten" not in caplog.text
    folder = tmp_path if database.dialect.name == "sqlite" else tables_of_postgresql(request, database)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(b"keep.me@b.example" in path.read_bytes() for path in files)
    assert [path.name for path in files if b"forget.me@b.example" in path.read_bytes()] == []


def test_one_of_two_accounts_goes_and_a_file_they_share_stays(database: sa.Engine, tmp_path: Path) -> None:
    store = LocalFolder(tmp_path / "media")
    with database.begin() as db:
        gone = connect(db, "a@b.example", "17841400000000001", "first.studio")
        stays = connect(db, "a@b.example", "17841400000000002", "second.studio")
        shared = keep_file(db, store, gone, "1", "shared picture")
        assert keep_file(db, store, stays, "2", "shared picture") == shared
    ask_to_forget(database, gone)
    forget_all(database, store, now=NOW)
    assert store.size_of(shared) is not None
    with reading(database) as db:
        assert [left.account_key for left in connections.list_connections(db)] == ["second.studio"]
    assert list(rows_that_name(database, ("first.studio", "17841400000000001"))) == []


def test_a_deletion_that_failed_in_the_middle_is_finished_by_the_next(database: sa.Engine, tmp_path: Path) -> None:
    class Refusing(LocalFolder):
        def delete(self, key: str) -> None:
            raise StoreError("The disk is gone.")

    store = LocalFolder(tmp_path / "media")
    with database.begin() as db:
        gone = connect(db, "a@b.example", "17841400000000001", "first.studio")
        path = keep_file(db, store, gone, "1", "picture")
    ask_to_forget(database, gone)
    with pytest.raises(StoreError):
        forget_all(database, Refusing(tmp_path / "media"), now=NOW)
    assert store.size_of(path) is not None
    assert forget_all(database, store, now=NOW) == 1
    assert store.size_of(path) is None
    assert forget_all(database, store, now=NOW) == 0


def test_an_account_that_was_asked_to_be_forgotten_twice_is_forgotten_once(database: sa.Engine, tmp_path: Path) -> None:
    with database.begin() as db:
        gone = connect(db, "a@b.example", "17841400000000001", "first.studio")
    codes = [ask_to_forget(database, gone), ask_to_forget(database, gone)]
    assert forget_all(database, LocalFolder(tmp_path / "media"), now=NOW) == 2
    with reading(database) as db:
        found = [deletion_requests.by_code(db, code) for code in codes]
    assert [one.status for one in found if one] == ["done", "done"]
