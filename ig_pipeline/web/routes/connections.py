"""Connecting, and how connections are: start, callback, status, disconnect."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.graph_api.oauth import code_of_callback
from ig_pipeline.storage import connections as stored
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.overview import standings
from ig_pipeline.web.answers import as_json, connection_state
from ig_pipeline.web.consent import begin, complete
from ig_pipeline.web.cookies import browser_of, set_browser
from ig_pipeline.web.gates import public, reader
from ig_pipeline.web.negotiation import wants_page
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import CALLBACK_PATH, Services
from ig_pipeline.web.shapes import Connected, ConnectionList, Disconnected, Email

router = APIRouter(tags=["connections"])

# Meta's codes have some 300 characters; ours have 43.
Code = Annotated[str | None, Query(max_length=2048, description="Meta's code, to be exchanged once.")]
State = Annotated[str, Query(max_length=256, description="The one-time state of the login that was started.")]


@router.get(
    "/v1/connections/instagram/start",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[Depends(public)],
    responses=refusals(422, 429, 503) | {303: {"description": "To the consent dialog of the configured login."}},
    summary="Start connecting",
)
def start(request: Request, services: Services, email: Email) -> Response:
    """Send a person's browser here. It comes back to the callback; the state is good once and for ten minutes."""
    begun = begin(services, email, browser=browser_of(request, https=services.https))
    response = RedirectResponse(begun.url, 303)
    set_browser(response, begun.browser, https=services.https)
    return response


@router.get(
    CALLBACK_PATH,
    response_model=Connected,
    dependencies=[Depends(public)],
    responses=refusals(400, 403, 409, 410, 422, 429, 502, 503)
    | {303: {"description": "A browser is sent to a page that shows the backfill's progress."}},
    summary="Come back from the consent dialog",
)
async def callback(
    request: Request,
    services: Services,
    state: State,
    code: Code = None,
    error: Annotated[str | None, Query(max_length=256)] = None,
) -> Connected | Response:
    """Exchange the code, find the account, store the connection. Every way this can fail has its own `type`."""
    started = await complete(
        services,
        state=state,
        browser=browser_of(request, https=services.https),
        code=_code(code, error),
        declined=error is not None,
    )
    if wants_page(request):
        # Another address: a reload must not play the callback again.
        return RedirectResponse("/connected", 303)
    return Connected(connected=True, provider="instagram", backfill_started=started)


@router.get(
    "/v1/connections/status",
    response_model=ConnectionList,
    dependencies=[Depends(reader)],
    responses=refusals(401, 422, 429, 503),
    summary="How a user's connections are",
)
def status(services: Services, email: Email) -> Response:
    """Per connection: whether it works, what to do when it does not, the newest day, the first backfill."""
    with reading(services.engine) as db:
        found = standings(db, initial_days=services.settings.initial_backfill_days, email=email)
    now = services.clock()
    states = [connection_state(standing, services.settings, now) for standing in found]
    return as_json(ConnectionList(email=email, connections=states))


@router.delete(
    "/v1/connections/instagram",
    response_model=Disconnected,
    dependencies=[Depends(reader)],
    responses=refusals(401, 404, 422, 429, 503),
    summary="Disconnect",
)
def disconnect(
    services: Services,
    email: Email,
    account: Annotated[str | None, Query(max_length=128, description="One connection; all when left out.")] = None,
) -> Disconnected:
    """Destroy the tokens and stop syncing. The history stays; connecting again carries on with it."""
    with services.engine.begin() as db:
        mine = [
            connection
            for connection in stored.list_connections(db, email=email)
            if account is None or connection.account_key == account
        ]
        if not mine:
            raise Problem(404, "no_connection", "There is no such connection.", "Check the address and the account.")
        for connection in mine:
            stored.disconnect(db, connection.id, now=services.clock())
    return Disconnected(disconnected=[connection.account_key for connection in mine])


def _code(code: str | None, error: str | None) -> str | None:
    """The code without what Instagram appends to it, or None."""
    if error is not None or code is None:
        return None
    try:
        return code_of_callback({"code": code})
    except GraphError:
        return None
