"""The pages a person opens. Each works without a script; a script only saves them the reload."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from ig_pipeline.storage import deletion_requests, oauth_states
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.overview import count as count_connections
from ig_pipeline.storage.overview import standings
from ig_pipeline.web.answers import CONNECT_PATH
from ig_pipeline.web.cookies import READER, end_session, finished_of, session_of, set_session
from ig_pipeline.web.gates import count, own_page, reader
from ig_pipeline.web.page_data import DAYS, Card, account_page, cards
from ig_pipeline.web.pages import local_path, page, reader_sign_in_page
from ig_pipeline.web.pictures import draw, pictures_of
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.routes.connections import START_PATH, to_dialog
from ig_pipeline.web.services import Services, WebServices
from ig_pipeline.web.shapes import Email, FormEmail

router = APIRouter(tags=["pages"], include_in_schema=False)

PER_PAGE = 24
Fragment = Annotated[bool, Query(description="Only the part that changes, for the page's script.")]


@router.get("/", dependencies=[Depends(reader)])
def home(
    services: Services, part: Fragment = False, number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1
) -> Response:
    """All connections."""
    with reading(services.engine) as db:
        total = count_connections(db)
        found = standings(
            db, initial_days=services.settings.initial_backfill_days, limit=PER_PAGE, offset=(number - 1) * PER_PAGE
        )
        shown = cards(db, found, settings=services.settings, now=services.clock())
    return page(
        "home_part.html" if part else "home.html",
        cards=shown,
        total=total,
        number=number,
        pages=max(1, -(-total // PER_PAGE)),
        moving=any(card.moving for card in shown),
        days=DAYS,
        signed_in=not services.access.open,
    )


@router.get("/accounts/{account_key}", dependencies=[Depends(reader)])
def account(services: Services, account_key: str, part: Fragment = False) -> Response:
    """One account's month."""
    return _account(services, account_key, "account_part.html" if part else "account.html")


@router.get("/pictures/{account_key}/{post_id}", dependencies=[Depends(reader)])
def post_picture(services: Services, account_key: str, post_id: str) -> Response:
    """A post's picture from the library."""
    with reading(services.engine) as db:
        found = standings(db, initial_days=services.settings.initial_backfill_days, account_keys=[account_key])
        drawn = draw(services.settings, db, found[0].connection, post_id) if found else None
    if drawn is None:
        raise Problem(404, "no_picture", "There is no picture of this post.", "A media backfill fetches it.")
    # A file of the library never changes.
    return Response(drawn, media_type="image/webp", headers={"cache-control": "private, max-age=86400"})


@router.get(CONNECT_PATH)
def connect(services: Services, email: Email) -> Response:
    """Asks the person for whom a login would be started whether that is their address. Starts nothing."""
    return page("connect.html", email=email)


@router.post(START_PATH, dependencies=[Depends(own_page)])
def start(request: Request, services: Services, email: FormEmail) -> Response:
    """What the forms of our pages send: the person has read or written the address there."""
    count(request, services, "start")
    return to_dialog(services, email)


@router.get("/connected")
def connected(request: Request, services: Services, part: Fragment = False) -> Response:
    """What came of the login this browser has just finished, and for which address; its owner needs no token."""
    browser = finished_of(request, https=services.https)
    with reading(services.engine) as db:
        finished = oauth_states.finished_by(db, browser=browser, now=services.clock()) if browser else None
        found = (
            standings(db, initial_days=services.settings.initial_backfill_days, account_keys=finished.account_keys)
            if finished
            else []
        )
        shown = [
            account_page(db, standing, settings=services.settings, now=services.clock(), pictures={})
            for standing in found[:MOST_ON_A_PAGE]
        ]
    if finished is None or not shown:
        count(request, services, "look_up")
        raise Problem(404, "nothing_connected", "Nothing was connected here today.", "Start connecting again.")
    return page(
        "connected_part.html" if part else "connected.html",
        email=finished.email,
        accounts=shown,
        more=len(found) - len(shown),
        moving=any(item.card.moving for item in shown),
        days=DAYS,
    )


# Somebody who ticks more accounts in one dialog sees the first; the others are in the list.
MOST_ON_A_PAGE = 5


@router.get("/deletions/{code}")
def deletion(request: Request, services: Services, code: str) -> Response:
    """How far a deletion is, for those who have its code."""
    with reading(services.engine) as db:
        found = deletion_requests.by_code(db, code) if code.isascii() and code.isalnum() else None
    if found is None:
        count(request, services, "look_up")
        raise Problem(404, "no_deletion", "There is no deletion with this code.", "Check the code.")
    return page("deletion.html", deletion=found, moving=found.completed_at is None)


@router.post("/sign-in")
def sign_in(
    request: Request,
    services: Services,
    token: Annotated[str, Form(max_length=512)],
    destination: Annotated[str, Form(max_length=512)] = "/",
) -> Response:
    """Exchange the API token for a cookie."""
    if services.sessions is None or not services.access.knows_api_token(token.strip()):
        count(request, services, "sign_in")
        return reader_sign_in_page(local_path(destination), wrong=True, status=401)
    response = RedirectResponse(local_path(destination), 303)
    set_session(response, READER, services.sessions.begin(), https=services.https)
    return response


@router.post("/sign-out")
def sign_out(request: Request, services: Services) -> Response:
    """End the session, and with it every copy of its cookie."""
    if services.sessions is not None:
        services.sessions.end(session_of(request, READER, https=services.https))
    response = RedirectResponse("/", 303)
    end_session(response, READER, https=services.https)
    return response


def _account(services: WebServices, account_key: str, template: str) -> Response:
    with reading(services.engine) as db:
        found = standings(db, initial_days=services.settings.initial_backfill_days, account_keys=[account_key])
        if not found:
            raise Problem(404, "no_connection", "There is no such account.", "It may have been deleted.")
        shown = account_page(
            db,
            found[0],
            settings=services.settings,
            now=services.clock(),
            pictures=pictures_of(db, found[0].connection),
        )
    card: Card = shown.card
    return page(template, shown=shown, moving=card.moving, days=DAYS, signed_in=not services.access.open)
