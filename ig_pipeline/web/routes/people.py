"""What a person may ask about themselves: everything that is held, and to be forgotten."""

from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from ig_pipeline.storage import deletion_requests, user_data
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.deletion_requests import DeletionRequest
from ig_pipeline.vault.revoking import Taken, end_at_meta, take_tokens
from ig_pipeline.web.answers import deletion_state
from ig_pipeline.web.gates import admin, count, reader
from ig_pipeline.web.large_answers import in_pieces
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.routes.connections import chosen_connections
from ig_pipeline.web.services import Services, WebServices
from ig_pipeline.web.shapes import DeletionState, Email, tokens_at_meta

router = APIRouter(tags=["people"])

EXPORTS_AT_ONCE = 4
"""Exports that one process makes at a time: each holds a connection to the database until its last piece is taken."""

_PLACES = BoundedSemaphore(EXPORTS_AT_ONCE)

ConfirmationCode = Annotated[str, Query(pattern="^[A-Z2-9]{16}$", description="What the request was answered with.")]


@router.get(
    "/v1/users/export",
    dependencies=[Depends(reader)],
    response_model=dict[str, Any],
    responses=refusals(401, 404, 422, 429, 503),
    summary="All that is held about a user",
)
def export(services: Services, email: Email) -> Response:
    """Every row, by table, without secrets."""
    pieces = user_data.export(services.engine, email)
    if pieces is None:
        raise Problem(404, "no_user", "Nothing is held about this address.", "Check the address.")
    headers = {"Content-Disposition": 'attachment; filename="instagram-data.json"'}
    return in_pieces(_in_its_place(pieces), media_type="application/json", headers=headers)


def _in_its_place(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces, while there is a place for one more export. Raises `Problem`."""
    if not _PLACES.acquire(blocking=False):
        raise Problem(
            503,
            "too_many_exports",
            f"{EXPORTS_AT_ONCE} exports are under way.",
            "Wait a minute, then try again.",
            headers={"Retry-After": "60"},
        )
    try:
        yield from pieces
    finally:
        _PLACES.release()


@router.delete(
    "/v1/users",
    status_code=202,
    dependencies=[Depends(admin)],
    response_model=DeletionState,
    responses=refusals(401, 403, 404, 422, 429, 503),
    summary="Forget a user, or one account of theirs",
)
async def forget(
    services: Services,
    email: Email,
    account: Annotated[str | None, Query(max_length=128, description="One connection; all when left out.")] = None,
) -> DeletionState:
    """Rows go at once; files, previews and cells of the grid within a minute of Dagster's. A tombstone stays.

    Tokens are ended at Meta, too, where that is possible.
    """
    deletion, taken = await run_in_threadpool(_request, services, email, account)
    ended = await end_at_meta(services.client, taken)
    return deletion_state(deletion, services.settings).model_copy(update={"tokens": tokens_at_meta(ended)})


def _request(services: WebServices, email: str, account: str | None) -> tuple[DeletionRequest, list[Taken]]:
    with services.engine.begin() as db:
        whole = email if account is None else None
        held = whole is not None and user_data.is_held(db, whole)
        mine = chosen_connections(db, email, account, none_is_fine=held)
        taken = take_tokens(db, services.keys, mine)
        return deletion_requests.request(db, mine, origin="admin", now=services.clock(), email=whole), taken


@router.get(
    "/v1/deletions",
    response_model=DeletionState,
    responses=refusals(404, 422, 429, 503),
    summary="How far a deletion is",
)
def deletion(request: Request, services: Services, code: ConfirmationCode) -> DeletionState:
    """For those who have the confirmation code; it names no one."""
    with reading(services.engine) as db:
        found = deletion_requests.by_code(db, code)
    if found is None:
        count(request, services, "look_up")
        raise Problem(404, "no_deletion", "There is no deletion with this code.", "Check the code.")
    return deletion_state(found, services.settings)
