"""The other processes of the media benches and proofs: a simulator with a world of a given shape, and a backfill.

    python -m ig_pipeline_tests.bench.media_processes serve IMAGES VIDEOS VIDEO_BYTES
    python -m ig_pipeline_tests.bench.media_processes fetch DATA_DIR URL TOKEN LIST.json

`fetch` downloads the files of a list with the engine, hashing, checking, indexing and all, and prints what it took.
"""

import asyncio
import gc
import json
import resource
import sys
import threading
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from ig_pipeline.clock import utc_now
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.simulator.server import listen, make_server
from ig_pipeline.simulator.simulation import Simulation
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.backfill import FilesBackfill
from ig_pipeline.sync.media_files.results import BackfillOptions, Watcher
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.session import SyncRun
from ig_pipeline_tests.sync.media_files.worlds import archive_account

USERNAME = "acme.library"


def serve(images: int, videos: int, video_bytes: int) -> None:
    """A simulator of one account; prints its address and token, stops when its input ends."""
    account = archive_account(["image"] * images + ["video"] * videos, username=USERNAME)
    simulation = Simulation(World(given=[account]), clock=utc_now)
    for post in account.archive or ():
        if post.media_type == "VIDEO":
            simulation.cdn.files[post.id] = CdnFile(post.id, "video", video_bytes)
        else:
            simulation.cdn.files[post.id] = CdnFile(post.id, "image", 0)
    bound = listen("127.0.0.1", 0)
    server = make_server(simulation)
    threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True).start()
    ready = {"url": f"http://127.0.0.1:{bound.getsockname()[1]}", "token": simulation.token(USERNAME), "id": account.id}
    print(json.dumps(ready), flush=True)
    sys.stdin.read()


async def fetch(data_dir: Path, url: str, token: str, files: list[WantedFile]) -> dict[str, Any]:
    """Download `files` into a fresh library; seconds from the first request to the last committed row."""
    settings = Settings(data_dir=data_dir, graph_url=url)
    engine = open_engine(settings.effective_database_url)
    migrate(engine)
    async with open_services(settings) as services, open_media(settings) as media:
        with services.engine.begin() as db:
            services.tokens.store(
                db, email="bench@b.example", login="facebook", account_id="17841400000000001", username=USERNAME,
                token=SecretStr(token), expires_at=None,
            )  # fmt: skip
        run = SyncRun(services, "bench", timeout=media.timeout)
        watcher = Watcher()
        backfill = _OfList(run.session(await run.connection(USERNAME)), media, BackfillOptions(), watcher)
        backfill.files = files
        idle, begun = psutil.Process().memory_info().rss, time.monotonic()
        await backfill.run()
        seconds = time.monotonic() - begun
    engine.dispose()
    if backfill.error:
        raise backfill.error
    return {
        "seconds": seconds, "new": watcher.tally.new, "bytes": watcher.tally.bytes, "idle": idle,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "errors": watcher.tally.errors,
    }  # fmt: skip


class _OfList(FilesBackfill):
    """A backfill that is handed its list: the same URLs that curl gets."""

    files: list[WantedFile]

    async def _new_files(self) -> AsyncGenerator[WantedFile]:
        for file in self.files:
            yield file


def read_list(path: Path) -> list[WantedFile]:
    """Files as `media.py` wrote them down."""
    rows = json.loads(path.read_text())
    return [
        WantedFile(
            media_id=row["id"], post_id=row["id"], media_type=row["media_type"], source_type="instagram_post",
            posted_at=(at := datetime.fromisoformat(row["timestamp"])), day=at.date(), caption=None, permalink=None,
            url=row["media_url"],
        )
        for row in rows
    ]  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", images, videos, video_bytes]:
            serve(int(images), int(videos), int(video_bytes))
        case ["fetch", data_dir, url, token, wanted]:
            gc.freeze()  # as the command does
            print(json.dumps(asyncio.run(fetch(Path(data_dir), url, token, read_list(Path(wanted))))))
