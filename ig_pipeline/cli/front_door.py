"""The web service as a process of `up` and `demo`: started beside Dagster, stopped with it.

The command itself is in `web`, what it serves in `ig_pipeline.web`.
"""

import sys
import urllib.error
import urllib.request

from ig_pipeline.cli.children import Children
from ig_pipeline.cli.dagster_home import environment
from ig_pipeline.cli.ports import free_port, is_free, local_address, require_free
from ig_pipeline.settings import Settings

_STARTS_WITHIN = 60.0


def with_free_port(settings: Settings) -> Settings:
    """The settings with a port that can be used: the default one may move, one that was chosen may not.

    Raises `PortInUseError` for a chosen one, which is part of an address registered with Meta.
    """
    default = Settings.model_fields["web_port"].default
    if is_free(settings.web_host, settings.web_port):
        return settings
    if settings.web_port == default and settings.public_url is None:
        return settings.model_copy(update={"web_port": free_port(settings.web_host)})
    require_free(settings.web_host, settings.web_port, option="IG_PIPELINE_WEB_PORT")
    return settings


def start_web(children: Children, settings: Settings) -> str:
    """Start `ig-pipeline web` and return its address once it answers. Raises `ChildDiedError`."""
    command = [sys.executable, "-m", "ig_pipeline.cli", "web"]
    children.start("web", command, env=environment(settings, "web"), folder=settings.home)
    local = local_address(settings.web_host, settings.web_port)
    children.wait_until(lambda: _answers(f"{local}/healthz"), "The web service", within=_STARTS_WITHIN)
    return settings.effective_public_url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
