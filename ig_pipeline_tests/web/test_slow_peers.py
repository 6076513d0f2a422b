"""Connections that send nothing, too slowly or too much, and what they may cost the others."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import cast

import pytest

from ig_pipeline.web import serving
from ig_pipeline.web.routes import health
from ig_pipeline.web.services import WebServices
from ig_pipeline.web.shapes import Health
from ig_pipeline_tests.dagster_ui.site import Site
from ig_pipeline_tests.dagster_ui.site import site as dagster_site
from ig_pipeline_tests.web.front_door import FrontDoor

HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /sign-in HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
# What has been sent when the peer stops sending.
STOPS = {
    "nothing": b"",
    "half a line": b"GET /health",
    "half the headers": b"GET /healthz HTTP/1.1\r\n" + HOST,
    "half a body": POST + b"Content-Length: 100\r\n\r\ntoken=",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\ntoken=",
    "empty lines": b"\r\n\r\n",
    "empty lines after an answer": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n\r\n\r\n",
    "the next request": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /health",
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, sooner."""
    monkeypatch.setattr(serving, "REQUEST_WITHIN_S", 0.3)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with dagster_site(tmp_path_factory.mktemp("ui")) as served:
        yield served


def ended(port: int, sent: bytes) -> bool:
    """Whether the server ends a connection on which no more is sent."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as peer:
        peer.sendall(sent)
        return ends(peer)


def ends(peer: socket.socket) -> bool:
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("sent", STOPS.values(), ids=STOPS)
def test_a_peer_that_stops_sending_is_let_go(door_on_sqlite: FrontDoor, sent: bytes) -> None:
    assert ended(door_on_sqlite.port, sent)


@pytest.mark.parametrize("sent", STOPS.values(), ids=STOPS)
def test_the_same_before_dagsters_ui(ui: Site, sent: bytes) -> None:
    assert ended(ui.port, sent)


def test_headers_without_end_are_not_gathered(door_on_sqlite: FrontDoor) -> None:
    with closing(socket.create_connection(("127.0.0.1", door_on_sqlite.port), timeout=30)) as peer:
        peer.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(1000):
                peer.sendall(b"X: " + b"x" * 65536 + b"\r\n")
                time.sleep(0)


def test_many_that_wait_keep_no_one_out(door_on_sqlite: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUEST_WITHIN_S", 60.0)
    monkeypatch.setattr(serving, "_MOST_WAITING", 20)
    with ExitStack() as waiting:
        peers = [
            waiting.enter_context(closing(socket.create_connection(("127.0.0.1", door_on_sqlite.port), timeout=30)))
            for _ in range(40)
        ]
        assert door_on_sqlite.another_browser().get("/healthz").status_code == 200
        assert ends(peers[0])
        peers[-1].sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"200 OK" in peers[-1].recv(65536)


def test_readiness_is_looked_at_once_for_all_who_ask(
    door_on_sqlite: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_KEPT_S", 600.0)
    looks: list[WebServices] = []
    look = health._ready

    def counted(services: WebServices) -> Health:
        looks.append(services)
        return look(services)

    monkeypatch.setattr(health, "_ready", counted)
    assert {door_on_sqlite.client.get("/readyz").status_code for _ in range(50)} == {200}
    assert len(looks) == 1


@pytest.mark.anyio
async def test_a_look_that_takes_long_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_KEPT_S", 0.0)
    looks: list[WebServices] = []

    def counted(services: WebServices) -> Health:
        looks.append(services)
        return Health(status="ok", checks={})

    monkeypatch.setattr(health, "_ready", counted)
    readiness = health.Readiness()
    services = cast(WebServices, None)
    answers = await asyncio.gather(*(readiness.of(services) for _ in range(100)))
    assert len(looks) == 1
    assert {answer.status for answer in answers} == {"ok"}
