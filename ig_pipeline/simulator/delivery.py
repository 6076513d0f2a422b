"""How bytes go wrong on the wire: a reset connection, a body cut in the middle.

Uvicorn has no way to do either, so its protocol hands out the transport.
"""

import asyncio
import socket
import struct
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ig_pipeline.simulator.requests import Answer

_TRANSPORT = "ig_pipeline.transport"


class OpenProtocol(H11Protocol):
    """HTTP/1.1 that shows its transport to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own does so
        """Let every request of this connection find its transport in the scope."""
        super().connection_made(transport)
        inner: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, _TRANSPORT: transport}, receive, send)

        self.app = with_transport


class Delivered(Response):
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
