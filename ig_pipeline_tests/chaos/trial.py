"""What the trials share: a library in a world of its own, and the command that fills it, as a person starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.sync.harness import small_world
from ig_pipeline_tests.sync.media_files.conftest import Library
from ig_pipeline_tests.sync.media_files.worlds import archive_account, files_of_posts


class CannotTryError(Exception):
    """This machine does not allow the trial; the message says why."""


@dataclass(frozen=True)
class Ended:
    """How a backfill's process ended, and all it said."""

    code: int
    said: str


@contextmanager
def library_of(
    posts: Sequence[str], folder: Path, *, database_url: SecretStr | None = None, **settings: Any
) -> Iterator[Library]:
    """An empty library of an account with `posts`, one in ten of which has the bytes of another. SQLite by default."""
    url = database_url or SecretStr(f"sqlite:///{folder / 'chaos.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with small_world(url, folder / "data", world=World(given=[archive_account(posts)]), **settings) as small:
        small.connect_all()
        library = Library(small)
        archive = library.account.archive or ()
        for post in archive[:: max(1, len(archive) // 10)]:
            if not post.children:
                small.simulator.cdn.files[post.id] = CdnFile("the same picture", "image", 0)
        yield library


def start(library: Library, **environment: str) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    settings = library.small.settings
    assert settings.database_url is not None and settings.graph_url is not None
    ours = {
        "IG_PIPELINE_DATA_DIR": str(settings.data_dir),
        "IG_PIPELINE_DATABASE_URL": settings.database_url.get_secret_value(),
        "IG_PIPELINE_GRAPH_URL": settings.graph_url,
        **({"IG_PIPELINE_MEDIA_URL": settings.media_url} if settings.media_url else {}),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ig_pipeline.cli", "backfill-instagram", "--media-type", "feed"],
        env={**os.environ, **ours, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], library: Library, *, part: int) -> None:
    """Until one in `part` of the world's files was asked for, or the process ended."""
    wanted = len(files_of_posts(library.account.archive or ())) // part
    while process.poll() is None and served(library) < wanted:
        time.sleep(0.005)


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for it."""
    said, _ = process.communicate(timeout=240)
    return Ended(process.returncode, said)


def served(library: Library) -> int:
    """Files that the CDN was asked for."""
    return sum(library.small.simulator.cdn.requests.values())


def complete(library: Library, **environment: str) -> None:
    """A backfill that is left alone ends in the world's library; one more reads the listing and nothing else."""
    ended = end(start(library, **environment))
    assert ended.code == 0, ended.said
    library.check_whole()
    asked, calls = served(library), library.small.calls_of(library.key)
    ended = end(start(library, **environment))
    assert ended.code == 0, ended.said
    pages = -(-len(library.account.archive or ()) // 100)
    assert library.small.calls_of(library.key) - calls == pages, "a second backfill read more than the listing"
    assert served(library) == asked, "a second backfill downloaded something"
    library.check_whole()
    left = {row["status"] for row in library.small.rows(tables.media_backfills)} & {"running", "interrupted"}
    assert not left, f"backfills are left {left}"
