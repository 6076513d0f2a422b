"""Dependencies of routes: for readers, for admins, for our own pages; and what limits everyone else.

They are `async`, so that they run in the event loop: a hop to a thread would cost more than the check of a token.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ig_pipeline.web.access import bearer_of
from ig_pipeline.web.cookies import READER, session_of
from ig_pipeline.web.origins import WITHOUT_EFFECT
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.rate_limit import Purpose, caller_of
from ig_pipeline.web.services import Services, WebServices

api_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="apiToken",
    description="The value of IG_PIPELINE_API_TOKEN. Not needed where none is set: then the service is on loopback.",
)
admin_bearer = HTTPBearer(
    auto_error=False, scheme_name="adminToken", description="The value of IG_PIPELINE_ADMIN_TOKEN."
)

Bearer = HTTPAuthorizationCredentials | None


async def reader(request: Request, services: Services, _token: Annotated[Bearer, Depends(api_bearer)]) -> None:
    """Who brings the API token or the admin's, has signed in, or sits at this machine when there is no token.

    A cookie alone changes nothing: browsers send it along for whatever page asks.
    """
    if services.access.may_read(request):
        return
    cookie = session_of(request, READER, https=services.https)
    if cookie is not None and request.method in WITHOUT_EFFECT and await _is_open(services, cookie):
        return
    if cookie is not None or bearer_of(request) is not None:
        count(request, services, "token")
    raise Problem(
        401,
        "token_missing",
        "This needs the API token.",
        "Send `Authorization: Bearer …` with the value of IG_PIPELINE_API_TOKEN.",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def admin(request: Request, services: Services, _token: Annotated[Bearer, Depends(admin_bearer)]) -> None:
    """Who brings the admin token; no one when there is none. No cookie stands for it."""
    if services.access.is_admin(request):
        return
    if bearer_of(request) is not None:
        count(request, services, "token")
    if not services.access.has_admin:
        raise Problem(403, "admin_off", "There is no admin here.", "Set IG_PIPELINE_ADMIN_TOKEN and start again.")
    raise Problem(
        401,
        "token_missing",
        "This needs the admin token.",
        "Send `Authorization: Bearer …` with the value of IG_PIPELINE_ADMIN_TOKEN.",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def own_page(request: Request, services: Services) -> None:
    """A form on a page of ours, filled in by the person who looks at it."""
    if not services.names.is_from_own_page(request.headers):
        raise Problem(
            403,
            "not_our_page",
            "This has to come from a page of this service.",
            "Open /connect here; an app sends people to a start link that it has signed.",
        )


def count(request: Request, services: WebServices, purpose: Purpose) -> None:
    """Count a request that proves nothing. Raises `Problem` when its network has made too many for this purpose."""
    if not services.rate_limit.allows(purpose, caller_of(request)):
        raise Problem(
            429,
            "too_many_requests",
            "Too many requests.",
            "Wait a minute, then try again.",
            headers={"Retry-After": "60"},
        )


async def _is_open(services: WebServices, cookie: str) -> bool:
    return services.sessions is not None and await run_in_threadpool(services.sessions.is_open, cookie)
