"""Everything that is held about a person can be handed out, and erased: from the tables and from their files."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.storage import (
    connections,
    daily_metrics,
    deletion_requests,
    media_items,
    meta_people,
    oauth_states,
    sync_requests,
)
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.scrubbing import scrub
from ig_pipeline.storage.tables import metadata
from ig_pipeline.storage.user_data import erase_known, export
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


def keep_file(db: sa.Connection, owner: Connection, media_id: str, content: str) -> str:
    """A file's row; equal content of one user is one file."""
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
    return media_items.index(db, owner.u_id, [row])[0].path


def forget(database: sa.Engine, gone: Connection) -> str:
    """As the web service and the sensor do between them; the confirmation code."""
    with database.begin() as db:
        asked = deletion_requests.request(db, [gone], origin="admin", now=NOW)
    with database.begin() as db:
        erased = erase_known(db, gone.u_id, gone.account_id, gone.account_key, gone.email)
        deletion_requests.unname(db, asked, erased)
        deletion_requests.done(db, asked, now=NOW)
    scrub(database)
    return asked.code


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
    request: pytest.FixtureRequest, database: sa.Engine, tmp_path: Path
) -> None:
    with database.begin() as db:
        gone = connect(db, "forget.me@b.example", "17841400000000001", "forgotten.studio")
        stays = connect(db, "keep.me@b.example", "17841400000000001", "twin.studio")
        for owner in (gone, stays):
            keep_file(db, owner, "1", "picture")
        oauth_states.start(db, state="s", browser="b", email=gone.email, login="facebook", now=NOW)
    code = forget(database, gone)
    assert list(rows_that_name(database, ("forget.me", "forgotten.studio"))) == []
    with reading(database) as db:
        tombstone = deletion_requests.by_code(db, code)
    assert exported(database, gone.email) is None
    kept = exported(database, stays.email)
    assert kept is not None
    assert {name: len(kept["tables"][name]) for name in ("users", "user_tokens", "metrics", "media_items")} == {
        "users": 1,
        "user_tokens": 1,
        "metrics": 1,
        "media_items": 1,
    }
    assert tombstone is not None
    assert (tombstone.status, tombstone.targets, tombstone.erased["metrics"]) == ("done", (), 1)
    folder = tmp_path if database.dialect.name == "sqlite" else tables_of_postgresql(request, database)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(b"keep.me@b.example" in path.read_bytes() for path in files)
    assert [path.name for path in files if b"forget.me@b.example" in path.read_bytes()] == []


def test_one_of_two_accounts_goes_and_a_file_they_share_stays(database: sa.Engine) -> None:
    with database.begin() as db:
        gone = connect(db, "a@b.example", "17841400000000001", "first.studio")
        stays = connect(db, "a@b.example", "17841400000000002", "second.studio")
        shared = keep_file(db, gone, "1", "shared picture")
        alone = keep_file(db, gone, "3", "own picture")
        assert keep_file(db, stays, "2", "shared picture") == shared
        assert media_items.paths_of_account_alone(db, gone.u_id, gone.account_id) == [alone]
    forget(database, gone)
    with reading(database) as db:
        assert [left.account_key for left in connections.list_connections(db)] == ["second.studio"]
    assert list(rows_that_name(database, ("first.studio", "17841400000000001"))) == []


def test_an_export_has_every_table_about_the_person_and_no_secret(database: sa.Engine) -> None:
    with database.begin() as db:
        made = connect(db, "a@b.example", "17841400000000001", "first.studio")
        keep_file(db, made, "1", "picture")
        meta_people.remember(db, made.id, ["person-1"])
        other = connect(db, "c@d.example", "17841400000000002", "second.studio")
        meta_people.remember(db, other.id, ["person-2"])
    found = exported(database, " A@b.example")
    assert found is not None
    personal = {
        table.name for table in metadata.sorted_tables if {"u_id", "account_key", "connection_id"} & set(table.c.keys())
    }
    assert personal <= set(found["tables"])
    assert found["tables"]["sync_requests"][0]["reason"] == "asked for first.studio"
    assert {"expires_at", "expiry", "data_access_expires_at"} <= set(found["tables"]["user_tokens"][0])
    assert [row["person_id"] for row in found["tables"]["meta_people"]] == ["person-1"]
    assert "sealed" not in json.dumps(found)


def test_a_table_that_no_module_of_this_process_declares_is_exported_and_erased_too(database: sa.Engine) -> None:
    """A stream's own, in a process that never loaded the stream."""
    declared = sa.MetaData()
    unknown = sa.Table(
        "made_up",
        declared,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("u_id", sa.BigInteger, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("seen", sa.Date, nullable=False),
    )
    unknown.create(database)
    with database.begin() as db:
        gone = connect(db, "forget.me@b.example", "17841400000000001", "forgotten.studio")
        stays = connect(db, "keep.me@b.example", "17841400000000001", "twin.studio")
        for owner in (gone, stays):
            db.execute(sa.insert(unknown).values(u_id=owner.u_id, account_id=owner.account_id, seen=DAY))
    found = exported(database, gone.email)
    assert found is not None
    assert [row["seen"] for row in found["tables"]["made_up"]] == [DAY.isoformat()]
    forget(database, gone)
    with reading(database) as db:
        assert db.execute(sa.select(unknown.c.u_id)).scalars().all() == [stays.u_id]


def test_who_only_began_a_login_is_exported_and_forgotten(database: sa.Engine) -> None:
    with database.begin() as db:
        connect(db, "stays@b.example", "17841400000000001", "stays.studio")
        oauth_states.start(db, state="s", browser="b", email="began@b.example", login="facebook", now=NOW)
        oauth_states.start(db, state="t", browser="c", email="stays@b.example", login="facebook", now=NOW)
        connections.user_of(db, "user@b.example", now=NOW)  # a user without an account
    found = exported(database, "Began@b.example ")
    assert found is not None
    assert [row["email"] for row in found["tables"]["oauth_states"]] == ["began@b.example"]
    for email, erased in (("began@b.example", {"oauth_states": 1}), ("user@b.example", {"users": 1})):
        with database.begin() as db:
            asked = deletion_requests.request(db, [], origin="admin", now=NOW, email=email)
        assert (asked.targets, asked.erased) == ((), erased)
        assert asked.status == "requested", "its bytes still lie in the file"
    assert list(rows_that_name(database, ("began@", "user@"))) == []
    assert exported(database, "began@b.example") is None
    kept = exported(database, "stays@b.example")
    assert kept is not None
    assert len(kept["tables"]["oauth_states"]) == 1


def test_the_ids_by_which_meta_names_a_person_are_exported_and_erased(database: sa.Engine) -> None:
    with database.begin() as db:
        gone = connect(db, "a@b.example", "17841400000000001", "first.studio")
        stays = connect(db, "c@d.example", "17841400000000002", "second.studio")
        for owner, person in ((gone, "person-gone"), (stays, "person-stays")):
            meta_people.remember(db, owner.id, [person])
    found = exported(database, gone.email)
    assert found is not None
    assert [row["person_id"] for row in found["tables"]["meta_people"]] == ["person-gone"]
    forget(database, gone)
    assert list(rows_that_name(database, ("person-gone",))) == []
    assert len(list(rows_that_name(database, ("person-stays",)))) == 1


def exported(engine: sa.Engine, email: str) -> Any:
    pieces = export(engine, email)
    return None if pieces is None else json.loads("".join(pieces))
