"""What Meta tells without a token: that it answers from here, what time it has, and whether it serves a version.

One look for `doctor`: no retries, short time-out. Real work goes through `client`.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from ig_pipeline.bounded_answers import ACCEPT, Received, UnusableAnswerError, read
from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.answers import read_answer
from ig_pipeline.graph_api.errors import GraphError, UnreachableError
from ig_pipeline.graph_api.hosts import Login, MetaHosts

_TIMEOUT_S = 6.0
# How Meta asks for a token: in 2500 for `/me`, in 104 for anything else. The path was understood, the version with it.
_ASKS_FOR_A_TOKEN = frozenset({104, 190, 2500})
_UNKNOWN_PATH = "Unknown path components"  # also 2500


@dataclass(frozen=True)
class Sighting:
    """An answer, whatever it says.

    `ahead_s`: by how much our clock is ahead of Meta's; None without a Date header. `serves_version`: whether Meta
    knows the version that was asked for; None when the answer does not tell. It knows dead versions as well, and
    serves another in their place (docs/graph_api.md#versions).
    """

    host: str
    milliseconds: int
    ahead_s: float | None
    serves_version: bool | None


def look(
    hosts: MetaHosts, login: Login, *, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> Sighting:
    """Ask the login's Graph host who we are, without a token. Raises `UnreachableError`.

    Any status will do: without a token Meta answers 400, and that is an answer.
    """
    url = httpx.URL(hosts.graph(login, "me"))
    try:
        received, took = asyncio.run(_ask(url, transport))
    except UnusableAnswerError as error:
        raise UnreachableError(
            f"{url.host} does not answer as Meta does: {error} Check the Graph API's address."
        ) from None
    except (httpx.HTTPError, TimeoutError) as error:
        raise UnreachableError(
            f"{url.host} does not answer ({type(error).__name__}). Check network, proxy and the Graph API's address."
        ) from None
    now = clock()
    return Sighting(url.host, round(took * 1000), _ahead(received, took, now), _serves_version(received, now))


def newest_served(
    hosts: MetaHosts,
    login: Login,
    versions: Iterable[str],
    *,
    clock: Clock,
    transport: httpx.AsyncBaseTransport | None = None,
) -> str | None:
    """The first of `versions` that Meta serves, asked for one by one; None when none is, or Meta stops answering."""
    for version in versions:
        try:
            seen = look(replace(hosts, version=version), login, clock=clock, transport=transport)
        except UnreachableError:
            return None
        if seen.serves_version:
            return version
    return None


async def _ask(url: httpx.URL, transport: httpx.AsyncBaseTransport | None) -> tuple[Received, float]:
    """The answer and the seconds it took."""
    began = time.monotonic()
    async with (
        asyncio.timeout(_TIMEOUT_S),
        httpx.AsyncClient(timeout=_TIMEOUT_S, transport=transport) as http,
        http.stream("GET", url, headers=ACCEPT) as answer,
    ):
        return await read(answer), time.monotonic() - began


def _serves_version(received: Received, now: datetime) -> bool | None:
    try:
        read_answer(received, now=now)
    except GraphError as error:
        if _UNKNOWN_PATH in str(error):
            return False
        return True if error.origin.code in _ASKS_FOR_A_TOKEN else None
    return None


def _ahead(received: Received, took: float, now: datetime) -> float | None:
    try:
        theirs = parsedate_to_datetime(received.headers["date"])
    except (KeyError, ValueError, OverflowError):
        return None
    if theirs.tzinfo is None:  # "-0000": a time of nowhere
        return None
    # The header has whole seconds and was written half a journey ago.
    return (now - theirs).total_seconds() - took / 2 - 0.5
