"""`make chaos-media`: backfills killed with SIGKILL at random moments, again and again, and the library they end in.

2,600 posts, 200 of them carousels of ten, make 4,400 files; some share their bytes. After each kill every row has its
file; after the last backfill the library is exactly the world's, and one more downloads nothing.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.conftest import Library
from ig_pipeline_tests.sync.media_files.worlds import archive_account

KILLS = 20
POSTS = (*["image"] * 12, "album 10") * 200


@dataclass
class Proof:
    """A library that is filled by processes which are killed."""

    small: SmallWorld
    seed: int
    kills: int = 0
    library: Library = field(init=False)

    def __post_init__(self) -> None:
        self.library = Library(self.small)

    def backfill(self) -> subprocess.Popen[bytes]:
        """The command, as a person starts it."""
        settings = self.small.settings
        assert settings.database_url is not None and settings.graph_url is not None
        environment = {
            **os.environ,
            "IG_PIPELINE_DATA_DIR": str(settings.data_dir),
            "IG_PIPELINE_DATABASE_URL": settings.database_url.get_secret_value(),
            "IG_PIPELINE_GRAPH_URL": settings.graph_url,
        }
        command = [sys.executable, "-m", "ig_pipeline.cli", "backfill-instagram", "--media-type", "feed"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_one(self, chance: random.Random) -> None:
        """Start a backfill and kill it somewhere after its first new file; the rows must have their files."""
        before = self._files_served()
        process = self.backfill()
        while process.poll() is None and self._files_served() == before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.7))
        if process.poll() is None:
            process.kill()
            self.kills += 1
        process.wait()
        files = self.library.files()
        assert not [row for row in self.library.rows() if files.get(row["file_path"]) != row["file_hash"]]

    def end(self) -> None:
        """A backfill that is left alone ends in the world's library; one more reads the listing and nothing else."""
        assert self.backfill().wait() == 0
        self.library.check_whole()
        served, calls = self._files_served(), self.small.calls_of(self.library.key)
        assert self.backfill().wait() == 0
        archive = self.library.account.archive
        assert archive is not None
        assert self.small.calls_of(self.library.key) - calls == -(-len(archive) // 100)
        assert self._files_served() == served
        self.library.check_whole()

    def _files_served(self) -> int:
        return sum(self.small.simulator.cdn.requests.values())


def prove(posts: Sequence[str], *, kills: int, seed: int, folder: Path) -> Proof:
    """Kill `kills` backfills of an account with `posts`, let one finish, and check. Raises `AssertionError`."""
    url = SecretStr(f"sqlite:///{folder / 'chaos.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    chance = random.Random(seed)
    with small_world(url, folder / "data", world=World(given=[archive_account(posts)])) as small:
        small.connect_all()
        archive = small.world.accounts[0].archive
        assert archive is not None
        for post in archive[:: max(1, len(archive) // 10)]:
            if not post.children:
                small.simulator.cdn.files[post.id] = CdnFile("the same picture", "image", 0)
        proof = Proof(small, seed)
        for _ in range(kills):
            proof.kill_one(chance)
        proof.end()
        assert "running" not in {row["status"] for row in small.rows(tables.media_backfills)}
        return proof


def main() -> int:
    """The whole proof; prints its seed, so that it can be repeated."""
    seed = int(os.environ.get("SEED", time.time()))
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ig_chaos_") as folder:
        begun = time.monotonic()
        proof = prove(POSTS, kills=KILLS, seed=seed, folder=Path(folder))
        print(
            f"{proof.kills} backfills killed; {len(proof.library.rows()):,} rows, each with its file, no file without"
        )
        print(f"no file without a row, no part, every hash the world's; {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
