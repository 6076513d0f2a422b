"""The database as it is opened, migrated and refused."""

import multiprocessing
import socket
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS
from pydantic import SecretStr

from ig_pipeline.storage.connections import by_account_key
from ig_pipeline.storage.database import (
    VERSION_TABLE,
    DatabaseTooNewError,
    DatabaseUnreachableError,
    DatabaseUrlError,
    _alembic,
    _migrating,
    check_reachable,
    migrate,
    open_engine,
    pending_migrations,
    reading,
    shared_engine,
)
from ig_pipeline.storage.scrubbing import ScrubbingWaitsError, scrub
from ig_pipeline.storage.tables import metadata
from ig_pipeline.token_ends import TokenEnd
from ig_pipeline_tests.postgres import PostgresServer
from ig_pipeline_tests.storage.side_by_side import at_once


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(SecretStr(postgres_url))
    yield engine
    engine.dispose()


def test_migrations_make_exactly_the_tables_of_the_code(database: sa.Engine) -> None:
    with database.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_make_no_table_that_gives_out_an_id_twice(database: sa.Engine) -> None:
    """What comparing tables does not see: on SQLite one that a migration makes or replaces has to say so itself."""
    numbered = {table.name: key for table in metadata.sorted_tables if (key := table.autoincrement_column) is not None}
    if database.dialect.name == "sqlite":
        only_forward = "select name from sqlite_master where type = 'table' and sql like '% AUTOINCREMENT%'"
    else:
        only_forward = "select sequencename from pg_sequences where increment_by > 0 and not cycle"
    with database.connect() as db:
        found = set(db.execute(sa.text(only_forward)).scalars())
    wanted = {name if database.dialect.name == "sqlite" else f"{name}_{key.name}_seq" for name, key in numbered.items()}
    assert found == wanted


def test_migrating_twice_changes_nothing(database: sa.Engine) -> None:
    migrate(database)
    assert pending_migrations(database) == []


def test_threads_that_ask_at_once_share_one_engine(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'new.db'}")
    engines: set[sa.Engine] = set()
    at_once(*[lambda: engines.add(shared_engine(url))] * 4)
    (engine,) = engines
    assert pending_migrations(engine) == []


def test_a_forked_process_makes_its_own_engine_and_leaves_its_parents_connections_alone(postgres_url: str) -> None:
    url = SecretStr(postgres_url)
    engine = shared_engine(url)
    backend = sa.text("select pg_backend_pid()")
    with reading(engine) as db:
        mine = db.execute(backend).scalar_one()
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def ask() -> None:
        own = shared_engine(url)
        with reading(own) as db:
            told.put((own is engine, db.execute(backend).scalar_one()))
        own.dispose()

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # this process has threads, and the child needs none of them
        child = context.Process(target=ask)
        child.start()
    same, theirs = told.get()
    child.join()
    assert (same, child.exitcode) == (False, 0)
    assert theirs != mine
    with reading(engine) as db:
        assert db.execute(backend).scalar_one() == mine
    engine.dispose()


def test_an_empty_database_lacks_every_migration(postgres_url: str) -> None:
    engine = open_engine(SecretStr(postgres_url))
    assert "0001" in pending_migrations(engine)
    engine.dispose()


def test_processes_that_start_together_migrate_once(postgres_url: str) -> None:
    engine = open_engine(SecretStr(postgres_url))
    at_once(*[lambda: migrate(engine)] * 4)
    assert pending_migrations(engine) == []
    engine.dispose()


def test_our_migrations_leave_dagsters_version_table_alone(database: sa.Engine) -> None:
    assert "alembic_version" not in sa.inspect(database).get_table_names()


def test_replacing_a_table_in_a_migration_deletes_nothing_that_refers_to_it(database: sa.Engine) -> None:
    with database.begin() as db:
        db.execute(sa.text("insert into users (u_id, email, created_at) values (1, 'a@b.example', '2026-01-01 00:00')"))
        db.execute(
            sa.text(
                "insert into metrics (u_id, account_id, date, source, observed_at) "
                "values (1, '17', '2026-01-01', 'instagram', '2026-01-01 00:00')"
            )
        )
    recreate: Literal["always", "auto"] = "always" if database.dialect.name == "sqlite" else "auto"
    with (
        _migrating(database) as db,
        Operations.context(MigrationContext.configure(db)) as operations,
        operations.batch_alter_table("users", recreate=recreate) as users,
    ):
        users.add_column(sa.Column("note", sa.Text))
    with reading(database) as db:
        assert db.execute(sa.text("select count(*) from metrics")).scalar_one() == 1
    with pytest.raises(sa.exc.IntegrityError), database.begin() as db:
        db.execute(
            sa.text(
                "insert into metrics (u_id, account_id, date, source, observed_at) "
                "values (99, '17', '2026-01-01', 'instagram', '2026-01-01 00:00')"
            )
        )


def test_a_token_that_was_stored_without_an_end_is_one_whose_end_was_not_told(database: sa.Engine) -> None:
    """What 0010 makes of the rows of an older release, there and back."""
    before = ScriptDirectory.from_config(_alembic(None)).get_revision("0010").down_revision
    with _migrating(database) as db:
        command.downgrade(_alembic(db), str(before))
        users = ((1, "a@b.example"), (2, "c@d.example"))
        columns = "u_id, login, account_id, username, account_key, access_token, issued_at, connected_at, status"
        row = "'facebook', '17', 'x', {key}, 'sealed', '2026-11-01 00:00', '2026-11-01 00:00', 'connected'"
        for (u_id, email), (key, end) in zip(users, (("endless", "null"), ("stated", "'2026-12-31'")), strict=True):
            user = f"insert into users (u_id, email, created_at) values ({u_id}, '{email}', '2026-01-01 00:00')"
            token = (
                f"insert into user_tokens ({columns}, expires_at) values ({u_id}, {row.format(key=repr(key))}, {end})"
            )
            db.execute(sa.text(user))
            db.execute(sa.text(token))
    migrate(database)
    with reading(database) as db:
        found = {key: by_account_key(db, key) for key in ("endless", "stated")}
    assert found["endless"].expires_at is None
    assert found["endless"].token_end == TokenEnd(datetime(2026, 12, 31, tzinfo=UTC), "assumed")
    assert found["stated"].token_end == TokenEnd(datetime(2026, 12, 31, tzinfo=UTC), "stated")
    assert found["stated"].data_access_expires_at is None
    with database.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_snapshot_of_a_post_moves_to_the_instagram_day_of_its_observation(database: sa.Engine) -> None:
    """What 0014 makes of snapshots that stood under the UTC day, there and back."""
    before = ScriptDirectory.from_config(_alembic(None)).get_revision("0014").down_revision
    taken = [
        datetime(2026, 10, 30, 10, tzinfo=UTC),  # the 30th in Los Angeles
        datetime(2026, 10, 31, 6, 59, tzinfo=UTC),  # the last minute of the 30th; the newer of the two stays
        datetime(2026, 11, 1, 7, 30, tzinfo=UTC),  # the 1st, in summer time
        datetime(2026, 11, 2, 7, 59, tzinfo=UTC),  # the last minute of the 1st, in winter time
        datetime(2026, 11, 3, 7, 59, tzinfo=UTC),  # the last minute of the 2nd: where the one before stood
        datetime(2026, 11, 4, 8, tzinfo=UTC),  # the first of the 4th
    ]
    columns = "u_id, account_id, media_id, observed_on, like_count, engagement, observed_at"
    with _migrating(database) as db:
        command.downgrade(_alembic(db), str(before))
        db.execute(sa.text("insert into users (u_id, email, created_at) values (1, 'a@b.example', '2026-01-01 00:00')"))
        for likes, at in enumerate(taken):
            seen = f"'{at:%Y-%m-%d}', {likes}, {likes}, '{at:%Y-%m-%d %H:%M:%S.%f}'"
            db.execute(sa.text(f"insert into media_engagement_snapshots ({columns}) values (1, '17', 'post', {seen})"))
    migrate(database)
    assert likes_by_day(database) == {"2026-10-30": 1, "2026-11-01": 3, "2026-11-02": 4, "2026-11-04": 5}
    with _migrating(database) as db:
        command.downgrade(_alembic(db), str(before))
    assert likes_by_day(database) == {"2026-10-31": 1, "2026-11-02": 3, "2026-11-03": 4, "2026-11-04": 5}


def likes_by_day(database: sa.Engine) -> dict[str, int]:
    with reading(database) as db:
        rows = db.execute(sa.text("select observed_on, like_count from media_engagement_snapshots"))
        return {str(day): likes for day, likes in rows}


def test_tables_of_a_newer_release_are_left_alone_with_a_sentence(database: sa.Engine) -> None:
    with database.begin() as db:
        db.execute(sa.text(f"update {VERSION_TABLE} set version_num = 'from_the_future'"))
    with pytest.raises(DatabaseTooNewError, match="newer release"):
        migrate(database)
    with pytest.raises(DatabaseTooNewError, match="newer release"):
        pending_migrations(database)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://user:canary-secret@host/name",
        "postgresql://user:p@canary-secret@host/name",
        "postgresql://user:p@host:canary-secret/name",
        "postgresql://user:canary-secret@host:port/name",
        "sqlite://",
        "sqlite:///:memory:",
        "",
    ],
)
def test_a_url_of_no_database_we_speak_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        open_engine(SecretStr(url))
    assert_one_clean_line(caught)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_way_to_name_postgresql_takes_the_driver_that_is_installed(scheme: str) -> None:
    assert open_engine(SecretStr(f"{scheme}://user@host/name")).dialect.driver == "psycopg2"


def test_an_unreachable_server_is_one_line_without_the_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    engine = open_engine(SecretStr(f"postgresql://user:canary-secret@127.0.0.1:{port}/name"))
    for use in (check_reachable, migrate, pending_migrations, lambda engine: engine.connect()):
        with pytest.raises(DatabaseUnreachableError) as caught:
            use(engine)
        assert_one_clean_line(caught)


@pytest.mark.parametrize("rest", ["no_such_database", "postgres?no_such_option=canary-secret-2"])
def test_a_server_that_refuses_us_is_one_line_with_its_reason(postgres: PostgresServer, rest: str) -> None:
    engine = open_engine(SecretStr(f"postgresql://postgres:canary-secret@127.0.0.1:{postgres.port}/{rest}"))
    with pytest.raises(DatabaseUnreachableError, match="no_such") as caught:
        check_reachable(engine)
    assert_one_clean_line(caught)


def test_a_file_that_is_no_database_is_one_line_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "shopping.txt"
    file.write_text("two pounds of apples " * 100)
    with pytest.raises(DatabaseUnreachableError, match=r"shopping\.txt") as caught:
        migrate(open_engine(SecretStr(f"sqlite:///{file}")))
    assert_one_clean_line(caught)
    with pytest.raises(DatabaseUnreachableError, match=r"below\.db") as caught:
        open_engine(SecretStr(f"sqlite:///{file}/below.db"))
    assert_one_clean_line(caught)


def assert_one_clean_line(caught: pytest.ExceptionInfo[Exception]) -> None:
    assert "\n" not in str(caught.value)
    assert "canary-secret" not in str(caught.value)


def test_a_refused_statement_does_not_carry_its_parameters(database: sa.Engine) -> None:
    statement = sa.text("insert into users (email, created_at) values (:token, null)")
    with pytest.raises(sa.exc.DBAPIError) as caught, database.begin() as db:
        db.execute(statement, {"token": "x" * 9000 + "canary-secret"})
    assert "canary-secret" not in str(caught.value)


def test_a_refused_row_is_not_quoted(database: sa.Engine) -> None:
    statement = sa.text("insert into users (email, created_at) values ('canary-secret', null)")
    with pytest.raises(sa.exc.IntegrityError, match="created_at") as caught, database.begin() as db:
        db.execute(sa.text("select 1"))
        db.execute(statement)
    assert "canary-secret" not in str(caught.value.orig)


def test_a_reader_on_postgresql_leaves_no_transaction_open_between_its_queries(postgres_engine: sa.Engine) -> None:
    with reading(postgres_engine) as db:
        db.execute(sa.text("select 1"))
        driver = db.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status == TRANSACTION_STATUS_IDLE
    with postgres_engine.connect() as db:
        db.execute(sa.text("select 1"))
        driver = db.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status == TRANSACTION_STATUS_INTRANS


def test_connections_that_a_restarted_server_cut_are_replaced_before_they_are_used(
    postgres: PostgresServer, postgres_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(postgres_engine) as one, reading(postgres_engine) as other:
        before = {db.execute(sa.text("select pg_backend_pid()")).scalar_one() for db in (one, other)}
    for pid in before:
        postgres.execute(f"select pg_terminate_backend({pid}, 5000)")
    # As if they had been idle for as long as a restart takes.
    monkeypatch.setattr("ig_pipeline.storage.database._FRESH_S", -1.0)
    with reading(postgres_engine) as one, reading(postgres_engine) as other:
        after = {db.execute(sa.text("select pg_backend_pid()")).scalar_one() for db in (one, other)}
    assert not before & after


def test_many_writers_at_once_wait_for_each_other(database: sa.Engine) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with database.begin() as db:
                db.execute(sa.text("select count(*) from users"))
                db.execute(
                    sa.text("insert into users (email, created_at) values (:email, '2026-01-01 00:00:00+00')"),
                    {"email": f"{number}-{turn}@b.example"},
                )

    at_once(*(partial(write, number) for number in range(6)))
    with database.connect() as db:
        assert db.execute(sa.text("select count(*) from users")).scalar_one() == 60


def test_what_is_deleted_leaves_the_files_of_sqlite(tmp_path: Path) -> None:
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'test.db'}"))
    migrate(engine)
    with engine.begin() as db:
        for number in range(500):
            db.execute(
                sa.text("insert into users (email, created_at) values (:email, '2026-01-01 00:00')"),
                {"email": f"canary-{number}@b.example"},
            )
    with engine.begin() as db:
        db.execute(sa.text("delete from users"))
    scrub(engine)
    # Before the last connection is closed: closing it empties the log by itself.
    assert [path.name for path in tmp_path.iterdir() if b"canary-" in path.read_bytes()] == []
    engine.dispose()


def canary_in_postgresql(url: str) -> sa.Engine:
    """A database of ours in which a user was deleted that the planner's statistics know."""
    engine = open_engine(SecretStr(url))
    migrate(engine)
    emails = "select 'canary@b.example-' || n, now() from generate_series(1, 9) n"
    with engine.begin() as db:
        db.execute(sa.text(f"insert into users (email, created_at) {emails}"))
        db.execute(sa.text("analyze users"))
    with engine.begin() as db:
        db.execute(sa.text("delete from users"))
    return engine


def test_what_is_deleted_leaves_the_tables_of_postgresql(postgres: PostgresServer, postgres_url: str) -> None:
    engine = canary_in_postgresql(postgres_url)
    scrub(engine)
    engine.dispose()
    postgres.execute("checkpoint")
    files = [path for path in (postgres.data / "base").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if b"canary@b.example" in path.read_bytes()] == []


def test_a_table_in_use_is_waited_for_a_moment_and_an_old_reader_is_noticed(postgres_url: str) -> None:
    engine = open_engine(SecretStr(postgres_url))
    migrate(engine)
    with engine.connect() as reader:
        reader.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(sa.text("select 1 from metrics"))
        with engine.begin() as db:
            db.execute(sa.text("insert into users (email, created_at) values ('canary@b.example', now())"))
            db.execute(sa.text("delete from users"))
        with pytest.raises(ScrubbingWaitsError, match="metrics is in use"):
            scrub(engine)
        scrub(engine, rewrite=False)  # keeps nobody out
    with engine.connect() as reader:
        reader.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(sa.text("select 1"))
        with engine.begin() as db:
            db.execute(sa.text("insert into users (email, created_at) values ('canary@b.example', now())"))
        with engine.begin() as db:
            db.execute(sa.text("delete from users"))
        with pytest.raises(ScrubbingWaitsError, match="still sees what was deleted from users"):
            scrub(engine)
    scrub(engine)
    engine.dispose()


# What a webserver, a daemon, a run and a command line do to one file: open it, bring it up to date, read and write.
_PROCESS = """
import sys
import sqlalchemy as sa
from pydantic import SecretStr
from ig_pipeline.storage.database import migrate, open_engine, reading

url, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for turn in range(6):
    engine = open_engine(SecretStr(url))  # anew each time: the last to close empties and removes the log
    migrate(engine)
    with engine.begin() as db:
        db.execute(sa.text("select count(*) from users"))
        db.execute(
            sa.text("insert into users (email, created_at) values (:email, '2026-01-01 00:00')"),
            {"email": f"{name}-{turn}@b.example"},
        )
    with reading(engine) as db:
        db.execute(sa.text("select count(*) from users")).scalar_one()
    engine.dispose()
"""


def test_processes_that_open_migrate_and_write_one_sqlite_file_never_see_it_locked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'test.db'}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=90)[1] for process in processes] == [""] * 4
    with sqlite3.connect(tmp_path / "new" / "test.db") as connection:
        assert connection.execute("select count(*) from users").fetchone() == (24,)
    connection.close()
