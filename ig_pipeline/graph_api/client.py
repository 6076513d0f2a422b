"""The one place that speaks HTTP to Meta: concurrency, pace, time-outs, retries, and every failure as a `GraphError`.

Knows no metric and no table. Answers are parsed inside the retry, so that a broken one is asked for again.
Tokens travel in the Authorization header; no exception carries a URL, for URLs may carry `appsecret_proof`.
"""

import asyncio
import hashlib
import hmac
import random as randomness
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from ig_pipeline.bounded_answers import ACCEPT, Received, UnusableAnswerError, read
from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.account_memory import AccountMemory
from ig_pipeline.graph_api.answers import Json, read_answer
from ig_pipeline.graph_api.errors import (
    AmbiguousRefusalError,
    GraphError,
    MalformedAnswerError,
    ObjectGoneError,
    RateLimitedError,
    UnreachableError,
)
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.retries import BACKGROUND, INTERACTIVE, GraphRetryPolicy
from ig_pipeline.graph_api.throttle import DEFAULT_LIMITS, Limits, Sleep, Throttle
from ig_pipeline.redaction import quiet_chatty_loggers
from ig_pipeline.retrying import helps_now

T = TypeVar("T")
Parameters = Mapping[str, str | int]

# Meta answers a heavy page in up to half a minute; a connection that takes longer than ten seconds never comes.
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
INTERACTIVE_TIMEOUT = httpx.Timeout(20.0, connect=10.0)
# From the first byte sent to the last one received, in seconds: an answer that trickles keeps no place for ever.
DEADLINE = 180.0
INTERACTIVE_DEADLINE = 20.0
_VERSION = re.compile(r"://[^/]+/(v\d+\.\d+)/")


@dataclass(frozen=True)
class Credentials:
    """For whom a call is made. `account_id`: the professional account (17841…); the token is never printed."""

    account_id: str
    token: SecretStr
    login: Login


@dataclass
class CallMeter:
    """Counts the HTTP calls one piece of work spends, retries included."""

    calls: int = 0


@dataclass(frozen=True)
class Request:
    """One call to one of Meta's hosts.

    `account_id` is who pays for it; empty before an account is known. `interactive`: someone, or a lease, waits for the
    answer: few tries and a short time-out, some 80 seconds at the very worst. `exists`: what is asked about is known to
    exist, so that "does not exist" is no statement but a reason to ask again.
    """

    url: str
    account_id: str = ""
    method: Literal["GET", "POST", "DELETE"] = "GET"
    params: Parameters = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    token: SecretStr | None = field(default=None, repr=False)
    interactive: bool = False
    exists: bool = False


class GraphClient:
    """Asks the Graph API. An async context manager; one for a whole run, so that its limits hold for all accounts.

    `calls_of(account_id)` counts every HTTP call made for an account. `served_version` is the version Meta really
    answered with, once an answer told.
    """

    def __init__(
        self,
        hosts: MetaHosts,
        *,
        app_secret: SecretStr | None = None,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = randomness.random,
        retries: GraphRetryPolicy = BACKGROUND,
        limits: Limits = DEFAULT_LIMITS,
        timeout: httpx.Timeout = TIMEOUT,
        deadline: float = DEADLINE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        quiet_chatty_loggers()
        self.hosts = hosts
        self.clock = clock
        self.served_version: str | None = None
        self._app_secret = app_secret
        self._sleep = sleep
        self._random = random
        self._retries = retries
        self._deadline = deadline
        self._throttle = Throttle(limits, clock=clock, sleep=sleep)
        self._calls: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._failures_in_a_row = 0
        self._memories: dict[str, AccountMemory] = {}
        pool = httpx.Limits(max_connections=limits.overall, max_keepalive_connections=limits.overall)
        self._http = httpx.AsyncClient(timeout=timeout, limits=pool, transport=transport, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def calls_of(self, account_id: str) -> int:
        """HTTP calls made for `account_id` so far, retries included; "" counts those made before one was known."""
        return self._calls[account_id]

    def take_outcomes(self) -> dict[tuple[str, str], int]:
        """HTTP calls by (endpoint, `ok` or the error's class) since this was last asked; for monitoring."""
        taken, self._outcomes = dict(self._outcomes), Counter()
        return taken

    def memory_of(self, account_id: str) -> AccountMemory:
        """What this client has learned an account cannot give."""
        return self._memories.setdefault(account_id, AccountMemory())

    async def get(self, path: str, params: Parameters, *, credentials: Credentials, interactive: bool = False) -> Json:
        """The JSON object at `path`. Raises `GraphError`."""
        return await self.fetch(path, params, credentials=credentials, parse=_unchanged, interactive=interactive)

    async def fetch(
        self,
        path: str,
        params: Parameters,
        *,
        credentials: Credentials,
        parse: Callable[[Json], T],
        meter: CallMeter | None = None,
        exists: bool = False,
        interactive: bool = False,
    ) -> T:
        """`parse` of the JSON object at `path` (`/17841…/media`). Raises `GraphError`. `interactive`: as a `Request`'s.

        `parse` raises `MalformedAnswerError` for an answer that lacks what was promised: it is asked for again.
        `exists`: the object is known to exist, for it was listed a moment ago; the account itself always is.
        """
        own = bool(credentials.account_id) and path.lstrip("/").split("/")[0] == credentials.account_id
        request = Request(
            self.hosts.graph(credentials.login, path),
            account_id=credentials.account_id,
            params={**params, **self.proof(credentials)},
            token=credentials.token,
            exists=exists or own,
            interactive=interactive,
        )
        return await self.send(request, parse=parse, meter=meter)

    async def send(self, request: Request, *, parse: Callable[[Json], T], meter: CallMeter | None = None) -> T:
        """Make a call and try again while that can help. Raises `GraphError`."""

        async def attempt() -> T:
            try:
                found = parse(await self._once(request, meter))
            except GraphError as refused:
                error = _doubted(refused) if request.exists else refused
                self._failures_in_a_row = self._failures_in_a_row + 1 if helps_now(error) else 0
                raise error from None
            self._failures_in_a_row = 0
            return found

        policy = INTERACTIVE if request.interactive else self._retries
        helps = policy.judge(lambda: self._failures_in_a_row)
        return await policy.call(attempt, helps=helps, sleep=self._sleep, random=self._random)

    async def _once(self, request: Request, meter: CallMeter | None) -> Json:
        async with self._throttle.slot(request.account_id):
            self._calls[request.account_id] += 1
            if meter is not None:
                meter.calls += 1
            outcome = "ok"
            try:
                received = await self._exchange(request)
                # While the place is held: those who wait for it must know of a block before they call.
                self._throttle.observe(request.account_id, received.headers)
                answer = read_answer(received, now=self.clock(), account_id=request.account_id)
            except GraphError as error:
                outcome = type(error).__name__
                if isinstance(error, RateLimitedError):
                    self._throttle.block(request.account_id, error)
                raise
            finally:
                self._outcomes[_endpoint(request.url), outcome] += 1
        self._note_version(answer)
        return answer

    async def _exchange(self, request: Request) -> Received:
        headers = dict(ACCEPT)
        if request.token is not None:
            headers["Authorization"] = f"Bearer {request.token.get_secret_value()}"
        try:
            async with (
                asyncio.timeout(min(self._deadline, INTERACTIVE_DEADLINE) if request.interactive else self._deadline),
                self._http.stream(
                    request.method,
                    request.url,
                    params=dict(request.params),
                    data=request.form,
                    headers=headers,
                    timeout=INTERACTIVE_TIMEOUT if request.interactive else httpx.USE_CLIENT_DEFAULT,
                ) as response,
            ):
                return await read(response)
        # `from None`: httpx's exceptions hold the request, and with it secrets.
        except (httpx.TimeoutException, TimeoutError) as error:
            raise UnreachableError(f"Meta did not answer in time ({type(error).__name__}).") from None
        except UnusableAnswerError as error:
            raise MalformedAnswerError(str(error)) from None
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise MalformedAnswerError(f"The answer was cut off ({type(error).__name__}).") from None
        except httpx.TransportError as error:
            raise UnreachableError(
                f"Meta cannot be reached ({type(error).__name__}). Check the network and the Graph API's address."
            ) from None

    def proof(self, credentials: Credentials) -> dict[str, str]:
        """`appsecret_proof`, for Facebook Login when the app's secret is known; it is a secret too.

        See docs/graph_api.md#facebook-login.
        """
        if self._app_secret is None or credentials.login != "facebook":
            return {}
        key, token = self._app_secret.get_secret_value(), credentials.token.get_secret_value()
        return {"appsecret_proof": hmac.new(key.encode(), token.encode(), hashlib.sha256).hexdigest()}

    def _note_version(self, answer: Json) -> None:
        """A dead version is served by a newer one without a word; the links for paging tell which.

        See docs/graph_api.md#versions.
        """
        paging = answer.get("paging")
        link = (paging.get("next") or paging.get("previous")) if isinstance(paging, Mapping) else None
        found = _VERSION.search(link) if isinstance(link, str) else None
        if found:
            self.served_version = found[1]


def _endpoint(url: str) -> str:
    """The last name in a path, `node` for an object's own id: labels of a metric must be few."""
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    return name if name.replace("_", "").isalpha() else "node"


def _doubted(error: GraphError) -> GraphError:
    """`error` as it is meant when what was asked about is known to exist."""
    if not isinstance(error, ObjectGoneError):
        return error
    return AmbiguousRefusalError(f"Meta does not find what it has shown before: {error}", origin=error.origin)


def _unchanged(answer: Json) -> Json:
    return answer
