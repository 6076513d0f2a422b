"""A real PostgreSQL that is stopped like a crash in the middle of a backfill and started again later."""

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from ig_pipeline_tests.chaos.trial import complete, end, library_of, served, start, wait_for
from ig_pipeline_tests.postgres import running_postgres


def take_away(posts: Sequence[str], folder: Path, *, seconds: float) -> str:
    """Stop the server when half of the files have come, for `seconds`; the one backfill must end complete."""
    with (
        running_postgres(durable=True) as server,
        library_of(posts, folder, database_url=SecretStr(server.create())) as library,
    ):
        process = start(library)
        wait_for(process, library, part=2)
        server.stop("immediate")
        at_stop = served(library)
        time.sleep(seconds)
        assert process.poll() is None, f"it did not wait: {end(process).said}"
        waited_with = len(list(library.root.rglob("*.jpg")))
        server.start()
        ended = end(process)
        assert ended.code == 0, ended.said
        assert "The database is back" in ended.said, ended.said
        library.check_whole()
        complete(library)
        return (
            f"{len(library.rows()):,} rows; stopped at {at_stop:,} files, away for {seconds:.0f} s, "
            f"{waited_with:,} files on disk when it came back; the same backfill ended complete"
        )
