"""Opens the database: SQLite beside the data, PostgreSQL by URL, and brings its tables up to date.

The only module that knows how each of the two wants to be spoken to; what the tables are is `tables`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from ig_pipeline.redaction import redact

VERSION_TABLE = "ig_pipeline_alembic_version"
"""Dagster keeps the default name: both may live in one PostgreSQL database."""

# A writer of ours holds the lock for milliseconds; half a minute is a stuck process, and worth an error.
BUSY_TIMEOUT_S = 30

# Any number, the same in every process: PostgreSQL's advisory lock while tables are brought up to date.
_MIGRATION_LOCK = 0x16_91_9E


class DatabaseError(Exception):
    """The database cannot be used; the message is one line, without its password."""


class DatabaseUrlError(DatabaseError):
    """The setting is not the URL of a database this product speaks."""


class DatabaseUnreachableError(DatabaseError):
    """Nobody answers there, or the database refuses us."""


def open_engine(url: SecretStr) -> sa.Engine:
    """An engine for `sqlite:///path` or `postgresql://…`; connects lazily. Raises `DatabaseUrlError`."""
    try:
        parsed = sa.make_url(url.get_secret_value())
    except sa.exc.ArgumentError:
        raise DatabaseUrlError(
            "IG_PIPELINE_DATABASE_URL is not a database URL. Write postgresql://user:password@host:5432/name, "
            "or leave it empty for SQLite."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend in ("postgresql", "postgres"):
        # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which is not installed (facts/dagster.md §0.5).
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg2"),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"},
        )
    raise DatabaseUrlError(
        f"IG_PIPELINE_DATABASE_URL names {backend}; SQLite and PostgreSQL are supported. "
        "Write postgresql://user:password@host:5432/name."
    )


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that only reads: on SQLite it never waits for writers, nor they for it."""
    with engine.connect().execution_options(read_only=True) as db:
        yield db


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns a refused or lost connection inside into `DatabaseUnreachableError`, one line without a password."""
    try:
        yield
    except sa.exc.OperationalError as error:
        first = redact(str(error.orig)).strip().splitlines()[0]
        raise DatabaseUnreachableError(
            f"The database does not answer: {first}. Check IG_PIPELINE_DATABASE_URL and that the server runs."
        ) from None


def check_reachable(engine: sa.Engine) -> None:
    """Ask the database for nothing. Raises `DatabaseUnreachableError`."""
    with plain_errors(), reading(engine) as db:
        db.execute(sa.text("select 1"))


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to the newest revision; several processes may do so at once.

    Raises `DatabaseUnreachableError`.
    """
    with plain_errors(), engine.begin() as db:
        if db.dialect.name == "postgresql":
            db.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        command.upgrade(_alembic(db), "head")


def pending_migrations(engine: sa.Engine) -> list[str]:
    """Revisions that the database lacks, oldest first. Raises `DatabaseUnreachableError`."""
    script = ScriptDirectory.from_config(_alembic(None))
    with plain_errors(), reading(engine) as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE})
        applied = context.get_current_revision()
    newest_first = [revision.revision for revision in script.iterate_revisions("head", applied or "base")]
    return newest_first[::-1]


def _alembic(db: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    return config


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own idea of when a transaction begins would make writers begin as readers.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        cursor.execute("pragma journal_mode = wal")
        cursor.execute("pragma foreign_keys = on")
        cursor.execute("pragma synchronous = normal")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(db: sa.Connection) -> None:
        # A reader that turns writer cannot wait for another writer: "database is locked" at once, whatever the
        # timeout. A writer that says so at the beginning waits its turn.
        read_only = db.get_execution_options().get("read_only", False)
        db.exec_driver_sql("begin" if read_only else "begin immediate")

    return engine
