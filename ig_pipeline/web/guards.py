"""What every request passes before a route sees it: its size, its Host, and the headers of every answer.

Plain ASGI, because a route may not be reached at all. Who may do what is `access`.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ig_pipeline.web.access import Access

# A signed request is a few hundred bytes, and nothing larger is ever sent to us.
MAX_BODY_BYTES = 64 * 1024
# Meta's codes run to some 300 characters.
MAX_QUERY_BYTES = 8 * 1024


class _TooLargeError(HTTPException):
    """Of a kind that the framework lets through while it reads a form."""

    def __init__(self) -> None:
        super().__init__(413, "The request's body is too large.")


class Guards:
    """Refuses what is too large or calls us by a foreign name, and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, *, access: Access, dialog_hosts: Iterable[str], https: bool) -> None:
        self._app = app
        self._access = access
        self._headers = security_headers(dialog_hosts, https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _bounded(receive), send_with_headers)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self._access.host_allowed(headers.get("host", "")):
            return _refusal(400, "foreign_host", "This service does not go by that name.")
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return _refusal(414, "query_too_long", "The address is too long.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _refusal(413, "too_large", "The request's body is too large.")
        return None


def security_headers(dialog_hosts: Iterable[str], *, https: bool) -> dict[str, str]:
    """The headers of every answer. Forms may lead to Meta's dialogs, since browsers check where a form redirects."""
    forms = " ".join(["'self'", *sorted(set(dialog_hosts))])
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; form-action {forms}; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        # The callback's address holds code and state.
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "cache-control": "no-store",
    }
    if https:
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


def _bounded(receive: Receive) -> Receive:
    """`receive` that stops at the limit: a chunked body has no length to check beforehand."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise _TooLargeError
        return message

    return bounded


def _refusal(status: int, kind: str, title: str) -> JSONResponse:
    body = {"type": kind, "title": title, "status": status, "detail": title}
    return JSONResponse(body, status, media_type="application/problem+json")
