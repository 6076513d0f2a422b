"""Claiming what is due: into batches, one a run, or for a sync without Dagster."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection, list_connections, mark_initial_backfill_requested
from ig_pipeline.storage.sync_requests import BY_A_PERSON, DONE, FAILED, FIRST_BACKFILL, SyncRequest
from ig_pipeline.sync.plan import DayRequest, Window, clip, initial_window, plan_requests
from ig_pipeline.sync.registry import filled_by
from ig_pipeline.sync.requests.later import RETRY


@dataclass(frozen=True)
class Batch:
    """Requests that one run answers. Its `id` stands on each of them before the run is asked for."""

    id: str
    requests: tuple[SyncRequest, ...]

    @property
    def run_id(self) -> str | None:
        """The run, once it has been seen."""
        return self.requests[0].run_id

    @property
    def window(self) -> Window:
        """Its days."""
        return Window(self.requests[0].first, self.requests[0].last)

    @property
    def account_keys(self) -> set[str]:
        """Its accounts."""
        return {request.account_key for request in self.requests}

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets to fill."""
        return assets_of(self.requests[0])

    @property
    def flags(self) -> str:
        """What is asked besides assets, accounts and days, as JSON; empty without."""
        return flags_of(self.requests[0])

    @property
    def is_by_a_person(self) -> bool:
        """Whether a person asked, so that cached absences are asked for all the same."""
        return self.requests[0].requested_by in BY_A_PERSON


def is_due(db: sa.Connection, *, first_backfills: bool, now: datetime) -> bool:
    """Whether there is something to claim."""
    return bool(sync_requests.due(db, now=now, first_backfills=first_backfills, limit=1))


def under_way(db: sa.Connection, *, first_backfills: bool) -> list[Batch]:
    """Claimed batches whose end is not known, oldest first; the run of some may not have been asked for yet."""
    found: dict[str, list[SyncRequest]] = {}
    for request in sync_requests.launched(db, first_backfills=first_backfills):
        found.setdefault(request.batch or "", []).append(request)
    return [Batch(batch, tuple(requests)) for batch, requests in found.items()]


def claim(
    db: sa.Connection, *, first_backfills: bool, ordered_keys: Sequence[str], settings: Settings, now: datetime
) -> None:
    """Put what is due into batches, and end what needs no run or can have none, with a sentence.

    `ordered_keys`: the accounts of the grid in its own order; requests of others wait. Requests for the same days of
    neighbours share a batch; a first backfill has one of its own.
    """
    known = set(ordered_keys)
    connected = {item.account_key: item for item in list_connections(db, statuses=[CONNECTED])}
    groups: dict[tuple[object, ...], list[DayRequest]] = {}
    for request in sync_requests.due(db, now=now, first_backfills=first_backfills):
        connection = connected.get(request.account_key)
        if reason := _refusal(request, connection):
            sync_requests.end(db, [request.id], status=FAILED, detail=reason, now=now)
        elif _is_filled(db, request, connection):
            detail = "Another run has filled these days meanwhile."
            sync_requests.end(db, [request.id], status=DONE, detail=detail, now=now)
        elif request.account_key in known and (window := _window(request, connection, settings, now)):
            alone = request.id if first_backfills else None
            alike = (assets_of(request), flags_of(request), request.requested_by in BY_A_PERSON, alone)
            groups.setdefault(alike, []).append(DayRequest(request.id, request.account_key, *window))
    for group in groups.values():
        plan = plan_requests(
            group,
            ordered_keys=ordered_keys,
            today=instagram_day(now),
            first_day=settings.first_day,
            per_run=settings.accounts_per_run,
        )
        for request_id, reason in plan.refused.items():
            sync_requests.end(db, [request_id], status=FAILED, detail=reason, now=now)
        for planned in plan.rectangles:
            first, last = planned.rectangle.window
            sync_requests.claim(db, planned.request_ids, batch=uuid.uuid4().hex, first=first, last=last, now=now)
            if first_backfills:
                connection = connected[planned.rectangle.account_keys[0]]
                mark_initial_backfill_requested(db, connection.id, first=first, last=last, now=now)


@dataclass(frozen=True)
class Due:
    """A request that `ig-pipeline sync` may answer, and the days it is for."""

    request: SyncRequest
    window: Window
    connection: Connection

    @property
    def cells(self) -> set[tuple[date, str]]:
        """Its days by its assets."""
        return set(product(self.window.days, assets_of(self.request)))


def due_of(db: sa.Connection, connections: Iterable[Connection], *, settings: Settings, now: datetime) -> list[Due]:
    """Due requests for numbers of these connections, which stay queued until `answer` has their results."""
    by_key = {connection.account_key: connection for connection in connections}
    found = []
    for request in sync_requests.due(db, now=now, account_keys=by_key):
        connection = by_key[request.account_key]
        window = _window(request, connection, settings, now) if request.kind == "insights" else None
        if window and (clipped := clip(window, today=instagram_day(now), first_day=settings.first_day)):
            found.append(Due(request, clipped, connection))
    return found


def assets_of(request: SyncRequest) -> tuple[str, ...]:
    """The assets of the request's kind; of these only the ones its option `assets` names, when it has one."""
    named, assets = request.options.get("assets"), filled_by(request.kind)
    return tuple(asset for asset in assets if named is None or asset in named) or assets


def flags_of(request: SyncRequest) -> str:
    """What the request says besides its assets, as JSON; empty when that is nothing."""
    others = {name: value for name, value in request.options.items() if name != "assets"}
    return json.dumps(others, sort_keys=True) if others else ""


def _refusal(request: SyncRequest, connection: Connection | None) -> str | None:
    """Why this request can never become a run; None when it can."""
    if not filled_by(request.kind):
        return f"No asset fills requests of the kind {request.kind}."
    if connection is None:
        return f"{request.account_key} is not connected. Connect it again, then ask again."
    return None


def _is_filled(db: sa.Connection, request: SyncRequest, connection: Connection | None) -> bool:
    """Whether the days of another attempt are whole already: another run was faster."""
    if request.requested_by != RETRY or connection is None:
        return False
    assets, first, last = request.options["assets"], request.first, request.last
    return not sync_logs.lacks(db, connection, assets=assets, first=first, last=last)


def _window(request: SyncRequest, connection: Connection | None, settings: Settings, now: datetime) -> Window | None:
    """The days to fetch. A first backfill that has not begun is of the days that are newest now: it may have waited.

    None while no day of a first backfill lies in the grid.
    """
    begins = connection is not None and connection.initial_backfill_requested_at is None
    if request.requested_by == FIRST_BACKFILL and begins:
        return initial_window(instagram_day(now), settings.initial_backfill_days, first_day=settings.first_day)
    return Window(request.first, request.last)
