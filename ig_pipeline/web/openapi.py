"""The two OpenAPI documents: the public one, and the one with the admin's endpoints, which is not served.

Every status a route can answer with is named where the route is defined.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from ig_pipeline.web.problems import MEDIA_TYPE, ProblemAnswer

TITLE = "ig-pipeline"
DESCRIPTION = (
    "Connect Instagram professional accounts, see how they are, read their history. "
    "Days are Instagram's: midnight to midnight in America/Los_Angeles. "
    "Whatever is refused is answered in the form of RFC 9457; `type` names the reason and never changes."
)

_MEANINGS = {
    400: "Refused; `type` says why.",
    401: "The token is missing or wrong.",
    403: "Not allowed; `type` says why.",
    404: "There is no such thing.",
    409: "Not in this state; `type` says why.",
    410: "Too late.",
    413: "The request's body is too large.",
    414: "The address is too long.",
    415: "The body has another type than was asked for.",
    422: "The request is incomplete or invalid.",
    429: "Too many requests; `Retry-After` says when again.",
    502: "Meta did not answer, or refused.",
    503: "The database or the set-up is not ready.",
}
# Refused before any route is reached: a foreign name, a body or an address beyond all measure.
_ANYWHERE = (400, 413, 414)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its `responses`."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}}},
        }
        for status in sorted({*_ANYWHERE, *statuses})
    }


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Include `routers`, and serve the public document of those that are no pages at `/openapi.json`."""
    app.state.api_routes = []
    for router in routers:
        app.include_router(router)
        app.state.api_routes.extend(
            route for route in router.routes if isinstance(route, APIRoute) and "pages" not in route.tags
        )

    def public() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, [route for route in _api(app) if route.include_in_schema])
        return app.openapi_schema

    app.openapi = public  # type: ignore[method-assign]  # FastAPI's documented way


def _api(app: FastAPI) -> list[APIRoute]:
    return list(app.state.api_routes)


def _document(app: FastAPI, routes: list[APIRoute]) -> dict[str, Any]:
    document = get_openapi(title=TITLE, version=app.version, description=DESCRIPTION, routes=routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas[ProblemAnswer.__name__] = ProblemAnswer.model_json_schema()
    return document
