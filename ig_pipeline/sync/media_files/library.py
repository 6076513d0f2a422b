"""The library during one backfill: what it has, whose bytes are being stored, and rows committed as files arrive.

A file gets its final name first and its row a moment later, so that a row always has its file. What a process that was
killed left between the two is fetched again under the same name by the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.store import Store
from ig_pipeline.storage import absences, media_items
from ig_pipeline.storage.waiting import in_thread
from ig_pipeline.sync.media_files.results import FileResult
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.session import AccountSession

logger = logging.getLogger("ig_pipeline.sync.media_files")

# Rows of one transaction: while one is written the next ones gather, so small files cost a share of a commit each.
_BATCH = 200
# Seconds a row waits for others: written as they came, the rows of small files took more of a core than the files.
_GATHERING_S = 0.2
# Music is licensed and flags are lifted now and then; the post and its file stay.
_WITHHELD_TTL = timedelta(days=30)
# Files that wait for their row; when the database is away, downloads stop here.
_WAITING = 400


@dataclass(frozen=True)
class Arrival:
    """A file whose bytes are in the store: its row, its result, and its own name, under which it lies or may lie."""

    row: dict[str, Any]
    result: FileResult
    key: str


class Claims:
    """Who stores which bytes: of files with one hash, the first is stored and the others wait for its path."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths
        self._pending: dict[str, asyncio.Future[None]] = {}

    async def path_of(self, file_hash: str) -> str | None:
        """Where these bytes lie, waiting if somebody stores them now; None: the caller must store them and `settle`."""
        while True:
            if file_hash in self._paths:
                return self._paths[file_hash]
            if file_hash not in self._pending:
                self._pending[file_hash] = asyncio.get_running_loop().create_future()
                return None
            await asyncio.wait([self._pending[file_hash]])

    def settle(self, file_hash: str, path: str | None) -> None:
        """Say where the bytes lie now; None: storing them failed, whoever waits may try."""
        if path is not None:
            self._paths[file_hash] = path
        self._pending.pop(file_hash).set_result(None)


class Indexer:
    """Writes rows in batches and reports each result once its row is committed. Run `work` as a task beside."""

    def __init__(
        self,
        session: AccountSession,
        store: Store,
        *,
        report: Callable[[FileResult], None],
    ) -> None:
        self._session, self._store, self._report = session, store, report
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue(_WAITING)

    async def add(self, arrival: Arrival) -> None:
        """Hand over a file that is in the store."""
        await self._arrivals.put(arrival)

    async def note_absences(self, files: Sequence[WantedFile]) -> None:
        """Remember which posts have no file to fetch, and why. Raises `DatabaseUnreachableError`."""
        connection, now = self._session.connection, self._session.now()
        rows = [
            {
                "u_id": connection.u_id,
                "account_id": connection.account_id,
                "subject": file.media_id,
                "metric": "media_url",
                "reason": file.reason_code,
                "detail": file.reason,
                "recorded_at": now,
                "recheck_after": now + _WITHHELD_TTL,
            }
            for file in files
        ]
        await self._session.write(lambda db: absences.save(db, rows))

    async def close(self) -> None:
        """No more files will come: `work` ends when all rows are written."""
        await self._arrivals.put(None)

    async def work(self) -> None:
        """Index until closed: where the database is away the files are stored, only their rows wait.

        Raises `DatabaseUnreachableError` when it stays away longer than the session's timeout.
        """
        closed = False
        while not closed:
            batch, closed = await self._gather()
            if batch:
                await self._index(batch)

    async def _gather(self) -> tuple[list[Arrival], bool]:
        """The next files to index, and whether they are the last."""
        batch: list[Arrival] = []
        arrival = await self._arrivals.get()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHERING_S):
                while arrival is not None:
                    batch.append(arrival)
                    if len(batch) == _BATCH:
                        break
                    arrival = await self._arrivals.get()
        return batch, arrival is None

    async def _index(self, batch: Sequence[Arrival]) -> None:
        u_id = self._session.connection.u_id
        paths = {str(arrival.row["file_path"]) for arrival in batch}
        await in_thread(lambda: self._store.settle(paths))
        # In one order everywhere: two processes must not wait for each other's rows crosswise.
        rows = sorted((arrival.row for arrival in batch), key=lambda row: str(row["instagram_media_id"]))
        indexed = await self._session.write(lambda db: media_items.index(db, u_id, rows))
        placed = {entry.media_id: entry for entry in indexed}
        for arrival in batch:
            if placed[arrival.row["instagram_media_id"]].path != arrival.key:
                await self._remove(arrival.key)
            self._report(arrival.result)

    async def _remove(self, key: str) -> None:
        """These bytes lie under another name, and by now no row leads to this one.

        Before the row was written that could not be said: of two backfills at once, one removed what the other had
        just stored and was about to index. There is a file to remove where another process stored the same bytes a
        moment before, or one that was killed had come no further.
        """
        try:
            await in_thread(lambda: self._store.delete(key))
        except StoreError as error:
            logger.warning("[MEDIA] %s is stored twice: %s", key, error)
