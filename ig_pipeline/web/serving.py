"""How our HTTP servers listen: the web service's, and that of Dagster's UI. What they serve is the app's.

uvicorn waits for a request for as long as it takes. Ours has to be there whole after some seconds, is bounded in its
headers, and while very many wait those that began first go: no one keeps others out by sending nothing.
"""

import asyncio
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ig_pipeline.settings import Settings

REQUEST_WITHIN_S = 20.0
"""From a connection's beginning, or a request's first byte, to its last byte. None of ours has more than 64 KiB."""

# Of all 1,024 files a process may have open by default.
_MOST_CONNECTIONS = 500
_MOST_WAITING = 200
# uvicorn's bound is for the slower of its two parsers alone.
_MOST_HEADER_BYTES = 64 * 1024


def server_config(app: ASGIApp, settings: Settings, **options: Any) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's own
    """A server of `app` that trusts the proxies in the settings, and no one else to say where a request comes from."""
    return uvicorn.Config(
        app,
        http=PunctualProtocol,
        limit_concurrency=_MOST_CONNECTIONS,
        server_header=False,
        proxy_headers=bool(settings.proxy_addresses),
        forwarded_allow_ips=settings.proxy_addresses or None,
        **options,
    )


class PunctualProtocol(HttpToolsProtocol):
    """A connection on which requests arrive in time."""

    _waiting: ClassVar[dict["PunctualProtocol", None]] = {}

    _deadline: asyncio.TimerHandle | None = None
    _fed = _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the parent's
        """A caller is there, and has to ask."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """More of a request, or the first of the next one."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()  # also for empty lines, which are no beginning to the parser but end its waiting for one
        self._fed += len(data)
        super().data_received(data)
        if self._deadline is not None and self._fed > _MOST_HEADER_BYTES + self._body_bytes:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins, also one sent before the last was answered."""
        super().on_message_begin()
        if self._deadline is None:
            self._wait()

    def on_body(self, body: bytes) -> None:
        """A part of a request's body; how much of it is read is the app's to say."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._wait_no_more()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on another protocol has the connection."""
        self._wait_no_more()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._fed = self._body_bytes = 0
        self._deadline = self.loop.call_later(REQUEST_WITHIN_S, self._give_up)
        self._waiting[self] = None
        if len(self._waiting) > _MOST_WAITING:
            next(iter(self._waiting))._give_up()

    def _wait_no_more(self) -> None:
        self._waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._wait_no_more()
        self.transport.abort()
