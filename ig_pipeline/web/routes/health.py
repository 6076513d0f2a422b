"""Whether the service lives, is ready, and what it counts. The first two need no token: probes have none."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from ig_pipeline.storage.database import DatabaseError, pending_migrations
from ig_pipeline.web.gates import reader
from ig_pipeline.web.large_answers import in_pieces
from ig_pipeline.web.monitoring import MEDIA_TYPE, exposition
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.services import Services, WebServices
from ig_pipeline.web.shapes import Health

router = APIRouter(tags=["operations"])


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
def readyz(services: Services) -> Response:
    """The database answers, its tables are up to date, the keys are there."""
    checks = {"database": "ok", "migrations": "ok", "keys": "ok", **_database(services)}
    failing = any(value != "ok" for value in checks.values())
    health = Health(status="failing" if failing else "ok", checks=checks)
    return JSONResponse(health.model_dump(), 503 if failing else 200)


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
