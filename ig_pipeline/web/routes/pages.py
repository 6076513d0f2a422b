"""The pages a person opens. Each works without a script; a script only saves them the reload."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from ig_pipeline.storage import deletion_requests, oauth_states
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.overview import count, standings
from ig_pipeline.web.cookies import browser_of, end_session, set_session
from ig_pipeline.web.gates import public, reader
from ig_pipeline.web.page_data import DAYS, Card, account_page, cards
from ig_pipeline.web.pages import page
from ig_pipeline.web.pictures import draw, pictures_of
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import Services, WebServices

router = APIRouter(tags=["pages"], include_in_schema=False)

PER_PAGE = 24
Fragment = Annotated[bool, Query(description="Only the part that changes, for the page's script.")]


@router.get("/", dependencies=[Depends(reader)])
def home(
    services: Services, part: Fragment = False, number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1
) -> Response:
    """All connections."""
    with reading(services.engine) as db:
        total = count(db)
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


@router.get("/connected", dependencies=[Depends(public)])
def connected(request: Request, services: Services, part: Fragment = False) -> Response:
    """What came of the login this browser has just finished; the only page its owner needs no token for."""
    browser = browser_of(request, https=services.https)
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
    if not shown:
        raise Problem(404, "nothing_connected", "Nothing was connected here today.", "Start connecting again.")
    return page(
        "connected_part.html" if part else "connected.html",
        accounts=shown,
        more=len(found) - len(shown),
        moving=any(item.card.moving for item in shown),
        days=DAYS,
    )


# Somebody who ticks more accounts in one dialog sees the first; the others are in the list.
MOST_ON_A_PAGE = 5


@router.get("/deletions/{code}", dependencies=[Depends(public)])
def deletion(services: Services, code: str) -> Response:
    """How far a deletion is, for whoever has its code."""
    with reading(services.engine) as db:
        found = deletion_requests.by_code(db, code) if code.isascii() and code.isalnum() else None
    if found is None:
        raise Problem(404, "no_deletion", "There is no deletion with this code.", "Check the code.")
    return page("deletion.html", deletion=found, moving=found.completed_at is None)


@router.post("/sign-in", dependencies=[Depends(public)])
def sign_in(
    services: Services,
    token: Annotated[str, Form(max_length=512)],
    destination: Annotated[str, Form(max_length=512)] = "/",
) -> Response:
    """Exchange the API token for a cookie."""
    if not services.access.knows_api_token(token.strip()):
        return page("sign_in.html", status=401, destination=_local(destination), wrong=True)
    response = RedirectResponse(_local(destination), 303)
    set_session(response, services.access.new_session(), https=services.https)
    return response


@router.post("/sign-out")
def sign_out(services: Services) -> Response:
    """Forget the cookie."""
    response = RedirectResponse("/", 303)
    end_session(response, https=services.https)
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


def _local(destination: str) -> str:
    """A path of ours, never somebody else's address (`//evil.example` is one)."""
    safe = destination.startswith("/") and not destination.startswith(("//", "/\\")) and destination.isprintable()
    return destination if safe else "/"
