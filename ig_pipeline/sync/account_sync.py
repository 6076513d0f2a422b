"""One account's part of a run: its streams side by side, those made of others as soon as a day has these.

Decides when something is asked again, recorded as failed or deferred. How a stream is filled is its module's.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import date

from ig_pipeline.graph_api.days import windows_of
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync.failures import echo
from ig_pipeline.sync.losses import write_down_lost
from ig_pipeline.sync.registry import Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession

Emit = Callable[[AccountDayResult], None]


class AccountSync:
    """Fills `streams` (upstream first) of one account; every cell is handed to `emit` once, when it is settled.

    `ask_again`: what may succeed later is requested; otherwise its own schedule comes back to it.
    """

    def __init__(
        self, session: AccountSession, *, streams: Sequence[Stream], emit: Emit, ask_again: bool = True
    ) -> None:
        self._session, self._streams, self._emit, self._ask_again = session, streams, emit, ask_again
        wanted = {stream.name for stream in streams}
        self._needs = {stream.name: [name for name in stream.upstream if name in wanted] for stream in streams}
        self._settled: dict[date, dict[str, AccountDayResult]] = {}
        self._lost: list[AccountDayResult] = []
        self._partial: list[AccountDayResult] = []
        self._refused: set[date] = set()
        self._started_at = session.now()

    async def run(self, days: Collection[date]) -> None:
        """Fill `days`, the newest thirty first; what is not complete is asked for again together at the end.

        The newest first, because metrics with thirty days of history fit in one window only when it ends yesterday.
        """
        days = set(days) - self._refused
        for first, last in windows_of(min(days), max(days)) if days else ():
            part = sorted(day for day in days if first <= day <= last)
            if part:
                await self._fill(part)
        await self._write_down_lost()

    def refuse(self, days: Collection[date], error: Exception) -> None:
        """Report `days` as failed with `error`, for a reason known before anything was asked."""
        for stream in self._streams:
            self._lost += self._session.lost(error, stream.name, days)
        self._refused.update(days)

    async def _fill(self, days: Sequence[date]) -> None:
        async with asyncio.TaskGroup() as side_by_side:
            roots = [stream for stream in self._streams if not self._needs[stream.name]]
            tasks = [side_by_side.create_task(self._drain(stream, days)) for stream in roots]
        for stream, task in zip(roots, tasks, strict=True):
            lost = task.result()
            # What failed for a moment's reason is asked once more, now that the rest is done and the storm may be
            # over; not when nothing at all got through, for then it is no matter of a moment.
            if 0 < len(lost) < len(days):
                lost = await self._drain(stream, [result.date for result in lost])
            for result in lost:
                await self._settle(result)

    async def _drain(self, stream: Stream, days: Sequence[date]) -> list[AccountDayResult]:
        """Settle the stream's results as they come; hand back those that may succeed when asked again."""
        passing = []
        async with aclosing(self._results_of(stream, days)) as results:
            async for result in results:
                if result.is_retryable and self._session.stopped is None:
                    passing.append(result)
                else:
                    await self._settle(result)
        return passing

    async def _results_of(self, stream: Stream, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
        """A result for each of `days`: an error that ends the fetching is that of the days it left."""
        assert stream.fetch is not None
        left = set(days)
        try:
            async with aclosing(stream.fetch(self._session, days)) as results:
                async for result in results:
                    left.discard(result.date)
                    yield result
        except (GraphError, WriteMismatchError) as error:
            for lost in self._session.lost(error, stream.name, sorted(left)):
                yield lost

    async def _settle(self, result: AccountDayResult) -> None:
        """Report a complete cell, keep any other for the end, and fill what waited for it alone."""
        of_day = self._settled.setdefault(result.date, {})
        of_day[result.asset] = result
        if result.is_complete:
            self._emit(result)
        else:
            (self._partial if result.written else self._lost).append(result)
        for stream in self._streams:
            needs = self._needs[stream.name]
            if result.asset in needs and all(name in of_day for name in needs):
                await self._derive(stream, result.date, [of_day[name] for name in needs])

    async def _derive(self, stream: Stream, day: date, upstream: Sequence[AccountDayResult]) -> None:
        if lost := [result for result in upstream if not result.written]:
            await self._settle(echo(lost, asset=stream.name))
            return
        async with aclosing(self._results_of(stream, [day])) as results:
            async for result in results:
                await self._settle(result)

    async def _write_down_lost(self) -> None:
        """Ask again for what is lost or partial. The rows of partial cells, and their ledger rows, are written."""
        told = await write_down_lost(
            self._session, self._lost, partial=self._partial, started_at=self._started_at, ask_again=self._ask_again
        )
        for result in told:
            self._emit(result)
