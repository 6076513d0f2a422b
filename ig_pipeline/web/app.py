"""Puts the service together: routes, guards, refusals, documents, and the services while it runs.

Nothing is opened before the server starts it, so an app can be made to read its documents alone.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import httpx
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ig_pipeline.charts.svg import warm_up
from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.hosts import MetaHosts
from ig_pipeline.redaction import quiet_chatty_loggers
from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import POOL_SIZE
from ig_pipeline.web import openapi, problems
from ig_pipeline.web.access import Access, check_exposure, web_names
from ig_pipeline.web.guards import Guards
from ig_pipeline.web.pages import STATIC
from ig_pipeline.web.routes import admin, connections, health, meta, pages, people, timeline
from ig_pipeline.web.services import open_web_services

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    transport: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The service of `settings`. Raises `AddressRefusedError` where it would be open to others without a token."""
    check_exposure(settings)
    quiet_chatty_loggers()
    access = Access(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_web_services(settings, access=access, clock=clock, transport=transport) as services:
            app.state.services, app.state.readiness = services, health.Readiness()
            # Routes run on threads, and each holds a connection: more of them than connections would open and close
            # one per request just when there is a rush.
            current_default_thread_limiter().total_tokens = POOL_SIZE
            await run_in_threadpool(warm_up)
            yield

    app = FastAPI(
        title=openapi.TITLE,
        version=version("ig-pipeline"),
        lifespan=lifespan,
        # Their pages load scripts from a CDN, which our policy forbids and nobody needs to read a document.
        docs_url=None,
        redoc_url=None,
        # A redirect to the other spelling would lead to whatever name the caller gave us.
        redirect_slashes=False,
    )
    problems.install(app)
    modules = (connections, timeline, people, meta, health, admin, pages)
    openapi.install(app, [module.router for module in modules])
    app.mount("/static", _KeptFiles(directory=STATIC), name="static")
    hosts = MetaHosts.at(settings.graph_url, settings.graph_version)
    app.add_middleware(
        Guards,
        names=web_names(settings),
        for_this_machine=access.open,
        dialog_hosts=(hosts.facebook_dialog, hosts.instagram_dialog),
    )
    if access.open:
        log.info("No IG_PIPELINE_API_TOKEN: everyone on this machine may read, and no one else reaches the service.")
    return app


class _KeptFiles(StaticFiles):
    """Our files' addresses change with their content: a browser may keep them."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:  # noqa: ANN401  # the parent's business
        response = super().file_response(*arguments, **options)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
