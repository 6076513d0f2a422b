"""Whether Meta answers from this machine, and what time it has there. Asks without a token and reads no body.

One look for `doctor`: no retries, short patience. Real work goes through `client`.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.errors import UnreachableError
from ig_pipeline.graph_api.hosts import Login, MetaHosts

_PATIENCE_S = 6.0


@dataclass(frozen=True)
class Sighting:
    """An answer, whatever it says. `ahead_s`: by how much our clock is ahead of Meta's; None without a Date header."""

    host: str
    milliseconds: int
    ahead_s: float | None


def look(hosts: MetaHosts, login: Login, *, clock: Clock, transport: httpx.BaseTransport | None = None) -> Sighting:
    """Ask the login's Graph host for anything. Raises `UnreachableError`.

    Any status will do: without a token Meta answers 400, and that is an answer.
    """
    url = httpx.URL(hosts.graph(login, ""))
    try:
        with httpx.Client(timeout=_PATIENCE_S, transport=transport) as http:
            answer = http.get(url)
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"{url.host} does not answer ({type(error).__name__}). Check network, proxy and IG_PIPELINE_GRAPH_URL."
        ) from None
    return Sighting(url.host, round(answer.elapsed.total_seconds() * 1000), _ahead(answer, clock()))


def _ahead(answer: httpx.Response, now: datetime) -> float | None:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return None
    # The header has whole seconds and was written half a journey ago.
    return (now - theirs).total_seconds() - answer.elapsed.total_seconds() / 2 - 0.5
