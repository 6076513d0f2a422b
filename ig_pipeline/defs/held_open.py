"""Keeps Dagster's files of runs and ticks open while it works, which makes a write to them a third to a half cheaper.

Dagster opens a connection for every statement and closes it again; the last one of a WAL database to close copies its
log back and syncs. A held connection reads nothing and locks nothing. The event log keeps its own (`dagster_storage`).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path


@contextmanager
def held_open(*files: Path) -> Iterator[None]:
    """Hold a connection to each of `files` that exists. A file that is no database yet is let be."""
    with ExitStack() as stack:
        for file in files:
            if file.is_file():
                connection = stack.enter_context(closing(sqlite3.connect(file, check_same_thread=False)))
                # Only a connection that has read once takes part in the WAL.
                connection.execute("select count(*) from sqlite_master").fetchone()
        yield


def files_of_home(home: Path) -> list[Path]:
    """The databases of an embedded instance, without its event log."""
    return [home / "history" / "runs.db", home / "schedules" / "schedules.db"]
