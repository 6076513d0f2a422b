"""Where Meta's hosts lie: five of them in earnest, one when all are to be at one address.

Only addresses and paths without secrets; who calls them is decided in `client` and `oauth`.
"""

from dataclasses import dataclass
from typing import Literal

Login = Literal["facebook", "instagram"]


@dataclass(frozen=True)
class MetaHosts:
    """Base addresses without a trailing slash, and the Graph version of versioned paths (`v25.0`)."""

    facebook_graph: str = "https://graph.facebook.com"
    facebook_dialog: str = "https://www.facebook.com"
    instagram_graph: str = "https://graph.instagram.com"
    instagram_api: str = "https://api.instagram.com"
    instagram_dialog: str = "https://www.instagram.com"
    version: str = "v25.0"

    @classmethod
    def at(cls, graph_url: str | None, version: str) -> "MetaHosts":
        """Meta's own hosts, or every one of them at `graph_url`."""
        if graph_url is None:
            return cls(version=version)
        url = graph_url.rstrip("/")
        return cls(url, url, url, url, url, version)

    def graph(self, login: Login, path: str) -> str:
        """The versioned Graph address of `path` (`/17841…/insights`) for the login's own host."""
        base = self.facebook_graph if login == "facebook" else self.instagram_graph
        return f"{base}/{self.version}/{path.lstrip('/')}"
