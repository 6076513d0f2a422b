"""`ig-pipeline web`: the web service, until Ctrl-C. What it serves is in `ig_pipeline.web`.

`up` and `demo` start the same command as one of their processes.
"""

import gc
import logging
import socket

import click
import uvicorn

from ig_pipeline.cli.children import PortInUseError, require_free
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.web.access import AddressRefusedError, check_exposure
from ig_pipeline.web.app import create_app
from ig_pipeline.web.serving import server_config


@click.command("web")
@click.option("--host", help="Address to listen on. Default: IG_PIPELINE_WEB_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. Default: IG_PIPELINE_WEB_PORT.")
def web(host: str | None, port: int | None) -> None:
    """Serve consent, status, timeline and the pages until Ctrl-C.

    \b
    Without IG_PIPELINE_API_TOKEN it is for this machine alone: on loopback, behind no
    proxy. `up` and `demo` run it too.

    \b
    Examples:
      ig-pipeline web
      IG_PIPELINE_API_TOKEN=… IG_PIPELINE_PUBLIC_URL=https://insights.example.com ig-pipeline web --host 0.0.0.0
    """
    settings = load_settings()
    given = {"web_host": host, "web_port": port}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    # The service's log is this command's output, with and without --verbose.
    logging.getLogger("ig_pipeline").setLevel(logging.INFO)
    try:
        check_exposure(settings)
        require_free(settings.web_host, settings.web_port)
        bound = _listen(settings)
        if settings.web_port == 0:
            settings = settings.model_copy(update={"web_port": bound.getsockname()[1]})
        app = create_app(settings)
    except (AddressRefusedError, PortInUseError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    click.echo(f"Web service: {settings.effective_public_url}  (Ctrl-C stops it)")
    config = server_config(
        app, settings, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=5
    )
    _Server(config).run(sockets=[bound])


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the parent does, then leave to the collector only what requests make.

        Whenever it went through the 143,000 objects of the loaded service, requests waited 80 to 140 ms.
        """
        await super().startup(sockets)
        gc.freeze()


def _listen(settings: Settings) -> socket.socket:
    """A bound socket: the system may choose the port, which is known before the first request."""
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((settings.web_host, settings.web_port))
    return bound
