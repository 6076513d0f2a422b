"""Checks of who can reach the web service and Dagster's UI, for `doctor`: tokens, addresses, proxies. From settings."""

from collections.abc import Iterator

from ig_pipeline.cli.findings import Finding, fail, ok, warn
from ig_pipeline.settings import Settings, is_loopback
from ig_pipeline.web.access import AddressRefusedError, check_exposure, check_ui_exposure
from ig_pipeline.web.origins import host_of

_WEB, _UI, _PROXY, _LINKS = "web service", "Dagster's UI", "reverse proxy", "start links"


def check_web(settings: Settings) -> Iterator[Finding]:
    """Each service starts with these settings, and limits fall on those who deserve them."""
    try:
        check_exposure(settings)
    except AddressRefusedError as error:
        yield fail(_WEB, str(error), "Set IG_PIPELINE_API_TOKEN, or make it this machine's alone.")
    else:
        who = "its token" if settings.api_token else "nothing: it is for this machine alone"
        yield ok(_WEB, f"{settings.effective_public_url}, reading needs {who}")
    try:
        check_ui_exposure(settings, "127.0.0.1")
    except AddressRefusedError as error:
        yield fail(_UI, str(error), "Set IG_PIPELINE_ADMIN_TOKEN, or leave IG_PIPELINE_UI_URL empty.")
    else:
        who = "asks for the admin token" if settings.admin_token else "asks for nothing, and listens on loopback only"
        yield ok(_UI, who)
    yield from _check_public(settings)


def _check_public(settings: Settings) -> Iterator[Finding]:
    """What a service that people reach from elsewhere needs besides."""
    if settings.public_url is None or is_loopback(host_of(settings.public_url)):
        return
    if not settings.public_url.startswith("https://"):
        yield warn(_WEB, f"{settings.public_url} is without TLS", "Put a reverse proxy with TLS before it.")
    if not settings.proxy_addresses:
        yield warn(
            _PROXY,
            "people reach the web service at another address than it listens on, and no proxy is named",
            "Set IG_PIPELINE_PROXY_ADDRESSES to the proxy's: without it, all its callers share their limits.",
        )
    else:
        yield ok(_PROXY, settings.proxy_addresses)
    if settings.start_link_key is None:
        yield warn(
            _LINKS,
            "your app cannot sign any, so people confirm their address on a page first",
            "Set IG_PIPELINE_START_LINK_KEY (`openssl rand -hex 32`); docs/web_service.md has the three lines.",
        )
    else:
        yield ok(_LINKS, "signed by your app")
