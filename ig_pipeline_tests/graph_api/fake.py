"""A transport that answers from a function, and a client on it whose waits cost no time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.hosts import MetaHosts
from ig_pipeline.graph_api.retries import BACKGROUND, GraphRetryPolicy
from ig_pipeline.graph_api.throttle import DEFAULT_LIMITS, Limits

ACCOUNT = "17841400000000001"
CREDENTIALS = Credentials(ACCOUNT, SecretStr("IGAAcanary-secret-token"), "facebook")
NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)  # noon in Los Angeles

Answer = httpx.Response | Mapping[str, Any] | Exception
Handler = Callable[[httpx.Request], Answer | Awaitable[Answer]]


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: datetime = NOON
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@dataclass
class Fake:
    """Records requests; `handler` answers each, or `script` one after the other."""

    handler: Handler
    requests: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.handler(request)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    @property
    def params(self) -> list[dict[str, str]]:
        return [dict(request.url.params) for request in self.requests]


def script(*answers: Answer) -> Handler:
    remaining = list(answers)
    return lambda request: remaining.pop(0)


def refusal(message: str, *, code: int = 100, status: int = 400, **more: object) -> httpx.Response:
    envelope = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A", **more}
    return httpx.Response(status, json={"error": envelope})


def client_of(
    handler: Handler,
    *,
    time: Time | None = None,
    retries: GraphRetryPolicy = BACKGROUND,
    limits: Limits = DEFAULT_LIMITS,
    app_secret: str | None = None,
) -> tuple[GraphClient, Fake]:
    fake, time = Fake(handler), time or Time()
    client = GraphClient(
        MetaHosts.at(None, "v25.0"),
        app_secret=None if app_secret is None else SecretStr(app_secret),
        clock=time,
        sleep=time.sleep,
        random=lambda: 0.0,
        retries=retries,
        limits=limits,
        transport=httpx.MockTransport(fake),
    )
    return client, fake


def series(**values: Mapping[str, int]) -> dict[str, Any]:
    """A series answer: metric → {end_time: value}."""
    return {
        "data": [
            {"name": name, "period": "day", "values": [{"value": v, "end_time": t} for t, v in points.items()]}
            for name, points in values.items()
        ],
        "paging": {"next": "https://graph.facebook.com/v26.0/1/insights?access_token=x&since=1"},
    }


def totals(**values: int) -> dict[str, Any]:
    return {
        "data": [{"name": name, "period": "day", "total_value": {"value": value}} for name, value in values.items()]
    }


def asked_metrics(request: httpx.Request) -> list[str]:
    return request.url.params["metric"].split(",")


def is_profile(request: httpx.Request) -> bool:
    """Whether the account's own numbers are asked for."""
    return request.url.path.endswith(f"/{ACCOUNT}")


def profile(*, followers: int | None = 48_210, media: int | None = 400) -> dict[str, Any]:
    counts = {"followers_count": followers, "media_count": media}
    return {"id": ACCOUNT, **{name: count for name, count in counts.items() if count is not None}}
