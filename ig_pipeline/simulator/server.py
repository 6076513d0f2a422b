"""The simulator on a real socket: HTTP in, `Simulation` inside, and a way to run it in a thread.

Requests are read in any version or none, query and form together, the token wherever it travels. Connections break on
request: uvicorn has no way to reset one or to cut a body, so its protocol hands out the transport. No rule of the API
is here; control requests are in `control`.
"""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ig_pipeline.simulator.cdn import Cdn
from ig_pipeline.simulator.control import control_routes
from ig_pipeline.simulator.faults import FaultPlan
from ig_pipeline.simulator.limits import CallCounts
from ig_pipeline.simulator.requests import Answer, Call, served_version, split_version
from ig_pipeline.simulator.simulation import CALLS_A_DAY, Clock, Simulation, utc_now
from ig_pipeline.simulator.tokens import Login
from ig_pipeline.simulator.world import World


async def read_call(request: Request, simulation: Simulation) -> Call:
    """The call in a request. A parameter given several times counts as a list."""
    params = _joined(parse_qs(request.url.query, keep_blank_values=True)) | _form(
        request.headers.get("content-type", ""), await request.body()
    )
    asked, path = split_version(request.url.path.strip("/"))
    token = params.pop("access_token", None) or _bearer(request)
    now = simulation.clock()
    return Call(
        method=request.method,
        path=path,
        params=params,
        version=served_version(asked, now.date()),
        base_url=str(request.base_url).rstrip("/"),
        now=now,
        token=token,
        host=request.url.hostname or "",
    )


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """Parameters of a body: urlencoded, multipart (as curl -F sends) or JSON. Nothing for a body of another kind."""
    if not body:
        return {}
    if content_type.startswith("application/json"):
        return _json_form(body)
    if content_type.startswith("multipart/form-data"):
        return _multipart_form(content_type, body)
    return _joined(parse_qs(body.decode(errors="replace"), keep_blank_values=True))


def _json_form(body: bytes) -> dict[str, str]:
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    pairs = given.items() if isinstance(given, dict) else ()
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in pairs}


def _multipart_form(content_type: str, body: bytes) -> dict[str, str]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    values: dict[str, list[str]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            values.setdefault(name, []).append(payload.decode(errors="replace"))
    return _joined(values)


def _joined(values: dict[str, list[str]]) -> dict[str, str]:
    return {name: ",".join(given) for name, given in values.items()}


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() in {"bearer", "oauth"} else None


# ---- answers on the wire -------------------------------------------------------------------------------------------

_TRANSPORT = "ig_pipeline.transport"


class _OpenProtocol(H11Protocol):
    """HTTP/1.1 that shows its transport to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own does so
        """Let every request of this connection find its transport in the scope."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, _TRANSPORT: transport}, receive, send)

        self.app = with_transport


class _Delivery(Response):
    """An answer that may be late, cut or never come."""

    def __init__(self, answer: Answer, *, with_body: bool) -> None:
        super().__init__(
            answer.encoded() if with_body else b"",
            answer.status,
            {**answer.headers, "content-type": answer.content_type},
        )
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or spoil the connection."""
        if self._answer.delay:
            await _wait(self._answer.delay, receive)
        transport: Any = scope.get(_TRANSPORT)
        if self._answer.delivery == "whole" or transport is None:
            await super().__call__(scope, receive, send)
        elif self._answer.delivery == "reset":
            # A zero linger makes the system send a reset instead of an orderly end.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            half = bytes(self.body)[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            transport.close()


async def _wait(seconds: float, receive: Receive) -> None:
    """Wait so long, or until the caller has given up."""
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({gone}, timeout=seconds)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# ---- the server ----------------------------------------------------------------------------------------------------

_METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD"]
_STARTS_WITHIN = 10.0


def application(simulation: Simulation, *, latency: float = 0.0) -> Starlette:
    """The ASGI application. `latency`: seconds every call takes at least."""

    async def graph(request: Request) -> Response:
        call = await read_call(request, simulation)
        if latency:
            await asyncio.sleep(latency)
        return _Delivery(simulation.answer(call), with_body=request.method != "HEAD")

    everything_else = Route("/{path:path}", graph, methods=_METHODS)
    return Starlette(routes=[*control_routes(simulation), *simulation.cdn.routes(), everything_else])


@dataclass(frozen=True)
class RunningSimulator:
    """A simulator that answers at `url` (no slash at the end)."""

    url: str
    simulation: Simulation

    @property
    def world(self) -> World:
        """The truth."""
        return self.simulation.world

    @property
    def cdn(self) -> Cdn:
        """Where the files come from."""
        return self.simulation.cdn

    @property
    def calls(self) -> CallCounts:
        """What was called so far."""
        return self.simulation.calls

    def token(self, username: str, login: Login = "facebook") -> str:
        """The long-lived token of an account's owner."""
        return self.simulation.token(username, login)


class _PromptServer(uvicorn.Server):
    """A server in a thread that ends when told: uvicorn looks only every tenth of a second, and then waits another."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()

    async def main_loop(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self.serving.set()
        await self.on_tick(0)
        await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for task in self.server_state.tasks:
            task.cancel()
        await asyncio.sleep(0)

    def stop(self) -> None:
        """Ask it to end; safe from another thread."""
        self._loop.call_soon_threadsafe(self._told.set)


def make_server(simulation: Simulation, *, latency: float = 0.0) -> uvicorn.Server:
    """A server that does not serve yet: `run(sockets=[…])` it."""
    return uvicorn.Server(_config(simulation, latency))


def _config(simulation: Simulation, latency: float) -> uvicorn.Config:
    return uvicorn.Config(
        application(simulation, latency=latency),
        http=_OpenProtocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 lets the system choose. Raises OSError when the port is in use."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)  # a reader of the address may connect at once
    except OSError:
        bound.close()
        raise
    return bound


@contextmanager
def running_simulator(
    world: World,
    *,
    clock: Clock = utc_now,
    latency: float = 0.0,
    calls_a_day: int = CALLS_A_DAY,
    require_proof: bool = False,
    faults: FaultPlan | None = None,
) -> Iterator[RunningSimulator]:
    """A simulator in a thread, on a free loopback port, for the length of the block. `latency` in seconds."""
    simulation = Simulation(world, clock=clock, calls_a_day=calls_a_day, require_proof=require_proof, faults=faults)
    server = _PromptServer(_config(simulation, latency))
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="simulator", daemon=True)
    thread.start()
    if not server.serving.wait(_STARTS_WITHIN):
        raise RuntimeError("the simulator did not start")
    try:
        yield RunningSimulator(f"http://127.0.0.1:{bound.getsockname()[1]}", simulation)
    finally:
        server.stop()
        thread.join(_STARTS_WITHIN)
        bound.close()
