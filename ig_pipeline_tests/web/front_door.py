"""The service as its callers meet it: an app over a small world, and a person who clicks through Meta's dialog."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import uvicorn
from pydantic import SecretStr

from ig_pipeline.clock import Clock
from ig_pipeline.settings import Settings
from ig_pipeline.storage.tables import metadata
from ig_pipeline.web.app import create_app
from ig_pipeline.web.serving import server_config
from ig_pipeline_tests.sync.harness import SmallWorld

API_TOKEN = "reader-token-of-the-tests"
ADMIN_TOKEN = "admin-token-of-the-tests"
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
READER = {"Authorization": f"Bearer {API_TOKEN}"}
START = "/v1/connections/instagram/start"
CALLBACK = "/v1/connections/instagram/callback"
START_LINK_KEY = "start-link-key-of-the-tests-and-of-no-one-else"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass
class FrontDoor:
    """A running service and its callers."""

    small: SmallWorld
    settings: Settings
    client: httpx.Client
    browsers: ExitStack
    port: int
    """Where it listens, whatever its public address says."""

    def start(self, email: str, client: httpx.Client | None = None) -> str:
        """Begin a login as the form on a page does; the dialog's address."""
        own = {"Origin": self.settings.effective_public_url}
        answer = (client or self.client).post(START, data={"email": email}, headers=own, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def agree(self, dialog: str, who: str, *, without: Sequence[str] = (), cancel: bool = False) -> str:
        """What a person does in the dialog; the path and query they are sent back to."""
        return agree(dialog, who, without=without, cancel=cancel)

    def connect(self, email: str, who: str) -> httpx.Response:
        """From start to the callback's answer, as a program sees it."""
        return self.client.get(self.agree(self.start(email), who))

    def status(self, email: str) -> list[dict[str, Any]]:
        """The connections of a user as the status endpoint shows them."""
        answer = self.client.get("/v1/connections/status", params={"email": email}, headers=READER)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["connections"]
        return found

    def another_browser(self) -> httpx.Client:
        """Somebody else: without this one's cookies."""
        return self.browsers.enter_context(httpx.Client(base_url=self.settings.effective_public_url, timeout=30))


def signed_link(email: str, *, key: str = START_LINK_KEY, now: float | None = None, good_for: int = 600) -> str:
    """Path and query of a start link, made as docs/web_service.md tells a back end to."""
    expires = int(time.time() if now is None else now) + good_for
    signature = hmac.new(key.encode(), f"start:{email}:{expires}".encode(), hashlib.sha256).hexdigest()
    return f"{START}?{urlencode({'email': email, 'expires': expires, 'signature': signature})}"


def agree(dialog: str, who: str, *, without: Sequence[str] = (), cancel: bool = False) -> str:
    """What a person does in the dialog; the path and query they are sent back to."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(dialog).query).items()}
    granted = [scope for scope in query.pop("scope").split(",") if scope not in without]
    form: dict[str, Any] = {**query, "as": who, "granted": granted, "do": "cancel" if cancel else "continue"}
    answer = httpx.post(dialog.partition("?")[0], data=form, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


@contextmanager
def front_door(small: SmallWorld, **changes: Any) -> Iterator[FrontDoor]:
    """The service over a small world, on a socket. `changes` are settings."""
    with listening() as bound:
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        settings = small.settings.model_copy(
            update={
                "public_url": address,
                "admin_token": SecretStr(ADMIN_TOKEN),
                "start_link_key": SecretStr(START_LINK_KEY),
                "public_requests_per_minute": 10_000,
                **changes,
            }
        )
        with serving(settings, bound, clock=small.clock), ExitStack() as browsers:
            client = browsers.enter_context(httpx.Client(base_url=address, timeout=30))
            yield FrontDoor(small, settings, client, browsers, bound.getsockname()[1])


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket on a free loopback port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(128)
        yield bound


@contextmanager
def serving(settings: Settings, bound: socket.socket, *, clock: Clock) -> Iterator[None]:
    """The service of `settings` on `bound`, in a thread."""
    config = server_config(
        create_app(settings, clock=clock), settings, log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="web", daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def everything_stored(small: SmallWorld) -> str:
    """Every row of every table, for a search."""
    with small.engine.connect() as db:
        rows = [tuple(row) for table in metadata.sorted_tables for row in db.execute(table.select())]
    return json.dumps(rows, default=str)
