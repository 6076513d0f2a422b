"""Connecting, and how connections are: start, callback, status, disconnect.

A login is started for an address by an app that signed the link, or by the person on a page of ours that names it.
"""

from typing import Annotated
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.graph_api.oauth import code_of_callback
from ig_pipeline.storage import connections as stored
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.overview import standings
from ig_pipeline.sync.judgement import judge_connections
from ig_pipeline.vault.revoking import Taken, end_at_meta, take_tokens
from ig_pipeline.web.answers import CONNECT_PATH, as_json, connection_state
from ig_pipeline.web.consent import StateProblem, begin, complete
from ig_pipeline.web.cookies import login_of, set_finished, set_login
from ig_pipeline.web.gates import admin, count, reader
from ig_pipeline.web.large_answers import in_pieces, with_items
from ig_pipeline.web.negotiation import wants_page
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import CALLBACK_PATH, Services, WebServices
from ig_pipeline.web.shapes import Connected, ConnectionList, Disconnected, Email, tokens_at_meta
from ig_pipeline.web.start_links import StartLinkError, check_start_link

router = APIRouter(tags=["connections"])

START_PATH = "/v1/connections/instagram/start"

# Meta's codes have some 300 characters; ours have 43.
Code = Annotated[str | None, Query(max_length=2048, description="Meta's code, to be exchanged once.")]
State = Annotated[str, Query(max_length=256, description="The one-time state of the login that was started.")]


@router.get(
    START_PATH,
    status_code=303,
    response_class=RedirectResponse,
    responses=refusals(403, 410, 422, 429, 503)
    | {
        303: {
            "description": "To the consent dialog of the configured login; unsigned, to a page that names the address."
        }
    },
    summary="Start connecting, by a link of the app",
)
def start(
    request: Request,
    services: Services,
    email: Email,
    expires: Annotated[
        int | None, Query(ge=0, le=2**40, description="Unix time until which the link is good, an hour ahead at most.")
    ] = None,
    signature: Annotated[str | None, Query(max_length=128, description="The app's signature of both.")] = None,
) -> Response:
    """Send a person's browser here. It comes back to the callback; the state is good once and for ten minutes.

    `signature` is the HMAC-SHA256, in hex, of `start:{email}:{expires}` under IG_PIPELINE_START_LINK_KEY. Without one
    the person is first asked on a page whether the address is theirs.
    """
    if signature is None or expires is None:
        return RedirectResponse(f"{CONNECT_PATH}?{urlencode({'email': email})}", 303)
    # As it was sent: it is trimmed and in lower case by now.
    given = request.query_params["email"]
    try:
        check_start_link(
            services.settings.start_link_key, email=given, expires=expires, signature=signature, now=services.clock()
        )
    except StartLinkError as error:
        count(request, services, "start")
        if error.fault == "expired":
            raise Problem(410, "start_link_expired", "This link is no longer good.", str(error)) from None
        raise Problem(403, "start_link_refused", "This link was not made by the app.", str(error)) from None
    return to_dialog(services, email)


@router.get(
    CALLBACK_PATH,
    response_model=Connected,
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
    secret = login_of(request, state, https=services.https)
    if secret is None:
        # Not of this browser: before the database is asked how it is wrong.
        count(request, services, "callback")
    try:
        started = await complete(
            services, state=state, secret=secret, code=_code(code, error), declined=error is not None
        )
    except StateProblem:
        if secret is not None:
            count(request, services, "callback")
        raise
    assert secret is not None, "a login that is not bound to this browser was completed"
    if wants_page(request):
        # Another address: a reload must not play the callback again.
        response: Response = RedirectResponse("/connected", 303)
    else:
        response = as_json(Connected(connected=True, provider="instagram", backfill_started=started))
    set_finished(response, secret, https=services.https)
    return response


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
        connections = [standing.connection for standing in found]
        window_days = services.settings.nightly_window_days
        judged = judge_connections(db, connections, now=services.clock(), window_days=window_days)
    states = (connection_state(one, judged[one.connection.id], services.settings) for one in found)
    return in_pieces(with_items(ConnectionList(email=email, connections=[]), states), media_type="application/json")


@router.delete(
    "/v1/connections/instagram",
    response_model=Disconnected,
    dependencies=[Depends(admin)],
    responses=refusals(401, 403, 404, 422, 429, 503),
    summary="Disconnect",
)
async def disconnect(
    services: Services,
    email: Email,
    account: Annotated[str | None, Query(max_length=128, description="One connection; all when left out.")] = None,
) -> Disconnected:
    """Destroy the tokens, here and where that is possible at Meta, and stop syncing.

    The history stays; connecting again carries on with it.
    """
    keys, taken = await run_in_threadpool(_destroy, services, email, account)
    return Disconnected(disconnected=keys, tokens=tokens_at_meta(await end_at_meta(services.client, taken)))


def _destroy(services: WebServices, email: str, account: str | None) -> tuple[list[str], list[Taken]]:
    with services.engine.begin() as db:
        mine = chosen_connections(db, email, account)
        taken = take_tokens(db, services.keys, mine)
        for connection in mine:
            stored.disconnect(db, connection.id, now=services.clock())
    return [connection.account_key for connection in mine], taken


def chosen_connections(
    db: sa.Connection, email: str, account: str | None, *, none_is_fine: bool = False
) -> list[Connection]:
    """A user's connections, or one of them. Raises `Problem` when there is none, unless that is fine."""
    found = [item for item in stored.list_connections(db, email=email) if account in (None, item.account_key)]
    if not found and not none_is_fine:
        raise Problem(404, "no_connection", "There is no such connection.", "Check the address and the account.")
    return found


def to_dialog(services: WebServices, email: str) -> Response:
    """Begin a login for `email` and send the browser to Meta, with the secret it has to bring back."""
    begun = begin(services, email)
    response = RedirectResponse(begun.url, 303)
    set_login(response, begun.state, begun.secret, https=services.https)
    return response


def _code(code: str | None, error: str | None) -> str | None:
    """The code without what Instagram appends to it, or None."""
    if error is not None or code is None:
        return None
    try:
        return code_of_callback({"code": code})
    except GraphError:
        return None
