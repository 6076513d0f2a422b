"""What Meta tells without a token, and what is made of an answer that tells nothing, or of none at all."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from ig_pipeline.graph_api.errors import UnreachableError
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.reachability import look, newest_served
from ig_pipeline.graph_api.versions import worth_asking_for
from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World

NOW = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)
HOSTS = MetaHosts.at(None, "v27.0")
NO_TOKEN = "An active access token must be used to query information about the current user."


def refusal(message: str, code: int) -> httpx.Response:
    return httpx.Response(400, json={"error": {"message": message, "type": "OAuthException", "code": code}})


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        whole = answer(request)
        # As a stream, which is what comes from a network: only its end tells how long it took.
        return httpx.Response(whole.status_code, headers=whole.headers, stream=httpx.ByteStream(whole.content))

    return httpx.MockTransport(handle), asked


@pytest.mark.parametrize(
    ("answer", "serves"),
    [
        (refusal(NO_TOKEN, 2500), True),
        (refusal("An access token is required to request this resource.", 104), True),
        (refusal("Invalid OAuth access token.", 190), True),
        (refusal("Unknown path components: /me", 2500), False),
        (refusal("Unknown path components: /v27.0/me", 2500), False),
        (refusal("(#4) Application request limit reached", 4), None),
        (refusal("An unknown error occurred", 1), None),
        (httpx.Response(502, html="<html>Bad gateway</html>"), None),
        (httpx.Response(200, html="<html>Log in to this network</html>"), None),
        (httpx.Response(200, json={"id": "1"}), None),
        (httpx.Response(200, content=b""), None),
    ],
)
def test_only_an_answer_of_metas_tells_whether_a_version_is_served(answer: httpx.Response, serves: bool | None) -> None:
    transport, asked = answering(lambda _: answer)
    seen = look(HOSTS, "facebook", clock=lambda: NOW, transport=transport)
    assert seen.serves_version is serves
    assert seen.host == "graph.facebook.com"
    [request] = asked
    assert str(request.url) == "https://graph.facebook.com/v27.0/me"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no route"), httpx.ConnectTimeout("slow"), httpx.ReadTimeout("x")]
)
def test_silence_is_an_error_with_advice(error: httpx.TransportError) -> None:
    def silent(_: httpx.Request) -> httpx.Response:
        raise error

    transport, _ = answering(silent)
    with pytest.raises(UnreachableError, match="Check network, proxy and the Graph API's address"):
        look(HOSTS, "instagram", clock=lambda: NOW, transport=transport)
    assert newest_served(HOSTS, "facebook", ["v27.0"], clock=lambda: NOW, transport=transport) is None


def test_the_newest_version_served_is_found_by_asking_from_the_newest_on() -> None:
    def up_to_28(request: httpx.Request) -> httpx.Response:
        known = float(request.url.path.split("/")[1][1:]) <= 28
        return refusal(NO_TOKEN if known else "Unknown path components: /me", 2500)

    transport, asked = answering(up_to_28)
    assert newest_served(HOSTS, "facebook", worth_asking_for(), clock=lambda: NOW, transport=transport) == "v28.0"
    assert [request.url.path for request in asked] == [f"/v{n}.0/me" for n in (31, 30, 29, 28)]


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_simulated_meta_is_asked_the_same_way(login: Login) -> None:
    with running_simulator(World(accounts=1), clock=lambda: NOW) as simulator:
        seen = {
            version: look(MetaHosts.at(simulator.url, version), login, clock=lambda: NOW).serves_version
            for version in ("v19.0", "v25.0", "v27.0", "v99.0")
        }
        hosts = MetaHosts.at(simulator.url, "v99.0")
        assert newest_served(hosts, login, worth_asking_for(), clock=lambda: NOW) == "v27.0"
    assert seen == {"v19.0": True, "v25.0": True, "v27.0": True, "v99.0": False}
