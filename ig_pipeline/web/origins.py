"""What a request says about its way here: the name it calls us by, the page that sent it, the proxies it passed.

Pure: headers in, yes or no out. What follows from it is decided in `guards` and in Dagster's gate.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from ig_pipeline.settings import is_loopback

FORWARDING_HEADERS = (
    "forwarded",
    "via",
    "x-forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-forwarded-for",
    "x-original-host",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
    "cdn-loop",
)
"""What reverse proxies, load balancers and tunnels add to what they pass on."""

WITHOUT_EFFECT = ("GET", "HEAD")
"""Methods that ask and change nothing."""

_HOST = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}))(?::\d{1,5})?"
)
_UNSPECIFIED = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def name_of(host: str) -> str | None:
    """The name or address in a Host header, in lower case, without port and brackets; None when it is no host."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    if found["address"] is None:
        return found["name"].lower()
    try:
        return str(ipaddress.IPv6Address(found["address"]))
    except ValueError:
        return None


def host_of(url: str) -> str:
    """The host of an http(s) address of ours, in lower case."""
    return (urlsplit(url).hostname or "").lower()


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy passed the request on."""
    return any(name in headers for name in FORWARDING_HEADERS)


@dataclass(frozen=True)
class Names:
    """The names one service goes by, and which origins are its own pages."""

    known: frozenset[str]
    """Besides loopback, which is always known."""
    url: str
    """Where people reach it."""

    @classmethod
    def of(cls, url: str, *more: str | Iterable[str]) -> "Names":
        """The service people reach at `url`, with `more` names; addresses that mean every interface are no names."""
        given = [host_of(url)]
        for item in more:
            given.extend([item] if isinstance(item, str) else item)
        return cls(frozenset(name.lower() for name in given if name not in _UNSPECIFIED), url.rstrip("/"))

    @classmethod
    def of_this_machine(cls, url: str) -> "Names":
        """Loopback and nothing else: the service of people who sit at this machine."""
        return cls(frozenset(), url.rstrip("/"))

    @property
    def https(self) -> bool:
        """Whether people reach it over TLS."""
        return self.url.startswith("https://")

    def includes(self, headers: Headers) -> bool:
        """Whether the request calls the service by one of its names. Two Host headers are none."""
        given = headers.getlist("host")
        name = name_of(given[0]) if len(given) == 1 else None
        return name is not None and (name in self.known or is_loopback(name))

    def is_own(self, origin: str, headers: Headers) -> bool:
        """Whether `origin` (an Origin header) is a page of this service, as people reach it or as this request did."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
            return False
        if _origin(origin) == _origin(self.url):
            return True
        host = headers.get("host", "")
        if parts.netloc.lower() != host.lower():
            return False
        # Where people come over TLS, a page that came without it may be anyone's who sits on the line.
        return parts.scheme == "https" or not self.https or is_loopback(name_of(host) or "")

    def is_foreign(self, method: str, headers: Headers) -> bool:
        """Whether a page of another site made a browser send this. A link that is followed is not foreign.

        Browsers name the page's origin with everything that could change something, and current ones also say with
        every request how the page is related to us, which no page can forge. Programs say neither.
        """
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        if origin is not None and not self.is_own(origin, headers) and (origin, site) != ("null", "same-origin"):
            return True
        if site in (None, "same-origin", "none"):
            return False
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return method not in WITHOUT_EFFECT or not followed

    def is_from_own_page(self, headers: Headers) -> bool:
        """Whether a page of this service sent it: known for sure, not only not excluded."""
        if headers.get("sec-fetch-site") == "same-origin":
            return True
        origin = headers.get("origin")
        return origin is not None and "sec-fetch-site" not in headers and self.is_own(origin, headers)


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, the default one written out."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, (parts.hostname or "").lower(), port
