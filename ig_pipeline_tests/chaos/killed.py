"""Backfills killed with SIGKILL at random moments, again and again: after each kill every row has its file."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

from ig_pipeline_tests.chaos.trial import complete, end, library_of, served, start
from ig_pipeline_tests.sync.media_files.conftest import Library


def kill(posts: Sequence[str], folder: Path, *, kills: int, seed: int) -> int:
    """Kill `kills` backfills, let one finish, and check; how many were killed before their end."""
    chance = random.Random(seed)
    with library_of(posts, folder) as library:
        killed = sum(_kill_one(library, chance) for _ in range(kills))
        complete(library)
    return killed


def _kill_one(library: Library, chance: random.Random) -> bool:
    """Somewhere after its first new file."""
    before = served(library)
    process = start(library)
    while process.poll() is None and served(library) == before:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.7))
    killed = process.poll() is None
    process.kill()
    end(process)
    files = library.files()
    lost = [row["file_path"] for row in library.rows() if files.get(row["file_path"]) != row["file_hash"]]
    assert not lost, f"{len(lost)} rows without their file, {lost[0]} for one"
    return killed
