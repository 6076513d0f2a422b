"""Dagster's real web server over an instance with some green cells, behind the gate or bare, on a socket of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from ig_pipeline.dagster_ui.__main__ import gated
from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.web.serving import server_config
from ig_pipeline_tests.web.front_door import ADMIN_TOKEN, listening

CELLS = 30
ASSET = dg.AssetKey("cells")
COUNT = "{version}"
WIPE = 'mutation{wipeAssets(assetPartitionRanges:[{assetKey:{path:["cells"]}}]){__typename}}'


@dataclass
class Site:
    """A UI that is served, and what its Dagster knows."""

    address: str
    instance: dg.DagsterInstance
    client: httpx.Client
    settings: Settings

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def cells(self) -> int:
        """How many cells are green."""
        return len(self.instance.get_materialized_partitions(ASSET))

    def fill(self) -> None:
        """Make them all green."""
        for day in range(CELLS):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=f"acme|{day}"))

    def ask(self, query: str, **headers: str) -> httpx.Response:
        """GraphQL as the UI's own page asks."""
        own = {"Origin": self.address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        return self.client.post("/graphql", json={"query": query}, headers={**own, **headers})


@contextmanager
def dagster_app(folder: Path) -> Iterator[tuple[dg.DagsterInstance, Starlette]]:
    """Dagster's own app, with nothing loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        dg.DagsterInstance.local_temp(str(folder)) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
    ):
        yield instance, create_app_from_workspace_process_context(context)


@contextmanager
def site(folder: Path, *, behind_a_gate: bool = True, **settings: Any) -> Iterator[Site]:
    """The UI as `up` serves it with `settings`; `behind_a_gate=False`: as Dagster serves it."""
    with ExitStack() as stack:
        instance, app = stack.enter_context(dagster_app(folder / "dagster"))
        bound = stack.enter_context(listening())
        port = bound.getsockname()[1]
        configured = Settings(data_dir=folder, **settings)
        if configured.admin_token is not None:
            engine = open_engine(configured.effective_database_url)
            migrate(engine)
            engine.dispose()
        served: ASGIApp = app
        if behind_a_gate:
            served = stack.enter_context(gated(app, configured, host="127.0.0.1", port=port))
        server = uvicorn.Server(server_config(served, configured, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True, name="ui")
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        stack.callback(thread.join, 10)
        stack.callback(setattr, server, "should_exit", True)
        address = f"http://127.0.0.1:{port}"
        client = stack.enter_context(httpx.Client(base_url=address, timeout=60))
        built = Site(address, instance, client, configured)
        built.fill()
        yield built


SIGNED_IN: dict[str, Any] = {"admin_token": SecretStr(ADMIN_TOKEN)}
