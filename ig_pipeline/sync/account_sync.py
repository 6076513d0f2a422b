"""One account's part of a run: the assets side by side, the roll-up as soon as a day has both, what is lost at the end.

Decides when something is asked again, recorded as failed or deferred. How an asset is filled is the asset's module's.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import date

from ig_pipeline.graph_api.days import windows_of
from ig_pipeline.sync.account_insights import account_insights
from ig_pipeline.sync.daily_metrics import daily_metrics
from ig_pipeline.sync.failures import echo
from ig_pipeline.sync.losses import write_down_lost
from ig_pipeline.sync.media_engagement import media_engagement
from ig_pipeline.sync.results import ASSETS, UPSTREAM, AccountDayResult, AnyAsset, AssetName
from ig_pipeline.sync.session import AccountSession

Emit = Callable[[AccountDayResult], None]


class AccountSync:
    """Fills the `assets` of one account for some days; every cell is handed to `emit` once, when it is settled."""

    def __init__(
        self, session: AccountSession, *, assets: Collection[AssetName], emit: Emit, with_follows: bool
    ) -> None:
        self._session = session
        self._assets = frozenset(assets)
        self._emit = emit
        self._with_follows = with_follows
        self._settled: dict[date, dict[AnyAsset, AccountDayResult]] = {}
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
        for asset in ASSETS:
            if asset in self._assets:
                self._lost += self._session.lost(error, asset, days)
        self._refused.update(days)

    async def _fill(self, days: Sequence[date]) -> None:
        async with asyncio.TaskGroup() as side_by_side:
            tasks = {a: side_by_side.create_task(self._drain(a, days)) for a in self._wanted_upstream}
        for asset, task in tasks.items():
            lost = task.result()
            # What failed for a moment's reason is asked once more, now that the rest is done and the storm may be
            # over; not when nothing at all got through, for then it is no matter of a moment.
            if 0 < len(lost) < len(days):
                lost = await self._drain(asset, [result.date for result in lost])
            for result in lost:
                await self._settle(result)
        if not self._wanted_upstream:
            for day in days:
                await self._roll_up(day)

    @property
    def _wanted_upstream(self) -> list[AssetName]:
        return [asset for asset in UPSTREAM if asset in self._assets]

    async def _drain(self, asset: AssetName, days: Sequence[date]) -> list[AccountDayResult]:
        """Settle the asset's results as they come; hand back those that may succeed when asked again."""
        passing = []
        async with aclosing(self._results_of(asset, days)) as results:
            async for result in results:
                if result.is_retryable and self._session.stopped is None:
                    passing.append(result)
                else:
                    await self._settle(result)
        return passing

    def _results_of(self, asset: AssetName, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
        if asset == "account_insights":
            return account_insights(self._session, days, with_follows=self._with_follows)
        return media_engagement(self._session, days)

    async def _settle(self, result: AccountDayResult) -> None:
        """Report a complete cell, keep any other for the end, and roll the day up when it was the last one missing."""
        of_day = self._settled.setdefault(result.date, {})
        of_day[result.asset] = result
        ready = all(asset in of_day for asset in self._wanted_upstream)
        self._take(result)
        if ready:
            await self._roll_up(result.date)

    def _take(self, result: AccountDayResult) -> None:
        if result.is_complete:
            self._emit(result)
        else:
            (self._partial if result.written else self._lost).append(result)

    async def _roll_up(self, day: date) -> None:
        if "daily_metrics" not in self._assets:
            return
        upstream_lost = [result for result in self._settled.get(day, {}).values() if not result.written]
        if upstream_lost:
            self._lost.append(echo(upstream_lost, asset="daily_metrics"))
            return
        self._take(await daily_metrics(self._session, day))

    async def _write_down_lost(self) -> None:
        """Ask again for what is lost or partial. The rows of partial cells, and their ledger rows, are written."""
        told = await write_down_lost(
            self._session, self._lost, partial=self._partial, started_at=self._started_at, ask_again=True
        )
        for result in told:
            self._emit(result)
