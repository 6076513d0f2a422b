"""The admin's endpoints: work asked for through the queue. Not in the public document, always behind a token."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from ig_pipeline.graph_api.days import instagram_day, last_complete_day
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.media_files.days import settled_by
from ig_pipeline.sync.media_files.results import BackfillOptions, MediaTypes
from ig_pipeline.sync.plan import Window
from ig_pipeline.sync.requests.asking import Kind, ask
from ig_pipeline.web.answers import request_state
from ig_pipeline.web.gates import admin
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import Services
from ig_pipeline.web.shapes import Email, Provider, SyncRequested, SyncRequestState

router = APIRouter(tags=["admin"], dependencies=[Depends(admin)], include_in_schema=False)


Account = Annotated[
    str | None,
    Query(min_length=1, max_length=128, description="One account by its name; every connected one when left out."),
]
AccountId = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,32}$", description="The account by its Instagram id instead.")
]
# Nobody posted before: an earlier `since` is a slip.
_INSTAGRAM_BEGAN = date(2010, 10, 6)


@router.post(
    "/v1/sync/run",
    status_code=202,
    response_model=SyncRequested,
    responses=refusals(401, 403, 404, 409, 422, 429, 503),
    summary="Fetch the newest days again",
)
def run_sync(
    services: Services,
    email: Email,
    provider: Provider = "instagram",
    days: Annotated[int, Query(ge=1, le=366, description="How many days, up to yesterday.")] = 1,
) -> SyncRequested:
    """Yesterday, or the days asked for, of every connected account of a user. Dagster starts it within seconds.

    While the same is queued already, that request is answered.
    """
    last = last_complete_day(services.clock())
    first = max(last - timedelta(days=days - 1), services.settings.first_day)
    return _ask(services, "insights", Window(first, last), email=email)


@router.post(
    "/v1/media/backfill",
    status_code=202,
    response_model=SyncRequested,
    responses=refusals(401, 403, 404, 409, 422, 429, 503),
    summary="Save the media files of posts",
)
def backfill_media(
    *,
    services: Services,
    email: Email,
    provider: Provider = "instagram",
    account: Account = None,
    account_id: AccountId = None,
    limit: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="At most so many new files of each account.")
    ] = None,
    media_type: Annotated[MediaTypes, Query(description="What to fetch.")] = "both",
    since: Annotated[
        date | None,
        Query(description="Posts of this Pacific day and later; when left out, everything that was ever posted."),
    ] = None,
    dry_run: Annotated[
        bool, Query(description="Read and count; download nothing, write nothing. The request has the counts.")
    ] = False,
) -> SyncRequested:
    """What `ig-pipeline backfill-instagram` does with the same flags, for the accounts of a user.

    What the library has is skipped. Posts from before the grid's first day and of today are fetched too; they have no
    day in the grid. While the same is queued already, that request is answered.
    """
    now, first_day = services.clock(), services.settings.first_day
    if since is not None and not _INSTAGRAM_BEGAN <= since <= instagram_day(now):
        raise _invalid(f"since: A day from {_INSTAGRAM_BEGAN}, when Instagram began, to {instagram_day(now)}.")
    options = BackfillOptions(media_type, limit, since, None, dry_run)
    # What settles no day of the grid needs a run all the same, and a run a day.
    newest = last_complete_day(now)
    window = settled_by(options, first_day=first_day, now=now) or Window(newest, newest)
    return _ask(
        services, "media_files", window, email=email, account=account, account_id=account_id, options=options.flags
    )


@router.get(
    "/v1/sync/requests/{request_id}",
    response_model=SyncRequestState,
    responses=refusals(401, 403, 404, 422, 429, 503),
    summary="What became of a request",
)
def follow(services: Services, request_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> SyncRequestState:
    """Queued, launched, done or failed, with the run that does it."""
    with reading(services.engine) as db:
        found = sync_requests.by_id(db, request_id)
    if found is None:
        raise Problem(404, "no_request", "There is no such request.", "Check its number.")
    return request_state(found, services.settings)


def _ask(
    services: Services,
    kind: Kind,
    window: Window,
    *,
    email: str,
    account: str | None = None,
    account_id: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> SyncRequested:
    """A request for each connected account that is meant; one that is queued already is not made again."""
    if account is not None and account_id is not None:
        raise _invalid("Name the account with account or with account_id, not with both.")
    with services.engine.begin() as db:
        mine = [
            item
            for item in list_connections(db, email=email)
            if account in (None, item.account_key) and account_id in (None, item.account_id)
        ]
        if not mine:
            raise Problem(404, "no_connection", "There is no such connection.", "Check the address and the account.")
        working = [item for item in mine if item.status == CONNECTED]
        if not working:
            raise Problem(409, "not_connected", "The account is not connected.", "Its owner has to connect it again.")
        made = [
            ask(
                db,
                item,
                window,
                kind=kind,
                requested_by="admin",
                reason="asked for over HTTP",
                options=options,
                now=services.clock(),
            )
            for item in working
        ]
    return SyncRequested(requests=[request_state(request, services.settings) for request in made])


def _invalid(what: str) -> Problem:
    return Problem(422, "invalid_request", "The request is not complete or not valid.", what)
