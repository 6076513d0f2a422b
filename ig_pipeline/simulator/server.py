"""The simulator on a real socket: HTTP in, `Simulation` inside, and a way to run it in a thread.

No rule of the API stands here; control requests are in `control`.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.simulator.calls import CallCounts
from ig_pipeline.simulator.cdn import Cdn
from ig_pipeline.simulator.control import control_routes
from ig_pipeline.simulator.delivery import Delivered, OpenProtocol
from ig_pipeline.simulator.faults import FaultPlan
from ig_pipeline.simulator.incoming import read_call
from ig_pipeline.simulator.simulation import CALLS_A_DAY, Simulation
from ig_pipeline.simulator.tokens import Login
from ig_pipeline.simulator.world import World

_METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD"]
_STARTS_WITHIN = 10.0


def application(simulation: Simulation, *, latency: float = 0.0) -> Starlette:
    """The ASGI application. `latency`: seconds every call takes at least."""

    async def graph(request: Request) -> Response:
        call = await read_call(request, simulation)
        if latency:
            await asyncio.sleep(latency)
        return Delivered(simulation.answer(call), with_body=request.method != "HEAD")

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
        http=OpenProtocol,
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
        bound.listen(128)  # so that whoever reads the address may connect at once
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
