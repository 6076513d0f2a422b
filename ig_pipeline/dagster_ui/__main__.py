"""`python -m ig_pipeline.dagster_ui`: Dagster's web server behind the gate, as `up` and `demo` start it.

Does what `dagster-webserver` does with the same arguments; the app it serves is wrapped before it listens.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import uvicorn
from dagster import DagsterInstance
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.types import ASGIApp

from ig_pipeline.clock import utc_now
from ig_pipeline.dagster_internals.workspace import configure_loggers, open_workspace
from ig_pipeline.dagster_ui.gate import Gate
from ig_pipeline.dagster_ui.sign_in import TokenSignIn
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.database import open_engine
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.web.access import check_ui_exposure, ui_names
from ig_pipeline.web.serving import server_config
from ig_pipeline.web.sessions import Sessions

# dagster-webserver's own defaults: a statement's and a pooled connection's longest life, connections beyond the pool,
# and how often the UI looks for news.
_STATEMENT_TIMEOUT_MS = 15_000
_POOL_RECYCLE_S = 3600
_MAX_OVERFLOW = 20
_LIVE_DATA_POLL_MS = 2000
# Browsers keep WebSockets open as long as they may.
_GRACE_S = 2


@contextmanager
def gated(app: ASGIApp, settings: Settings, *, host: str, port: int) -> Iterator[ASGIApp]:
    """`app` behind the gate that the settings ask for.

    Raises `AddressRefusedError`, `DatabaseError`, `KeyRingError`.
    """
    check_ui_exposure(settings, host)
    names = ui_names(settings, host=host, port=port)
    if settings.admin_token is None:
        yield Gate(app, names=names, sign_in=None)
        return
    engine = open_engine(settings.effective_database_url)
    try:
        # Not the ring of the tokens: this process has no business with them, and need not be able to read them.
        keys = KeyRing.of_file(settings.home / "keys" / "operators.key")
        sessions = Sessions(engine, keys, role="operator", token=settings.admin_token, clock=utc_now)
        yield Gate(app, names=names, sign_in=TokenSignIn(settings, sessions=sessions, https=names.https))
    finally:
        engine.dispose()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("-w", "--workspace", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
def main(host: str, port: int, workspace: Path) -> None:
    """Serve Dagster's UI for the instance in DAGSTER_HOME until a signal."""
    settings = load_settings(env_file=None)
    configure_loggers()
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_S, _MAX_OVERFLOW)
        with open_workspace(instance, workspace, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, "", _LIVE_DATA_POLL_MS)
            with gated(app, settings, host=host, port=port) as behind_the_gate:
                logging.getLogger("dagster-webserver").info("Serving Dagster's UI on %s:%d", host, port)
                config = server_config(
                    behind_the_gate,
                    settings,
                    host=host,
                    port=port,
                    log_level="warning",
                    timeout_graceful_shutdown=_GRACE_S,
                )
                uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
