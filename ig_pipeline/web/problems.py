"""Answers to what went wrong: one shape for programs (RFC 9457), one page for people, never a stack trace.

A refusal is raised as `Problem` where it is noticed and becomes an answer here, once.
Nothing a caller sent is echoed: it may be a secret.
"""

import logging
from collections.abc import Mapping

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.web.negotiation import wants_page
from ig_pipeline.web.pages import problem_page

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ProblemAnswer(BaseModel):
    """What went wrong, for a program (`type`), for its log (`title`), and what to do (`detail`)."""

    type: str
    title: str
    status: int
    detail: str


class Problem(Exception):  # noqa: N818  # not an error of ours: an answer
    """A request that is refused. `kind` is for programs and never changes; `detail` says what to do."""

    def __init__(
        self, status: int, kind: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(title)
        self.answer = ProblemAnswer(type=kind, title=title, status=status, detail=detail)
        self.headers = dict(headers or {})


def respond(request: Request, problem: Problem) -> Response:
    """The problem as a page for a browser, as JSON for everybody else."""
    if wants_page(request):
        return problem_page(request, problem.answer, headers=problem.headers)
    return JSONResponse(
        problem.answer.model_dump(), problem.answer.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Map every exception that can leave a route."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DatabaseError, _database)
    app.add_exception_handler(sa.exc.OperationalError, _database)
    app.add_exception_handler(sa.exc.TimeoutError, _database)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors())
    return respond(request, Problem(422, "invalid_request", "The request is not complete or not valid.", wrong))


_TITLES = {
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This address works otherwise."),
    413: ("too_large", "The request's body is too large."),
}


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind, title = _TITLES.get(error.status_code, ("refused", "The request was refused."))
    detail = "Check the address." if error.status_code == 404 else str(error.detail)
    return respond(request, Problem(error.status_code, kind, title, detail, headers=error.headers))


async def _database(request: Request, error: Exception) -> Response:
    # The class alone: a driver's message may hold the host, the user or a statement.
    log.error("The database did not answer a request: %s", type(error).__name__)
    return respond(request, unavailable())


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("A request to %s failed: %s", request.url.path, type(error).__name__)
    return respond(
        request,
        Problem(500, "internal", "Something went wrong on our side.", "Try again; the operator finds it in the log."),
    )


def unavailable() -> Problem:
    """The database is away for a moment."""
    return Problem(
        503,
        "database_unavailable",
        "The database does not answer.",
        "Try again in a few seconds. Nothing was stored.",
        headers={"Retry-After": "5"},
    )
