"""What the routes work with, opened once per process: database, keys, Meta, clock and the rules of who may.

A plain object handed to each request; no route opens anything by itself.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx
import sqlalchemy as sa
from fastapi import Depends, Request

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.meta import graph_client, refresher
from ig_pipeline.settings import Settings
from ig_pipeline.storage import graph_calls
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import TokenVault
from ig_pipeline.web.access import Access, web_names
from ig_pipeline.web.origins import Names
from ig_pipeline.web.rate_limit import RateLimit
from ig_pipeline.web.sessions import Sessions

log = logging.getLogger(__name__)

CALLBACK_PATH = "/v1/connections/instagram/callback"


@dataclass(frozen=True)
class WebServices:
    """One process's share of everything. `vault` and `client` belong to its event loop."""

    settings: Settings
    engine: sa.Engine
    keys: KeyRing
    client: GraphClient
    vault: TokenVault
    access: Access
    names: Names
    sessions: Sessions | None
    """Of browsers that signed in; None where no one has to."""
    rate_limit: RateLimit
    clock: Clock

    @property
    def redirect_uri(self) -> str:
        """The address Meta sends people back to; from the settings alone, never from a request."""
        return f"{self.settings.effective_public_url}{CALLBACK_PATH}"

    @property
    def https(self) -> bool:
        """Whether people reach us over TLS."""
        return self.names.https


@asynccontextmanager
async def open_web_services(
    settings: Settings, *, access: Access, clock: Clock, transport: httpx.AsyncBaseTransport | None
) -> AsyncIterator[WebServices]:
    """Open the database (brought up to date), the keys and the client; close them at the end.

    Raises `DatabaseError`, `KeyRingError`.
    """
    engine = open_engine(settings.effective_database_url)
    try:
        migrate(engine)
        keys = KeyRing.from_settings(settings)
        async with graph_client(settings, clock=clock, transport=transport) as client:
            vault = TokenVault(engine, keys, refresher(client, settings), clock=clock)
            limit = RateLimit(settings.public_requests_per_minute)
            sessions = (
                Sessions(engine, keys, role="reader", token=settings.api_token, clock=clock)
                if settings.api_token
                else None
            )
            try:
                yield WebServices(
                    settings, engine, keys, client, vault, access, web_names(settings), sessions, limit, clock
                )
            finally:
                graph_calls.keep(engine, client.take_outcomes())
    finally:
        engine.dispose()


async def _services(request: Request) -> WebServices:
    services = request.app.state.services
    assert isinstance(services, WebServices)
    return services


Services = Annotated[WebServices, Depends(_services)]
"""A route's parameter: the services of this process."""
