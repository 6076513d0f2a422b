"""Takes deleted rows out of the files of a database, where they lie on after the deletion is committed.

Whose rows they are is not known here; Dagster's databases are scrubbed by the same functions as ours.
"""

import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import sqlalchemy as sa

from ig_pipeline.storage.database import BUSY_TIMEOUT_S, DatabaseError, plain_errors
from ig_pipeline.storage.user_data import tables_of

# While we wait for a table everybody else who wants it waits behind us.
_LOCK_TIMEOUT_S = 3


class ScrubbingWaitsError(DatabaseError):
    """Somebody uses a table or still reads what was deleted; nothing is lost, scrub again later."""


def scrub(engine: sa.Engine, *, rewrite: bool = True) -> None:
    """Write our tables anew without what was deleted. Not inside a transaction.

    `rewrite`: see `scrub_postgresql`. Raises `ScrubbingWaitsError`, `DatabaseUnreachableError`.
    """
    with plain_errors(), engine.connect() as db:
        driver = db.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            scrub_sqlite(driver)
            return
        db.execution_options(isolation_level="AUTOCOMMIT")
        # Our tables alone: Dagster's may live beside them.
        scrub_postgresql(db, {table.name for table in tables_of(db)}, rewrite=rewrite)


def scrub_file(path: Path) -> None:
    """`scrub_sqlite` for a file that is none of our own. Raises `ScrubbingWaitsError`."""
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
        scrub_sqlite(connection)


def scrub_sqlite(connection: sqlite3.Connection) -> None:
    """Write a file anew and empty its log: free pages, and pages that were reordered, keep deleted text.

    `connection` has no transaction open, and waits as long as its timeout for others. Raises `ScrubbingWaitsError`.
    """
    try:
        connection.execute("vacuum")
        busy, _, _ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        busy = True
    if busy:
        raise ScrubbingWaitsError("Somebody is reading the database; its log still holds what was deleted.")


def scrub_postgresql(db: sa.Connection, tables: Collection[str], *, rewrite: bool) -> None:
    """Vacuum those of `tables` that exist. `db` is in autocommit.

    `rewrite`: with FULL, which writes heap, TOAST and indexes into new files and keeps everybody from a table
    meanwhile. Without, dead rows can no longer be read by any query, but their bytes lie in free space until it is
    used again. The server's log, replicas and backups are the operator's.
    Raises `ScrubbingWaitsError` when a table cannot be had within three seconds, or an open transaction is older than
    the deletion.
    """
    there = set(sa.inspect(db).get_table_names())
    # Not through SQLAlchemy, which clears the notices in which the server says what it could not remove.
    driver = db.connection.driver_connection
    assert isinstance(driver, psycopg2.extensions.connection)
    with driver.cursor() as cursor:
        cursor.execute(f"set lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        for table in sorted(there.intersection(tables)):
            try:
                _vacuum(cursor, table, rewrite=rewrite)
            except psycopg2.errors.LockNotAvailable:
                raise ScrubbingWaitsError(f"The table {table} is in use; it is written anew later.") from None
        # The planner's statistics quote values. Who does not own the database is warned, and nothing happens.
        cursor.execute(f"vacuum {'full ' if rewrite else ''}pg_catalog.pg_statistic")
        cursor.execute("reset lock_timeout")


def _vacuum(cursor: psycopg2.extensions.cursor, table: str, *, rewrite: bool) -> None:
    notices: list[str] = cursor.connection.notices
    notices.clear()
    cursor.execute(f'vacuum ({"full, " if rewrite else ""}verbose) "{table}"')
    if rewrite and any(map(_still_seen, notices)):
        raise ScrubbingWaitsError(f"An open transaction still sees what was deleted from {table}.")
    cursor.execute(f'analyze "{table}"')
    cursor.execute(f'select exists (table "{table}")')
    if cursor.fetchone() == (False,):
        # Of an empty table ANALYZE keeps the old statistics; a column that is given its own type loses them.
        cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute join pg_stats using (attname) "
            "where attrelid = %(table)s::regclass and schemaname = current_schema() and tablename = %(name)s "
            "and atttypid in ('text'::regtype, 'varchar'::regtype, 'json'::regtype)",
            {"table": f'"{table}"', "name": table},
        )
        for column, kind in cursor.fetchall():
            cursor.execute(f'alter table "{table}" alter column "{column}" type {kind}')


def _still_seen(notice: str) -> bool:
    """Whether dead rows were kept: '… found 3 removable, 40 nonremovable …', how many are dead on the next line."""
    dead = re.search(r"\n\D*(\d+)", notice)
    return dead is not None and int(dead[1]) > 0
