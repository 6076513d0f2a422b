"""Ids are given out once: with a table's highest row gone, after a migration, and from before SQLite kept count."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr

from ig_pipeline.storage.column_types import UtcDateTime
from ig_pipeline.storage.database import _alembic, _migrating, migrate, open_engine
from ig_pipeline.storage.scrubbing import scrub
from ig_pipeline.storage.tables import metadata, sync_requests, users

NUMBERED = [table for table in metadata.sorted_tables if table.autoincrement_column is not None]
NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)


def row_of(table: sa.Table, number: int, refers_to: int) -> dict[str, Any]:
    """A row whose every value is there; its key is left to the database."""
    made: dict[type[sa.types.TypeEngine[Any]], Any] = {
        UtcDateTime: NOW,
        sa.Date: date(2026, 11, number),
        sa.JSON: {"number": number},
        sa.Text: f"{table.name} {number}",
        sa.Float: number / 2,
        sa.Boolean: True,
        sa.Integer: number,
    }
    row = {
        column.name: refers_to
        if column.foreign_keys
        else next(value for kind, value in made.items() if isinstance(column.type, kind))
        for column in table.columns
    }
    if table.autoincrement_column is not None:
        del row[table.autoincrement_column.name]
    return row


def insert(db: sa.Connection, table: sa.Table, number: int, *, refers_to: int = 1) -> int:
    """The `number`th row of `table`, whose columns are those of its release; its id, or 0 where rows have none.

    `refers_to`: of whoever it belongs to.
    """
    row, columns = (
        row_of(table, number, refers_to),
        {column["name"] for column in sa.inspect(db).get_columns(table.name)},
    )
    made = db.execute(sa.insert(table).values({name: value for name, value in row.items() if name in columns}))
    key = made.inserted_primary_key
    return 0 if table.autoincrement_column is None or key is None else int(key[0])


def test_the_id_of_a_row_that_is_gone_is_not_given_out_again(database: sa.Engine) -> None:
    with database.begin() as db:
        for table in metadata.sorted_tables:
            assert insert(db, table, 1) in (0, 1)
            assert insert(db, table, 2) in (0, 2)
        for table in reversed(metadata.sorted_tables):
            db.execute(sa.delete(table))
    scrub(database)  # as after a deletion
    with database.begin() as db:
        assert {insert(db, table, 3, refers_to=3) for table in metadata.sorted_tables} == {0, 3}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sa.Engine]:
    """SQLite as the release before left it: three rows in each table, of which only the first two are there."""
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'old.db'}"))
    with _migrating(engine) as db:
        command.upgrade(_alembic(db), "0007")
    with engine.begin() as db:
        for table in there(db):
            for number in (1, 2, 3):
                insert(db, table, number)
        for table in there(db):
            if table not in NUMBERED:
                continue
            key = table.autoincrement_column
            assert key is not None
            db.execute(sa.delete(table).where(key == 3))
        db.execute(sa.text("update deletion_requests set erased = '{}'"))
    yield engine
    engine.dispose()


def there(db: sa.Connection) -> list[sa.Table]:
    """The tables a database of an earlier release has."""
    names = set(sa.inspect(db).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in names]


def upgrade(engine: sa.Engine) -> None:
    """To the release in which ids are given out once."""
    with _migrating(engine) as db:
        command.upgrade(_alembic(db), "0008")


def contents(engine: sa.Engine) -> dict[str, list[Any]]:
    found = {}
    with engine.connect() as db:
        for table in there(db):
            names = {column["name"] for column in sa.inspect(db).get_columns(table.name)}
            columns = [column for column in table.columns if column.name in names]
            found[table.name] = list(db.execute(sa.select(*columns)))
    return found


def shape(engine: sa.Engine) -> dict[str, list[str]]:
    """Columns, keys, foreign keys, unique constraints and indexes, whatever their order."""
    indexes = sa.text("select sql from sqlite_master where type = 'index' and sql is not null and tbl_name = :table")
    found = {}
    with engine.connect() as db:
        look = sa.inspect(db)
        for table in look.get_table_names():
            columns = [{**column, "default": str(column["default"]).strip("()")} for column in look.get_columns(table)]
            keys = [look.get_pk_constraint(table)["constrained_columns"], *look.get_foreign_keys(table)]
            parts = [*columns, *keys, *look.get_unique_constraints(table)]
            found[table] = sorted([*map(str, parts), *db.execute(indexes, {"table": table}).scalars()])
    return found


def autoincrement(engine: sa.Engine) -> set[str]:
    with engine.connect() as db:
        return set(
            db.execute(
                sa.text("select name from sqlite_master where type = 'table' and sql like '%AUTOINCREMENT%'")
            ).scalars()
        )


def test_a_database_of_the_release_before_keeps_all_it_had(old: sa.Engine) -> None:
    rows, before = contents(old), shape(old)
    assert "status = 'failed'" in str(before["instagram_sync_logs"])
    assert "'ondelete': 'CASCADE'" in str(before["user_tokens"])
    upgrade(old)
    assert contents(old) == rows
    assert shape(old) == before
    with old.connect() as db:
        assert db.execute(sa.text("pragma foreign_key_check")).all() == []
        assert db.execute(sa.text("pragma integrity_check")).scalars().all() == ["ok"]
    with old.begin() as db:
        db.execute(sa.delete(users))
    assert [name for name, left in contents(old).items() if left and "u_id" in metadata.tables[name].c] == []


def test_what_deletions_of_the_release_before_have_erased_counts_as_given_out(old: sa.Engine) -> None:
    with old.begin() as db:
        for number, erased in ((1, '{"sync_requests": 4, "files": 9}'), (2, '{"sync_requests": 1, "users": 1}')):
            db.execute(
                sa.text("update deletion_requests set erased = :erased where id = :id"),
                {"erased": erased, "id": number},
            )
    upgrade(old)
    with old.begin() as db:
        # Two are left and five are gone: the seventh was the last.
        assert insert(db, sync_requests, 8) == 8
        assert insert(db, users, 8) == 4
        # Whoever deleted the third left no trace of it.
        assert insert(db, metadata.tables["metrics"], 8) == 3


def test_back_to_the_release_before_and_forward_again_keeps_rows_and_count(old: sa.Engine) -> None:
    upgrade(old)
    with old.begin() as db:
        db.execute(sa.delete(sync_requests).where(sync_requests.c.id == insert(db, sync_requests, 3)))
    rows, new = contents(old), autoincrement(old)
    with old.connect() as db:
        assert new == {table.name for table in there(db) if table in NUMBERED}
    with _migrating(old) as db:
        command.downgrade(_alembic(db), "0007")
    assert autoincrement(old) == set()
    assert contents(old) == rows
    upgrade(old)
    assert contents(old) == rows
    assert autoincrement(old) == new
    with old.begin() as db:
        assert insert(db, sync_requests, 4) == 4


def test_a_table_that_a_migration_replaces_goes_on_counting_where_it_was(tmp_path: Path) -> None:
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'test.db'}"))
    migrate(engine)
    with engine.begin() as db:
        insert(db, sync_requests, 1)
        db.execute(sa.delete(sync_requests))
    with (
        _migrating(engine) as db,
        Operations.context(MigrationContext.configure(db)) as operations,
        operations.batch_alter_table(
            "sync_requests", recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ) as table,
    ):
        table.add_column(sa.Column("note", sa.Text))
    with engine.begin() as db:
        assert insert(db, sync_requests, 1) == 2
    engine.dispose()
