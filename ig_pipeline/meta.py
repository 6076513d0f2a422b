"""Meta as our settings describe it: the client and the app, and which setting an error of Meta's is about.

The client (`graph_api`) knows no settings; whoever needs one of ours gets it here.
"""

import httpx

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.graph_api.hosts import MetaHosts
from ig_pipeline.graph_api.oauth import MetaApp, TokenRefresher
from ig_pipeline.graph_api.versions import SOURCE, VersionWarning
from ig_pipeline.settings import PREFIX, Settings


def graph_client(
    settings: Settings, *, clock: Clock = utc_now, transport: httpx.AsyncBaseTransport | None = None
) -> GraphClient:
    """The client that the settings describe."""
    return GraphClient(hosts(settings), app_secret=settings.app_secret, clock=clock, transport=transport)


def hosts(settings: Settings) -> MetaHosts:
    """Where Meta is: its own addresses unless the settings name another."""
    return MetaHosts.at(settings.graph_url, settings.graph_version)


def app_of(settings: Settings) -> MetaApp | None:
    """The Meta app, None when its id or its secret is not set."""
    if not settings.app_id or not settings.app_secret:
        return None
    return MetaApp(settings.app_id, settings.app_secret)


def refresher(client: GraphClient, settings: Settings) -> TokenRefresher:
    """What renews the vault's tokens."""
    return TokenRefresher(client, app_of(settings))


def sentence_of(error: Exception) -> str:
    """The error's sentence, with the settings that it is about. Not redacted."""
    if not isinstance(error, GraphError) or not error.about:
        return str(error)
    return f"{error} ({', '.join(PREFIX + name.upper() for name in error.about)})"


def advice_on(warning: VersionWarning) -> str:
    """What to do about the version of the Graph API."""
    return f"Set {PREFIX}GRAPH_VERSION to {warning.move_to}. See {SOURCE}."
