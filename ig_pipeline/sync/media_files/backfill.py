"""One account's media files: listed, skipped where the library has them, fetched side by side, indexed as they come.

Purely additive: no row and no file of the library is changed or removed here.
Which days they belong to matters to `days`, how they are shown to the command line and to Dagster.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import sqlalchemy as sa

from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.errors import GraphError, MalformedAnswerError
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline.media_store.errors import BackfillError, StoreFullError, WithheldError
from ig_pipeline.storage import absences, media_items
from ig_pipeline.storage.database import DatabaseUnreachableError
from ig_pipeline.sync.failures import STOPPING, innermost, is_retryable
from ig_pipeline.sync.media_files.fetching import FetchMeans, fetch_file
from ig_pipeline.sync.media_files.library import Claims, Indexer
from ig_pipeline.sync.media_files.results import BackfillOptions, Failure, FileResult, Watcher
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.media_files.wanted import WITHHELD, WantedFile, files_of, unreadable_files
from ig_pipeline.sync.session import AccountSession, cancelled

logger = logging.getLogger("ig_pipeline.sync.media_files")

# Files listed ahead of the downloads: enough to know how much there is, little enough that URLs are used while fresh.
_AHEAD = 2_000


class FilesBackfill:
    """Fetches what `options` ask for. After `run`, `error` says why it ended early, if it did.

    `interrupted`: it broke off, so that stored files may be without their row until the next backfill.
    """

    def __init__(
        self, session: AccountSession, media: MediaServices, options: BackfillOptions, observer: Watcher
    ) -> None:
        self._session, self._media, self.options, self._observer = session, media, options, observer
        self._waiting: asyncio.Queue[WantedFile | None] = asyncio.Queue(_AHEAD)
        self._taken = 0
        self._seen: set[str] = set()
        self._known: set[str] = set()
        self._withheld: set[str] = set()
        self._without_file: list[WantedFile] = []
        self.error: Exception | None = None
        self.interrupted = False
        self.listed_all = False

    @property
    def listed_ids(self) -> set[str]:
        """Media ids of everything that was listed."""
        return self._seen

    async def run(self) -> None:
        """Do it. Raises nothing but cancellation: see `error`."""
        u_id = self._session.connection.u_id
        try:
            contents = await self._session.read(lambda db: media_items.contents(db, u_id))
            self._known = contents.media_ids
            self._withheld = await self._session.read(self._known_to_be_withheld)
            if self.options.dry_run:
                await self._count()
            else:
                await self._fetch_all(Claims(contents.paths))
        except Exception as error:  # noqa: BLE001 - whatever it is ends this account only, and is told as its error
            self.interrupted = True
            self.error = self.error or _told(innermost(error))

    def _known_to_be_withheld(self, db: sa.Connection) -> set[str]:
        owner = self._session.connection
        return absences.subjects_lacking(db, owner.u_id, owner.account_id, "media_url", now=self._session.now())

    async def _count(self) -> None:
        async with aclosing(self._new_files()) as files:
            async for file in files:
                self._observer.finished(FileResult(file, "would_download"))

    async def _fetch_all(self, claims: Claims) -> None:
        media = self._media
        indexer = Indexer(self._session, media.store, report=self._observer.finished)
        means = FetchMeans(self._session, media, claims, indexer, self._observer.received)
        async with asyncio.TaskGroup() as group:
            group.create_task(indexer.work())
            async with asyncio.TaskGroup() as fetching:
                fetching.create_task(self._list())
                for _ in range(media.connections):
                    fetching.create_task(self._work(means))
            await indexer.note_absences(self._without_file)
            await indexer.close()

    async def _list(self) -> None:
        try:
            async with aclosing(self._new_files()) as files:
                async for file in files:
                    await self._waiting.put(file)
            if self.listed_all:
                self._observer.listing_ended()
        except GraphError as error:
            self._stop(error)
        for _ in range(self._media.connections):
            await self._waiting.put(None)

    async def _work(self, means: FetchMeans) -> None:
        """Fetch files until there are none, or until something happened that makes going on pointless."""
        while (file := await self._waiting.get()) is not None:
            if self.error is not None:
                continue  # the queue is emptied, so that the listing is not stuck before its end
            async with self._media.gate:
                await self._fetch(means, file)

    async def _fetch(self, means: FetchMeans, file: WantedFile) -> None:
        try:
            await fetch_file(means, file)
        except WithheldError:
            self._without_file.append(file)
            self._observer.finished(FileResult(file, "skipped_unsupported", detail=file.reason or WITHHELD))
        except (BackfillError, GraphError) as error:
            logger.warning("[MEDIA] %s %s: %s", self._session.connection.account_key, file.media_id[:40], error)
            self._report_failure(file, error)
            if isinstance(error, (StoreFullError, *STOPPING)):
                self._stop(error)

    def _report_failure(self, file: WantedFile, error: Exception) -> None:
        failure = Failure(type(error).__name__, is_retryable(error))
        self._observer.finished(FileResult(file, "failed", detail=str(error), failure=failure))

    def _stop(self, error: Exception) -> None:
        self.error = self.error or error

    async def _new_files(self) -> AsyncGenerator[WantedFile]:
        """Files to fetch; the others are reported as they are passed. Ends at the limit. Raises `GraphError`."""
        async with aclosing(self._posts()) as posts:
            async for files in posts:
                self._observer.listed(files)
                for file in files:
                    if self._has_enough or self.error is not None:
                        return
                    if self._is_to_be_fetched(file):
                        yield file
                if self._has_enough:
                    return
        self.listed_all = True

    @property
    def _has_enough(self) -> bool:
        return self.options.limit is not None and self._taken >= self.options.limit

    def _is_to_be_fetched(self, file: WantedFile) -> bool:
        """Whether `file` is one to fetch; any other is reported."""
        if file.media_id in self._known:
            self._observer.finished(FileResult(file, "skipped_duplicate"))
        elif file.url is None and file.is_unreadable:
            self._report_failure(file, MalformedAnswerError(file.reason or "It cannot be read."))
        elif file.url is None and not self._is_doubted(file):
            self._without_file.append(file)
            self._observer.finished(FileResult(file, "skipped_unsupported", detail=file.reason))
        else:
            self._taken += file.url is not None
            return True
        return False

    def _is_doubted(self, file: WantedFile) -> bool:
        """Whether a URL that the listing left out is asked for once more: an omission alone is no statement."""
        return file.is_withheld and not self.options.dry_run and file.media_id not in self._withheld

    async def _posts(self) -> AsyncGenerator[list[WantedFile]]:
        """The files of each story and post, newest first, each once."""
        if self.options.stories:
            stories = await self._session.ask(
                lambda credentials: fetch_stories(self._session.client, credentials, with_insights=False)
            )
            for story in stories.items:
                if self._in_range(files := files_of(story, story=True)) and self._unseen(files):
                    yield files
        if self.options.feed:
            async with aclosing(self._feed()) as feed:
                async for files in feed:
                    yield files

    async def _feed(self) -> AsyncGenerator[list[WantedFile]]:
        """The files of each post. A page is asked for when the one before is used up: `--limit 5` reads one page."""
        pages: asyncio.Queue[list[list[WantedFile]] | None] = asyncio.Queue()
        wanted = asyncio.Semaphore(0)

        async def walk(credentials: Credentials) -> None:
            options = self.options
            async for page in iterate_media(
                self._session.client, credentials, first=options.since, last=options.until, with_insights=False
            ):
                if page.is_silence:
                    raise MalformedAnswerError("Instagram lists no posts of this account, though it has some.")
                odd = [file for post in page.unreadable for file in unreadable_files(post)]
                pages.put_nowait([*(files_of(post) for post in page.items), *([file] for file in odd)])
                await wanted.acquire()

        reader = asyncio.create_task(self._session.ask(walk))
        reader.add_done_callback(lambda _: pages.put_nowait(None))
        try:
            while (page := await pages.get()) is not None:
                for files in page:
                    if self._unseen(files):
                        yield files
                wanted.release()
            await reader
        finally:
            await cancelled(reader)

    def _unseen(self, files: list[WantedFile]) -> bool:
        """Whether these were not listed before: after a renewed token the listing is read from its beginning."""
        fresh = not any(file.media_id in self._seen for file in files)
        self._seen.update(file.media_id for file in files)
        return fresh

    def _in_range(self, files: list[WantedFile]) -> bool:
        """Stories of before `since` are left out; those after `until` are not, for they will be gone tomorrow."""
        return self.options.since is None or files[0].day >= self.options.since


def _told(error: Exception) -> Exception:
    """A lost database with what it means for the library; other errors as they are."""
    if not isinstance(error, DatabaseUnreachableError):
        return error
    return DatabaseUnreachableError(f"{error} What is stored is kept; run the backfill again, it goes on from here.")
