"""What has to be fetched after a consent: everything, the days missed since the token died, or nothing.

Decides and writes rows; Dagster's sensors do the work (design §4), or `ig-pipeline sync` where there is no Dagster.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import product

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day, last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection, mark_initial_backfill_requested
from ig_pipeline.storage.overview import standings
from ig_pipeline.sync.plan import Window, clip, initial_window
from ig_pipeline.sync.results import ASSETS, AccountDayResult

log = logging.getLogger(__name__)


def ask_for_history(
    db: sa.Connection, connection: Connection, *, before: Connection | None, settings: Settings, now: datetime
) -> bool:
    """Whether a first backfill is on its way. `before`: the connection as it was, None for a new one.

    A new connection's backfill is the business of the sensor that sees it; one that lapsed asks for what it missed.
    """
    newest = standings(db, initial_days=settings.initial_backfill_days, account_keys=[connection.account_key])[
        0
    ].last_day
    lapsed = before is not None and before.status != CONNECTED
    if newest is None:
        asked_before = connection.initial_backfill_requested_at is not None
        if lapsed and asked_before:
            _enqueue(db, connection, first_window(settings, now), now)
        log.info(
            "[SYNC] Running initial %d-day IG backfill for %s", settings.initial_backfill_days, connection.account_key
        )
        return True
    if lapsed:
        _enqueue(db, connection, _missed(newest, settings, now), now)
    return False


def note_first_history(
    db: sa.Connection,
    connections: Iterable[Connection],
    results: Iterable[AccountDayResult],
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Mark the first backfill as asked for where `results` settled all of its days: nobody need ask for it again.

    `now`: when the sync that they are of began, for that decided which days those are.
    What was put off, or failed for a moment's reason, is not settled: where no Dagster runs, only the next sync that
    finds the mark missing brings it.
    """
    window = first_window(settings, now)
    if window is None:
        return
    settled: dict[str, set[tuple[date, str]]] = defaultdict(set)
    for result in results:
        if result.status != "deferred" and not result.is_retryable:
            settled[result.account_key].add((result.date, result.asset))
    wanted = set(product(window.days, ASSETS))
    for connection in connections:
        if wanted <= settled[connection.account_key]:
            mark_initial_backfill_requested(db, connection.id, first=window.first, last=window.last, now=now)


def first_window(settings: Settings, now: datetime) -> Window | None:
    """The days of a first backfill that begins now; None when none of them lies in the grid."""
    return initial_window(instagram_day(now), settings.initial_backfill_days, first_day=settings.first_day)


def _missed(newest: date, settings: Settings, now: datetime) -> Window | None:
    """From the days that may still have been settling when the token died, to yesterday."""
    first = newest - timedelta(days=settings.nightly_window_days - 1)
    window = Window(first, last_complete_day(now))
    return clip(window, today=instagram_day(now), first_day=settings.first_day)


def _enqueue(db: sa.Connection, connection: Connection, window: Window | None, now: datetime) -> None:
    if window is None:
        return
    sync_requests.enqueue(
        db,
        kind="insights",
        account_key=connection.account_key,
        first=window.first,
        last=window.last,
        requested_by="consent",
        reason="reconnected",
        dedupe=f"reconnect:{connection.id}:{connection.token_version}",
        now=now,
    )
