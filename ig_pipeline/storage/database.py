"""Opens the database: SQLite beside the data, PostgreSQL by URL, and brings its tables up to date.

The only module that knows how each of the two wants to be spoken to; what the tables are is `tables`.
"""

import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import psycopg2
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy.pool import ConnectionPoolEntry

from ig_pipeline.private_files import make_folder, open_file
from ig_pipeline.redaction import redact
from ig_pipeline.retrying import Retry, Retryable, RetryPolicy

VERSION_TABLE = "ig_pipeline_alembic_version"
"""Dagster keeps the default name: both may live in one PostgreSQL database."""

# A writer of ours holds the lock for milliseconds; half a minute is a stuck process, and worth an error.
BUSY_TIMEOUT_S = 30
_WAL = RetryPolicy("write-ahead log", first=0.02, longest=0.02, jitter=0.0, deadline=BUSY_TIMEOUT_S)

POOL_SIZE = 16
"""Connections a process keeps to PostgreSQL. More threads than these open some for one question and close them."""

# With captions, some hundred kilobytes.
_ROWS_AT_ONCE = 200

# A connection returned so recently is taken to live: a server takes longer to restart, and in a rush each is wanted
# again sooner. With a whole second, a test's quick restart was not noticed.
_FRESH_S = 0.1

# Any number, the same in every process: PostgreSQL's advisory lock while tables are brought up to date.
_MIGRATION_LOCK = 0x16_91_9E


class DatabaseError(Exception):
    """The database cannot be used; the message is one line, without its password."""


class DatabaseUrlError(DatabaseError):
    """The setting is not the URL of a database this product speaks."""


class DatabaseUnreachableError(Retryable, DatabaseError):
    """Nobody answers there, or the database refuses us."""

    retry: ClassVar[Retry] = "now"


class DatabaseTooNewError(DatabaseError):
    """A newer release of this product has changed the tables."""


def open_engine(url: SecretStr) -> sa.Engine:
    """An engine for `sqlite:///path` or `postgresql://…`; connects lazily. Raises `DatabaseUrlError`.

    Wherever a connection is first needed and cannot be had, `DatabaseUnreachableError` is raised.
    Write in `engine.begin()`, read in `reading(engine)`.
    """
    parsed = _parse(url)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)

    @sa.event.listens_for(engine, "handle_error")
    def refuse(context: sa.ExceptionContext) -> DatabaseError | None:
        if context.connection is None:
            return _unreachable(context.original_exception, parsed)
        for error in (context.original_exception, context.sqlalchemy_exception):
            if error is not None and error.args:
                # PostgreSQL quotes the whole failing row on the second line.
                error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])
        return None

    return engine


_shared: dict[str, sa.Engine] = {}
_sharing = threading.Lock()


def shared_engine(url: SecretStr) -> sa.Engine:
    """The one engine this process has for `url`, its tables up to date; whichever thread asks first makes it.

    Raises `DatabaseError`; the next to ask tries again.
    """
    with _sharing:
        engine = _shared.get(url.get_secret_value())
        if engine is None:
            engine = open_engine(url)
            try:
                migrate(engine)
            except BaseException:
                engine.dispose()
                raise
            _shared[url.get_secret_value()] = engine
        return engine


def _begin_anew() -> None:
    """For a forked process: its parent goes on using these connections, and a thread of it may have held the lock."""
    global _sharing  # noqa: PLW0603  # the lock itself cannot be reset
    _sharing = threading.Lock()
    for engine in _shared.values():
        engine.dispose(close=False)
    _shared.clear()


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that only reads: on SQLite it never waits for writers, nor they for it.

    On PostgreSQL without a transaction around it: what its default isolation adds is two trips to the server, of five.
    """
    options: Mapping[str, Any] = (
        {"read_only": True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    )
    with engine.connect().execution_options(**options) as db:
        yield db


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that only reads, and sees one moment; its rows come as they are asked for.

    For what may be larger than memory. On PostgreSQL a cursor of the server's needs the transaction that `reading` does
    without.
    """
    options: Mapping[str, Any] = (
        {"read_only": True}
        if engine.dialect.name == "sqlite"
        else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    with engine.connect().execution_options(**options, yield_per=_ROWS_AT_ONCE) as db:
        yield db


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns a connection lost inside into `DatabaseUnreachableError` too, one line without a password."""
    try:
        yield
    except DatabaseUnreachableError as error:
        raise error from None
    except sa.exc.OperationalError as error:
        raise _unreachable(error.orig) from None


def check_reachable(engine: sa.Engine) -> None:
    """Ask the database for nothing. Raises `DatabaseUnreachableError`."""
    with plain_errors(), reading(engine) as db:
        db.execute(sa.text("select 1"))


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to the newest revision; several processes may do so at once.

    Raises `DatabaseUnreachableError`, `DatabaseTooNewError`.
    """
    with plain_errors(), _migrating(engine) as db:
        if db.dialect.name == "postgresql":
            db.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        with _known_revisions():
            command.upgrade(_alembic(db), "head")


def pending_migrations(engine: sa.Engine) -> list[str]:
    """Revisions that the database lacks, oldest first.

    Raises `DatabaseUnreachableError`, `DatabaseTooNewError`.
    """
    script = ScriptDirectory.from_config(_alembic(None))
    with plain_errors(), reading(engine) as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE})
        applied = context.get_current_revision()
    with _known_revisions():
        newest_first = [revision.revision for revision in script.iterate_revisions("head", applied or "base")]
    return newest_first[::-1]


@contextmanager
def _migrating(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A writing transaction in which SQLite's tables may be replaced.

    There it has no foreign keys, or replacing a table would delete what refers to it; and the new table numbers its
    rows from where the old one was, not from the highest id that is left.
    """
    with engine.connect() as db:
        driver = db.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            # Has no effect inside a transaction.
            driver.execute("pragma foreign_keys = off")
        try:
            with db.begin():
                before = _last_ids(db)
                yield db
                _give_out_no_id_again(db, before)
        finally:
            if isinstance(driver, sqlite3.Connection):
                driver.execute("pragma foreign_keys = on")


def _last_ids(db: sa.Connection) -> dict[str, int]:
    """Table → the last id it gave out, for tables of SQLite with AUTOINCREMENT."""
    if db.dialect.name != "sqlite" or not sa.inspect(db).has_table("sqlite_sequence"):
        return {}
    return {name: int(last) for name, last in db.execute(sa.text("select name, seq from sqlite_sequence"))}


def _give_out_no_id_again(db: sa.Connection, before: Mapping[str, int]) -> None:
    """Tables that gave out ids `before` and are there still go on behind the last of them."""
    now, tables = _last_ids(db), set(sa.inspect(db).get_table_names()) if before else set()
    for name, last in before.items():
        if name in tables and now.get(name, 0) < last:
            # A system table without keys: nothing to update when the new table has had no row yet.
            db.execute(sa.text("delete from sqlite_sequence where name = :name"), {"name": name})
            db.execute(
                sa.text("insert into sqlite_sequence (name, seq) values (:name, :last)"), {"name": name, "last": last}
            )


@contextmanager
def _known_revisions() -> Iterator[None]:
    try:
        yield
    except (CommandError, ResolutionError) as error:
        if not isinstance(error.__cause__ or error, ResolutionError):
            raise
        raise DatabaseTooNewError(
            "The database's tables were made by a newer release of ig-pipeline. Install that release or a later one."
        ) from None


def _alembic(db: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    return config


def _parse(url: SecretStr) -> sa.URL:
    try:
        parsed = sa.make_url(url.get_secret_value())
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseUrlError(
            "IG_PIPELINE_DATABASE_URL is not a database URL. Write postgresql://user:password@host:5432/name "
            "(characters like @ : / in a password as %40 %3A %2F), or leave it empty for SQLite."
        ) from None
    if "@" in (parsed.host or ""):
        # What stands before that @ is the end of a password, and the driver would print it as part of the host.
        raise DatabaseUrlError("IG_PIPELINE_DATABASE_URL: a password with @ in it is written with %40 instead.")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseUrlError(
            "IG_PIPELINE_DATABASE_URL names no file, and several processes share the database. "
            "Write sqlite:///path/to/file.db, or leave it empty."
        )
    if backend not in ("sqlite", "postgresql", "postgres"):
        raise DatabaseUrlError(
            f"IG_PIPELINE_DATABASE_URL names {backend}; SQLite and PostgreSQL are supported. "
            "Write postgresql://user:password@host:5432/name."
        )
    return parsed


def _unreachable(error: BaseException | None, url: sa.URL | None = None) -> DatabaseUnreachableError:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = (redact(said).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    if url is not None and url.get_backend_name() == "sqlite":
        return DatabaseUnreachableError(
            f"The database {url.database} cannot be opened: {first}. "
            "Check IG_PIPELINE_DATA_DIR, IG_PIPELINE_DATABASE_URL and the folder's permissions."
        )
    return DatabaseUnreachableError(
        f"The database does not answer: {first}. Check IG_PIPELINE_DATABASE_URL and that the server runs."
    )


def _postgresql(url: sa.URL) -> sa.Engine:
    # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which is not installed
    # (docs/dagster.md#storage-and-configuration).
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        # A connection costs the server a process: one for each thread that may ask, kept, so that a burst opens none.
        pool_size=POOL_SIZE,
        max_overflow=10,
        connect_args={
            "connect_timeout": 10,
            "options": "-c timezone=UTC",
            # A server that vanishes without a word (failover, a pulled cable) is noticed within a minute, not in hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
    )

    @sa.event.listens_for(engine, "checkin")
    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def look_whether_it_lives(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # the driver's
        # Asking first is a trip to the server per request; what was used a moment ago needs no asking.
        if time.monotonic() - record.info.get("returned", math.inf) <= _FRESH_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error:
            # All that are as old are dead too; the pool opens a new one.
            raise sa.exc.InvalidatePoolError from None

    return engine


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    file = Path(url.database or "")
    try:
        make_folder(file.parent)
    except OSError as error:
        raise _unreachable(error, url) from None

    @sa.event.listens_for(engine, "do_connect")
    def keep_private(_dialect: object, _record: object, _arguments: object, _options: object) -> None:
        # SQLite would make it readable for all, and gives its two companions the mode of the file.
        if not file.exists():
            with suppress(OSError):  # which SQLite will meet, too, and say so
                open_file(file, "a").close()

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own idea of when a transaction begins would make writers begin as readers.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        _use_wal(cursor)
        cursor.execute("pragma foreign_keys = on")
        cursor.execute("pragma synchronous = normal")
        # A token that was replaced or destroyed is overwritten in the file, not left in a free page.
        cursor.execute("pragma secure_delete = on")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(db: sa.Connection) -> None:
        # A reader that turns writer cannot wait for another writer: "database is locked" at once, whatever the
        # timeout. A writer that says so at the beginning waits its turn.
        read_only = db.get_execution_options().get("read_only", False)
        db.exec_driver_sql("begin" if read_only else "begin immediate")

    return engine


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Readers and a writer side by side. Two who turn a new file to it together are refused at once, not made wait."""
    _WAL.call_blocking(lambda: cursor.execute("pragma journal_mode = wal"), helps=_is_busy)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
