"""The admin's endpoints: work asked for through `sync_requests`. Not in the public document, always behind a token."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.web.answers import request_state
from ig_pipeline.web.gates import admin
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import Services
from ig_pipeline.web.shapes import Email, Provider, SyncRequested, SyncRequestState

router = APIRouter(tags=["admin"], dependencies=[Depends(admin)], include_in_schema=False)


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
    """Yesterday, or the days asked for, of every connected account of a user. Dagster starts it within seconds."""
    now = services.clock()
    last = last_complete_day(now)
    first = max(last - timedelta(days=days - 1), services.settings.first_day)
    with services.engine.begin() as db:
        connections = list_connections(db, email=email)
        if not connections:
            raise Problem(404, "no_connection", "There is no such connection.", "Check the address.")
        working = [connection for connection in connections if connection.status == CONNECTED]
        if not working:
            raise Problem(
                409, "not_connected", "No account of this user is connected.", "Its owner has to connect it again."
            )
        made = [
            sync_requests.enqueue(
                db,
                kind="insights",
                account_key=connection.account_key,
                first=first,
                last=last,
                requested_by="admin",
                reason="asked for over HTTP",
                now=now,
            )
            for connection in working
        ]
    return SyncRequested(requests=[request_state(request, services.settings) for request in made])


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


@router.post(
    "/v1/media/backfill",
    status_code=202,
    response_model=SyncRequested,
    responses=refusals(401, 403, 404, 409, 422, 429, 503),
    summary="Save the media files of posts",
)
def backfill_media(
    services: Services,
    email: Email,
    provider: Provider = "instagram",
    since: Annotated[date | None, Query(description="Posts of this day and later; 30 days when left out.")] = None,
) -> SyncRequested:
    """Files of every connected account of a user go to the library; what is there is skipped."""
    now = services.clock()
    last = last_complete_day(now)
    first = min(last, max(since or last - timedelta(days=29), services.settings.first_day))
    with services.engine.begin() as db:
        working = [item for item in list_connections(db, email=email) if item.status == CONNECTED]
        if not working:
            raise Problem(404, "no_connection", "No account of this user is connected.", "Check the address.")
        made = [
            sync_requests.enqueue(
                db,
                kind="media_files",
                account_key=connection.account_key,
                first=first,
                last=last,
                requested_by="admin",
                reason="asked for over HTTP",
                now=now,
            )
            for connection in working
        ]
    return SyncRequested(requests=[request_state(request, services.settings) for request in made])
