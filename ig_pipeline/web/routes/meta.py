"""What Meta calls: somebody removed the app, or wants their data deleted. Believed by its signature alone."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Form, Request

from ig_pipeline.storage import deletion_requests, meta_people
from ig_pipeline.storage.connections import Connection, disconnect
from ig_pipeline.web.answers import deletion_url
from ig_pipeline.web.gates import count
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import Services, WebServices
from ig_pipeline.web.shapes import Disconnected, MetaDeletionAnswer
from ig_pipeline.web.signed_requests import MAX_LENGTH, SignedRequest, SignedRequestError, read_signed_request

router = APIRouter(tags=["meta"], prefix="/v1/meta")

Signed = Annotated[str, Form(max_length=MAX_LENGTH, description="Meta's signed request.")]


@router.post(
    "/deauthorize",
    response_model=Disconnected,
    responses=refusals(400, 409, 413, 422, 429, 503),
    summary="Meta: somebody removed the app",
)
def deauthorize(http: Request, services: Services, signed_request: Signed) -> Disconnected:
    """Their connections end as if they had disconnected; the history stays."""
    request = _check(http, services, signed_request)
    with services.engine.begin() as db:
        connections = _connections_of(db, services, request)
        for connection in connections:
            disconnect(db, connection.id, now=services.clock())
    # Meta has ended them already.
    return Disconnected(disconnected=[connection.account_key for connection in connections], tokens=[])


@router.post(
    "/data-deletion",
    response_model=MetaDeletionAnswer,
    responses=refusals(400, 409, 413, 422, 429, 503),
    summary="Meta: somebody wants their data deleted",
)
def delete_data(http: Request, services: Services, signed_request: Signed) -> MetaDeletionAnswer:
    """The answer Meta shows that person: a code, and where to read how far it is."""
    request = _check(http, services, signed_request)
    with services.engine.begin() as db:
        connections = _connections_of(db, services, request)
        deletion = deletion_requests.request(db, connections, origin="meta", now=services.clock())
    return MetaDeletionAnswer(url=deletion_url(deletion, services.settings), confirmation_code=deletion.code)


def _check(http: Request, services: WebServices, text: str) -> SignedRequest:
    """The signed request; what Meta did not sign counts against its sender, what Meta signed against no one."""
    secret = services.settings.app_secret
    if secret is None:
        raise Problem(503, "not_configured", "Meta is not set up yet.", "Set IG_PIPELINE_APP_SECRET.")
    try:
        return read_signed_request(text, app_secret=secret, now=services.clock())
    except SignedRequestError as error:
        count(http, services, "meta")
        raise Problem(400, "signed_request_refused", "The signed request is not valid.", str(error)) from None


def _connections_of(db: sa.Connection, services: WebServices, request: SignedRequest) -> list[Connection]:
    """Whom it is about; in the same transaction as what follows, so that a replay finds it seen or does it all."""
    if not meta_people.first_seen(db, request.signature_hash, now=services.clock()):
        raise Problem(409, "signed_request_replayed", "This request came in before.", "It was carried out then.")
    return meta_people.connections_of(db, request.person_id)
