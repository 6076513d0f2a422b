"""A CDN alone on a loopback socket, an S3 server in this process, and a listener that must never be reached."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from yarl import URL

from ig_pipeline.media_store.address_guard import AddressGuard
from ig_pipeline.simulator.cdn import Cdn, file_url
from ig_pipeline.simulator.cdn_files import CdnFile

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class RunningCdn:
    """A CDN that answers at `url`; its clock is `now`."""

    url: str
    now: datetime = NOW
    files: dict[str, CdnFile] = field(default_factory=dict)
    cdn: Cdn = field(init=False)

    def __post_init__(self) -> None:
        self.cdn = Cdn(clock=lambda: self.now, files=self.files)

    def link(self, media_id: str, file: CdnFile | None = None, *faults: str) -> str:
        """A signed URL for a file, and what goes wrong with it."""
        self.files[media_id] = file or CdnFile(media_id, "image", 0)
        self.cdn.faults[media_id].extend(faults)
        return file_url(self.url, media_id, video=self.files[media_id].kind == "video", now=self.now)

    def guard(self, *hosts: str) -> AddressGuard:
        """A guard that takes this CDN for the simulator's."""
        return AddressGuard(hosts or ("cdninstagram.com",), simulator=URL(self.url))


@contextmanager
def running_cdn() -> Iterator[RunningCdn]:
    """A CDN in a thread."""
    bound = socket.create_server(("127.0.0.1", 0))
    running = RunningCdn(f"http://127.0.0.1:{bound.getsockname()[1]}")
    application = Starlette(routes=running.cdn.routes())
    server = uvicorn.Server(
        uvicorn.Config(application, http="h11", ws="none", lifespan="off", log_level="critical", access_log=False)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        bound.close()


@contextmanager
def running_s3() -> Iterator[str]:
    """The address of an S3 server."""
    # It is in this process: what it logs of each request would stand in the logs of a run that makes one.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def trap() -> Iterator["Trap"]:
    """A listener on loopback that notes every connection."""
    bound = socket.create_server(("127.0.0.1", 0))
    bound.settimeout(0.05)
    made = Trap(bound.getsockname()[1])
    stop = threading.Event()

    def listen() -> None:
        while not stop.is_set():
            try:
                bound.accept()[0].close()
                made.connections += 1
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join(5)
        bound.close()


@dataclass
class Trap:
    """Where the listener is, and how often it was reached."""

    port: int
    connections: int = 0
