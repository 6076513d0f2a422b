"""What has to be fetched after a consent: everything, the days missed since the token died, or nothing.

Decides and writes rows; Dagster's sensors do the work (design §4).
"""

import logging
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day, last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.storage.overview import standings
from ig_pipeline.sync.plan import Window, clip, initial_window

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
            _enqueue(db, connection, _whole(settings, now), now)
        log.info("[SYNC] Running initial %d-day IG backfill for %s", settings.initial_backfill_days, connection.email)
        return True
    if lapsed:
        _enqueue(db, connection, _missed(newest, settings, now), now)
    return False


def _whole(settings: Settings, now: datetime) -> Window | None:
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
