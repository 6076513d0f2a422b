"""Whether the service lives, is ready, and what it counts. The first two need no token: probes have none."""

import asyncio
import logging
import time

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from ig_pipeline.storage.database import DatabaseError, pending_migrations, reading
from ig_pipeline.vault.cipher import KeyRingError
from ig_pipeline.vault.token_vault import check_ring
from ig_pipeline.web.gates import reader
from ig_pipeline.web.large_answers import in_pieces
from ig_pipeline.web.monitoring import MEDIA_TYPE, exposition
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.services import Services, WebServices
from ig_pipeline.web.shapes import Health

log = logging.getLogger(__name__)

router = APIRouter(tags=["operations"])

_KEPT_S = 1.0


@router.get("/healthz", response_model=Health, responses=refusals(), summary="Is the process alive")
async def healthz() -> Health:
    """Asks nobody."""
    return Health(status="ok", checks={})


@router.get(
    "/readyz",
    response_model=Health,
    responses=refusals() | {503: {"model": Health, "description": "Something is not ready; `checks` says what."}},
    summary="Can it work",
)
async def readyz(request: Request, services: Services) -> Response:
    """The database answers, its tables are up to date, the keys open what is stored; once a second at most."""
    health = await request.app.state.readiness.of(services)
    return JSONResponse(health.model_dump(), 503 if health.status == "failing" else 200)


class Readiness:
    """What is ready, looked at once for all who ask within a second or while a look takes its time.

    Anyone may ask, as often as they like; a look takes eight milliseconds, or minutes when the database hangs.
    """

    def __init__(self) -> None:
        self._look: asyncio.Task[Health] | None = None
        self._began = 0.0

    async def of(self, services: WebServices) -> Health:
        """The newest look, or one that is under way."""
        now = time.monotonic()
        if self._look is None or (self._look.done() and now - self._began > _KEPT_S):
            self._look, self._began = asyncio.create_task(run_in_threadpool(_ready, services)), now
        return await asyncio.shield(self._look)


def _ready(services: WebServices) -> Health:
    checks = {"database": "ok", "migrations": "ok", "keys": "ok", **_database(services)}
    if checks["database"] == checks["migrations"] == "ok":
        checks["keys"] = _keys(services)
    failing = any(value != "ok" for value in checks.values())
    return Health(status="failing" if failing else "ok", checks=checks)


@router.get(
    "/metrics",
    dependencies=[Depends(reader)],
    response_class=Response,
    responses=refusals(401, 429, 503)
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text form."}},
    summary="Numbers for Prometheus",
)
def metrics(services: Services) -> Response:
    """Requests to Meta, rows, ages, queues and failures, over all processes: everything is read from the database."""
    return in_pieces(
        exposition(services.engine, now=services.clock(), window_days=services.settings.nightly_window_days),
        media_type=MEDIA_TYPE,
    )


def _database(services: WebServices) -> dict[str, str]:
    try:
        pending = pending_migrations(services.engine)
    except DatabaseError:
        return {"database": "does not answer", "migrations": "unknown"}
    return {"migrations": f"pending: {', '.join(pending)}"} if pending else {}


def _keys(services: WebServices) -> str:
    try:
        with reading(services.engine) as db:
            check_ring(db, services.keys)
    except KeyRingError as error:
        # Paths and fingerprints are for the operator: this address answers everyone.
        log.error("[KEYS] %s", error)  # noqa: TRY400 - the sentence says it all
        return "cannot be used, the log says why"
    except (DatabaseError, sa.exc.SQLAlchemyError):
        return "unknown"
    return "ok"
