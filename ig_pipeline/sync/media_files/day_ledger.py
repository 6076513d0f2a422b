"""The days of one backfill in the ledger: each as it is settled, those that an early end left over with its reason.

Every way in writes through here: Dagster, the command line and Telegram.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import date
from functools import partial

import sqlalchemy as sa

from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.media_files.days import ASSET, day_result
from ig_pipeline.sync.media_files.results import FileResult, Tally, Watcher
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.requests.later import try_again
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, cancelled

logger = logging.getLogger("ig_pipeline.sync.media_files")


class DayLedger(Watcher):
    """Records each of `days` when it is complete, and hands it to `emit` once its row is committed.

    A day is complete when its posts are all listed and its files all done; what happens is passed on to `watcher`.
    `standing`: days that the ledger has as written; with nothing new they keep the row they have, so that a whole
    history looked through every night does not add a row a day to the table. `ask_again`: days that an outage spoilt
    are asked for again later, each whole.
    """

    def __init__(
        self,
        session: AccountSession,
        watcher: Watcher,
        days: Collection[date],
        *,
        standing: Collection[date],
        ask_again: bool,
        emit: Emit,
    ) -> None:
        super().__init__()
        self._session, self._watcher, self._standing, self._emit = session, watcher, standing, emit
        self._ask_again = ask_again
        self._asked = frozenset(days)
        self._open, self._left = set(days), set(days)
        self._days: dict[date, Tally] = defaultdict(Tally)
        self._pending: dict[date, int] = defaultdict(int)
        self._oldest = date.max
        self._started_at = session.now()
        self._settled: asyncio.Queue[tuple[date, Tally] | None] = asyncio.Queue()
        self._unwritten: list[AccountDayResult] = []
        self._trouble: Exception | None = None

    def listed(self, files: list[WantedFile]) -> None:
        """Count a post; the days after the oldest post listed so far will get no more, as far as its order tells."""
        self._watcher.listed(files)
        first = files[0]
        if first.day in self._asked and first.day > self._oldest:
            self._open.add(first.day)  # the listing is not in order: a day that looked finished has one more
        self._days[first.day].items += 1
        self._pending[first.day] += len(files)
        if first.source_type != "instagram_story" and first.day < self._oldest:
            self._oldest = first.day
            self._close(day for day in sorted(self._open) if day > first.day)

    def received(self, count: int) -> None:
        """Bytes came."""
        self._watcher.received(count)

    def finished(self, result: FileResult) -> None:
        """Count a file."""
        self._watcher.finished(result)
        day = result.file.day
        self._days[day].add(result)
        self._pending[day] -= 1
        if day in self._open and day > self._oldest:
            self._close([day])

    def listing_ended(self) -> None:
        """Close what is left; days with files under way stay open, for an error may still end the backfill early."""
        self._watcher.listing_ended()
        self._oldest = date.min
        self._close(sorted(self._open))

    def _close(self, days: Iterable[date]) -> None:
        """Days that have all their files: written soon after, together with those that are complete by then."""
        for day in [day for day in days if not self._pending[day]]:
            self._open.discard(day)
            self._settled.put_nowait((day, self._days[day]))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Write down what is settled while the block goes on."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
            self._settled.put_nowait(None)
            await keeping
        finally:
            await cancelled(keeping)

    async def _keep(self) -> None:
        """Calls are booked on the day that was settled next."""
        spent, going_on = self._session.calls, True
        while going_on:
            items = [await self._settled.get()]
            while not self._settled.empty():
                items.append(self._settled.get_nowait())
            going_on = items[-1] is not None
            for day, tally in filter(None, items):
                now = self._session.calls
                self._unwritten.append(day_result(self._session.connection, day, tally, calls=now - spent))
                spent = now
            await self._write()

    async def _write(self) -> None:
        """What is not written yet. A database that is away is asked again when the next day is settled."""
        try:
            results = await self._session.write(partial(self._record, results=list(self._unwritten)))
        except (sa.exc.SQLAlchemyError, DatabaseError) as error:
            self._trouble = error
            logger.warning("[MEDIA] the ledger could not be written: %s", type(error).__name__)
            return
        self._unwritten.clear()
        for result in results:
            self._left.discard(result.date)
            self._emit(result)

    @property
    def left(self) -> list[date]:
        """The days that are not written yet, oldest first."""
        return sorted(self._left)

    async def lose(self, error: Exception | None) -> None:
        """What is left: deferred if `error` is a rate limit, else failed with it, or with the ledger's own trouble."""
        error = error or self._trouble
        if error is None:
            return
        lost = self._session.lost(error, ASSET, self.left)
        try:
            lost = await self._session.write(partial(self._record, results=lost))
        except (sa.exc.SQLAlchemyError, DatabaseError) as away:
            # The cells are reported either way; a lost database is often why they failed.
            logger.warning("[MEDIA] the ledger could not be written: %s", type(away).__name__)
        for result in lost:
            self._emit(result)

    def _record(self, db: sa.Connection, *, results: list[AccountDayResult]) -> list[AccountDayResult]:
        """`results` as they were written down: those that are asked for again say when."""
        session, now = self._session, self._session.now()
        if self._ask_again:
            results = try_again(db, session.connection, results, run_id=session.run_id, now=now, kind=ASSET)
        news = [result for result in results if not (result.unchanged and result.date in self._standing)]
        record(db, news, run_id=session.run_id, started_at=self._started_at, finished_at=now)
        return results
