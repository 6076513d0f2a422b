"""What every request passes before a route sees it: its name for us, its way here, its size; the answers' headers.

Plain ASGI, because a route may not be reached at all. Who may do what is `access`.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ig_pipeline.web.origins import Names, is_forwarded

# A signed request is a few hundred bytes, and nothing larger is ever sent to us.
MAX_BODY_BYTES = 64 * 1024
# Meta's codes run to some 300 characters.
MAX_QUERY_BYTES = 8 * 1024


class _TooLargeError(HTTPException):
    """Of a kind that the framework lets through while it reads a form."""

    def __init__(self) -> None:
        super().__init__(413, "The request's body is too large.")


class Guards:
    """Refuses what calls us by a foreign name, comes from another site's page or is too large; adds the headers.

    `for_this_machine`: there is no token, so what a proxy passed on is refused too.
    """

    def __init__(self, app: ASGIApp, *, names: Names, for_this_machine: bool, dialog_hosts: Iterable[str]) -> None:
        self._app = app
        self._names = names
        self._for_this_machine = for_this_machine
        self._headers = security_headers(dialog_hosts, https=names.https)

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

        refused = self._refuse(scope)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        await self._app(scope, bounded(receive), send_with_headers)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self._names.includes(headers):
            return refusal(
                400,
                "foreign_host",
                "This service does not go by that name.",
                "Its names are loopback's and, with IG_PIPELINE_API_TOKEN set, those in IG_PIPELINE_PUBLIC_URL and "
                "IG_PIPELINE_ALLOWED_HOSTS.",
            )
        if self._for_this_machine and is_forwarded(headers):
            return refusal(
                403,
                "behind_a_proxy",
                "Without a token this service is for this machine alone, and a proxy passed this on.",
                "Set IG_PIPELINE_API_TOKEN, IG_PIPELINE_PUBLIC_URL and IG_PIPELINE_PROXY_ADDRESSES.",
            )
        if self._names.is_foreign(scope["method"], headers):
            return refusal(403, "foreign_page", "A page of another site sent this.", "Use this service's own pages.")
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return refusal(414, "query_too_long", "The address is too long.", "Shorten it.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return refusal(413, "too_large", "The request's body is too large.", "Send less.")
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
        # The callback's address holds code and state. Pages themselves say `same-origin`: a form that may not say
        # where it comes from is foreign.
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "cache-control": "no-store",
    }
    if https:
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


def bounded(receive: Receive) -> Receive:
    """`receive` that stops at the limit: a chunked body has no length to check beforehand."""
    seen = 0

    async def count() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise _TooLargeError
        return message

    return count


def refusal(status: int, kind: str, title: str, detail: str) -> JSONResponse:
    """A refusal in the form of RFC 9457: `kind` for programs, `detail` says what to do. Echoes nothing."""
    body = {"type": kind, "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
