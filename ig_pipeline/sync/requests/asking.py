"""Asking for work at once: after a consent, and for people."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day, last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key, take_back_initial_backfill
from ig_pipeline.storage.overview import standings
from ig_pipeline.storage.sync_requests import BY_A_PERSON, DONE, FIRST_BACKFILL, SyncRequest
from ig_pipeline.sync.plan import Window, clip

log = logging.getLogger(__name__)

Kind = Literal["insights", "media_files"]


def ask(
    db: sa.Connection,
    connection: Connection,
    window: Window,
    *,
    kind: Kind,
    requested_by: str,
    reason: str,
    options: Mapping[str, Any] | None = None,
    now: datetime,
) -> SyncRequest:
    """A request for `window`, to be done as soon as possible; the one that is queued when the same was asked before."""
    flags = json.dumps(options, sort_keys=True) if options else ""
    dedupe = f"{requested_by}:{kind}:{connection.account_key}:{window.first}:{window.last}:{flags}"
    return enqueue(
        db, connection, window, kind=kind, by=requested_by, reason=reason, options=options, dedupe=dedupe, now=now
    )


def ask_for_history(
    db: sa.Connection, connection: Connection, *, before: Connection | None, settings: Settings, now: datetime
) -> bool:
    """Ask for what a consent makes obtainable; whether that is the first backfill. In the consent's transaction.

    `before`: the connection as it was, None for a new one. A new connection gets its first backfill, one that lapsed
    the days it missed. What was still to be tried when its token died has waited in the queue.
    """
    lapsed = before is not None and before.status != CONNECTED
    (standing,) = standings(db, initial_days=settings.initial_backfill_days, account_keys=[connection.account_key])
    if standing.last_day is not None:
        if lapsed and (missed := _missed(standing.last_day, settings, now)):
            key = f"reconnect:{connection.id}:{connection.token_version}"
            enqueue(db, connection, missed, by="consent", reason="reconnected", dedupe=key, now=now)
        return False
    waiting = sync_requests.unfinished_of(db, connection.account_key, kind="insights")
    own = [request.id for request in waiting if request.requested_by not in BY_A_PERSON]
    if lapsed or not own:
        _begin_history(db, connection, instead_of=own, settings=settings, now=now)
    log.info("[SYNC] Running initial %d-day IG backfill for %s", settings.initial_backfill_days, connection.account_key)
    return True


def ask_for_first_backfills(
    db: sa.Connection, account_keys: Iterable[str], *, settings: Settings, now: datetime
) -> None:
    """Ask for the first backfills of connections that were stored without: by a program that knows the table alone."""
    for account_key in account_keys:
        _begin_history(db, by_account_key(db, account_key), instead_of=(), settings=settings, now=now)


def enqueue(
    db: sa.Connection,
    connection: Connection,
    window: Window,
    *,
    kind: Kind = "insights",
    by: str,
    reason: str,
    options: Mapping[str, Any] | None = None,
    not_before: datetime | None = None,
    dedupe: str,
    now: datetime,
) -> SyncRequest:
    """A request of the account for `window`; while one with the same `dedupe` is queued, that one."""
    return sync_requests.enqueue(
        db,
        kind=kind,
        account_key=connection.account_key,
        first=window.first,
        last=window.last,
        requested_by=by,
        reason=reason,
        options=options,
        not_before=not_before,
        dedupe=dedupe,
        now=now,
    )


def _begin_history(
    db: sa.Connection, connection: Connection, *, instead_of: Collection[int], settings: Settings, now: datetime
) -> None:
    """Ask for a first backfill; its days are those that are newest when it is claimed."""
    sync_requests.end(db, instead_of, status=DONE, detail="The first backfill is asked for again instead.", now=now)
    take_back_initial_backfill(db, connection.id)
    last = last_complete_day(now)
    days = Window(last - timedelta(days=settings.initial_backfill_days - 1), last)
    key = f"{FIRST_BACKFILL}:{connection.id}"
    enqueue(db, connection, days, by=FIRST_BACKFILL, reason="connected", dedupe=key, now=now)


def _missed(newest: date, settings: Settings, now: datetime) -> Window | None:
    """From the days whose numbers may still have moved when the token died, to yesterday."""
    first = newest - timedelta(days=settings.nightly_window_days - 1)
    return clip(Window(first, last_complete_day(now)), today=instagram_day(now), first_day=settings.first_day)
