"""Dependencies of routes: open to the public, to readers, to admins.

All three are `async`, so that they run in the event loop: a hop to a thread would cost more than the check.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import Services

api_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="apiToken",
    description="The value of IG_PIPELINE_API_TOKEN. Not needed where none is set: then the service is on loopback.",
)
admin_bearer = HTTPBearer(
    auto_error=False, scheme_name="adminToken", description="The value of IG_PIPELINE_ADMIN_TOKEN."
)

Bearer = HTTPAuthorizationCredentials | None


async def public(request: Request, services: Services) -> None:
    """Anybody, but not too often."""
    _count(request, services)


async def reader(request: Request, services: Services, _token: Annotated[Bearer, Depends(api_bearer)]) -> None:
    """Whoever knows the API token, or sits at this machine when there is none."""
    if services.access.may_read(request):
        return
    _count(request, services)
    raise Problem(
        401,
        "token_missing",
        "This needs the API token.",
        "Send `Authorization: Bearer …` with the value of IG_PIPELINE_API_TOKEN.",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def admin(request: Request, services: Services, _token: Annotated[Bearer, Depends(admin_bearer)]) -> None:
    """Whoever knows the admin token; nobody when there is none."""
    if services.access.is_admin(request):
        return
    _count(request, services)
    if not services.access.has_admin:
        raise Problem(403, "admin_off", "There is no admin here.", "Set IG_PIPELINE_ADMIN_TOKEN and start again.")
    raise Problem(
        401,
        "token_missing",
        "This needs the admin token.",
        "Send `Authorization: Bearer …` with the value of IG_PIPELINE_ADMIN_TOKEN.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _count(request: Request, services: Services) -> None:
    caller = request.client.host if request.client else "unknown"
    if not services.rate_limit.allows(caller):
        raise Problem(
            429,
            "too_many_requests",
            "Too many requests.",
            "Wait a minute, then try again.",
            headers={"Retry-After": "60"},
        )
