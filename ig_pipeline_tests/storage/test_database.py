"""The database as it is opened, migrated and refused."""

import socket
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr

from ig_pipeline.storage.database import (
    VERSION_TABLE,
    DatabaseUnreachableError,
    DatabaseUrlError,
    check_reachable,
    migrate,
    open_engine,
    pending_migrations,
)
from ig_pipeline.storage.tables import metadata


def test_migrations_make_exactly_the_tables_of_the_code(database: sa.Engine) -> None:
    with database.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(database: sa.Engine) -> None:
    migrate(database)
    assert pending_migrations(database) == []


def test_an_empty_database_lacks_every_migration(postgres_url: str) -> None:
    engine = open_engine(SecretStr(postgres_url))
    assert "0001" in pending_migrations(engine)
    engine.dispose()


def test_processes_that_start_together_migrate_once(postgres_url: str) -> None:
    engine = open_engine(SecretStr(postgres_url))
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate(engine)
        except BaseException as error:  # noqa: BLE001 - handed to the asserting thread
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert failures == []


def test_our_migrations_leave_dagsters_version_table_alone(database: sa.Engine) -> None:
    assert "alembic_version" not in sa.inspect(database).get_table_names()


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:canary-secret@host/name"])
def test_a_url_of_no_database_we_speak_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        open_engine(SecretStr(url))
    assert "\n" not in str(caught.value)
    assert "canary-secret" not in str(caught.value)


def test_an_unreachable_server_is_one_line_without_the_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    engine = open_engine(SecretStr(f"postgresql://user:canary-secret@127.0.0.1:{port}/name"))
    with pytest.raises(DatabaseUnreachableError) as caught:
        check_reachable(engine)
    assert "\n" not in str(caught.value)
    assert "canary-secret" not in str(caught.value)


def test_a_refused_statement_does_not_carry_its_parameters(database: sa.Engine) -> None:
    statement = sa.text("insert into users (email, created_at) values (:token, null)")
    with pytest.raises(sa.exc.DBAPIError) as caught, database.begin() as db:
        db.execute(statement, {"token": "x" * 9000 + "canary-secret"})
    assert "canary-secret" not in str(caught.value)


def test_many_writers_at_once_wait_for_each_other(database: sa.Engine) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(10):
                with database.begin() as db:
                    db.execute(sa.text("select count(*) from users"))
                    db.execute(
                        sa.text("insert into users (email, created_at) values (:email, '2026-01-01 00:00:00+00')"),
                        {"email": f"{number}-{turn}@b.example"},
                    )
        except BaseException as error:  # noqa: BLE001 - handed to the asserting thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.connect() as db:
        assert db.execute(sa.text("select count(*) from users")).scalar_one() == 60
