"""What backfills of media files work with, whoever's they are: the store, the downloader, threads. One per process."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yarl import URL

from ig_pipeline.media_store.address_guard import AddressGuard
from ig_pipeline.media_store.downloading import Downloader, DownloadLimits
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.media_store.store import Store
from ig_pipeline.settings import Settings

# Downloads at once, of all accounts together. A CDN serves more; memory (2 MB each) and manners bound it.
CONNECTIONS = 16
# Writing, hashing and decoding keep a core busy each: with sixteen threads on two cores the kernel took twice as long
# over videos, with four a twentieth longer than with two.
_THREADS = min(8, max(2, os.cpu_count() or 2))
# A database that restarts or fails over is back within a minute; twice that is worth waiting with files in hand.
DATABASE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class MediaServices:
    """Shared by the backfills of a process. `gate` admits `connections` files at once; `timeout`: seconds.

    `threads` write, hash and decode. `committing` threads only wait for the disk, one for each file: what is asked of
    it at once it settles in one go (a thousand small pictures took a fifth longer with four of them than with sixteen).
    """

    store: Store
    downloader: Downloader
    threads: Executor
    committing: Executor
    gate: asyncio.Semaphore
    connections: int = CONNECTIONS
    timeout: float = DATABASE_TIMEOUT_S


@asynccontextmanager
async def open_media(
    settings: Settings,
    *,
    store: Store | None = None,
    connections: int = CONNECTIONS,
    download_limits: DownloadLimits | None = None,
    database_timeout: float = DATABASE_TIMEOUT_S,
) -> AsyncIterator[MediaServices]:
    """The services the settings describe. Raises `StoreError`."""
    simulator = URL(settings.graph_url) if settings.graph_url else None
    guard = AddressGuard(settings.media_hosts, simulator=simulator)
    store = store or open_store(settings)
    with (
        ThreadPoolExecutor(_THREADS, thread_name_prefix="media") as threads,
        ThreadPoolExecutor(connections, thread_name_prefix="media_commit") as committing,
    ):
        async with Downloader(
            guard,
            connections=connections,
            max_bytes=settings.max_media_bytes,
            threads=threads,
            limits=download_limits,
        ) as downloader:
            gate = asyncio.Semaphore(connections)
            yield MediaServices(store, downloader, threads, committing, gate, connections, database_timeout)
