"""Media files for Dagster: the cells of a run, account by account, a result for each as soon as it is settled."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import date

from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import SyncServices, over_accounts
from ig_pipeline.sync.media_files.days import ASSET, oldest_with_stories
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult
from ig_pipeline.sync.media_files.runs import MediaRun, Watcher
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.plan import Window, stretches
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession

Ended = Callable[[BackfillResult], None]
"""Hears how each account's backfill ended."""


async def media_file_days(
    services: SyncServices,
    media: MediaServices,
    cells: Mapping[str, Sequence[date]],
    *,
    run_id: str,
    triggered_by: str,
    options: BackfillOptions | None = None,
    ended: Ended,
) -> AsyncGenerator[AccountDayResult]:
    """A result for every cell (account key by Pacific day) as it is settled; no account's trouble reaches another.

    What a rate limit leaves over is `deferred` and asked for again by a row of `sync_requests`.
    With `options`, the accounts of `cells` are backfilled as the command line does it, a limit counting for each:
    posts that lie outside `cells` are fetched too, and only days that this settles have a result. A run that takes the
    place of one that died has its `triggered_by`: what that one took counts towards the limit.
    """
    run = MediaRun(services, media, run_id=run_id, triggered_by=triggered_by, resumes=True)

    async def fill(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        if options is not None:
            ended(await run.run(session, options, Watcher(), emit=emit))
            return
        for window in stretches(days):
            await run.run(session, _whole(session, window), Watcher(), cells=window.days, emit=emit)

    cells_of_all = over_accounts(services, cells, assets=(ASSET,), run_id=run_id, work=fill, patience=media.patience)
    async with aclosing(cells_of_all) as results:
        async for result in results:
            yield result


def _whole(session: AccountSession, window: Window) -> BackfillOptions:
    """The whole window; stories only where some may still be alive."""
    alive = oldest_with_stories(session.now()) <= window.last
    return BackfillOptions("both" if alive else "feed", since=window.first, until=window.last)
