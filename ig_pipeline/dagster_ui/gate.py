"""The gate before Dagster's web server: whom it is called by, which page sent the request, and whether they signed in.

Dagster looks at none of that. It takes orders (GraphQL mutations) by GET and from forms, so that any web page a person
has open beside the UI could wipe the grid. Plain ASGI: it also stands before WebSockets.
"""

from typing import Protocol

import sqlalchemy as sa
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ig_pipeline.dagster_ui.uses import Use, use_of
from ig_pipeline.storage.database import DatabaseError
from ig_pipeline.web.guards import refusal
from ig_pipeline.web.origins import WITHOUT_EFFECT, Names, is_forwarded

# "Policy violation"; before the handshake is answered it becomes a 403.
_REFUSED = 1008

FOREIGN_HOST = (400, "foreign_host", "Dagster's UI does not go by that name.", "Set IG_PIPELINE_UI_URL to its address.")
FORWARDED = (
    403,
    "behind_a_proxy",
    "Without a login Dagster's UI is for this machine alone, and a proxy passed this on.",
    "Set IG_PIPELINE_ADMIN_TOKEN, which it then asks for, and IG_PIPELINE_UI_URL.",
)
FOREIGN_PAGE = (403, "foreign_page", "A page of another site sent this.", "Use Dagster's UI itself.")
CLOSED = (403, "closed", "This address of Dagster's is not used here.", "Use Dagster's UI itself.")
METHOD = (405, "method_not_allowed", "This address only answers GET.", "Use Dagster's UI itself.")
NOT_JSON = (
    415,
    "json_only",
    "GraphQL is taken as JSON by POST only.",
    'Send {"query": …} with POST and Content-Type: application/json.',
)
NOT_SIGNED_IN = (
    401,
    "token_missing",
    "This needs the admin token.",
    "Sign in at /sign-in, or send `Authorization: Bearer …` with the value of IG_PIPELINE_ADMIN_TOKEN.",
)
NO_SESSIONS = (
    503,
    "database_unavailable",
    "The database that knows who is signed in does not answer.",
    "Try again in a few seconds; programs that bring the token are served.",
)
NO_DATABASE = (DatabaseError, sa.exc.OperationalError, sa.exc.TimeoutError)
"""What asking for a session raises when it cannot be asked."""

Refusal = tuple[int, str, str, str]


class SignIn(Protocol):
    """Who signs in, and how. Answers the addresses it claims itself."""

    def claims(self, path: str) -> bool:
        """Whether an address is part of signing in rather than of Dagster."""

    async def admits(self, connection: HTTPConnection) -> bool:
        """Whether the caller has signed in or brings the token."""

    def invite(self, connection: HTTPConnection) -> Response:
        """The page on which a person signs in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request to an address it claims."""


class Gate:
    """Lets through to Dagster what comes under its own name, from its own pages or a program, signed in if need be.

    Without `sign_in` the UI is for this machine alone: then what a proxy passed on is refused too.
    """

    def __init__(self, app: ASGIApp, *, names: Names, sign_in: SignIn | None) -> None:
        self._app, self._names, self._sign_in = app, names, sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one WebSocket, or the server's start and end."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refuse(scope, headers)
        if refused is not None:
            await _answer(scope, receive, self._marked(send), refusal(*refused))
            return
        if self._sign_in is not None:
            if scope["type"] == "http" and self._sign_in.claims(scope["path"]):
                await self._sign_in(scope, receive, self._marked(send))
                return
            turned_away = await self._turn_away(scope, headers)
            if turned_away is not None:
                await _answer(scope, receive, self._marked(send), turned_away)
                return
        await self._app(scope, receive, self._marked(send))

    def _refuse(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Why this is not answered at all, signed in or not."""
        if not self._names.includes(headers):
            return FOREIGN_HOST
        if self._sign_in is None and is_forwarded(headers):
            return FORWARDED
        if scope["type"] == "websocket":
            # Browsers let any page open one, and say which.
            own = self._names.is_own(headers.get("origin", ""), headers)
            return None if own and use_of(scope["path"]) is Use.GRAPHQL else FOREIGN_PAGE
        return self._refuse_request(scope["method"], scope["path"], scope["query_string"], headers)

    def _refuse_request(self, method: str, path: str, query: bytes, headers: Headers) -> Refusal | None:
        if self._names.is_foreign(method, headers):
            return FOREIGN_PAGE
        if self._sign_in is not None and self._sign_in.claims(path):
            return None
        match use_of(path):
            case Use.CLOSED:
                return CLOSED
            case Use.GRAPHQL:
                return None if _is_graphql(method, query, headers) else NOT_JSON
            case Use.READ if headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
                return FOREIGN_PAGE
            case _:
                return None if method in WITHOUT_EFFECT else METHOD

    async def _turn_away(self, scope: Scope, headers: Headers) -> Response | None:
        """What those get who have to sign in first; None for those who have, and for what is open to all."""
        if self._sign_in is None or use_of(scope["path"]) is Use.INFO:
            return None
        connection = HTTPConnection(scope)
        try:
            if await self._sign_in.admits(connection):
                return None
        except NO_DATABASE:
            return refusal(*NO_SESSIONS)
        wants_page = scope["type"] == "http" and "text/html" in headers.get("accept", "")
        return self._sign_in.invite(connection) if wants_page else refusal(*NOT_SIGNED_IN)

    def _marked(self, send: Send) -> Send:
        """`send` that says with every answer: in no frame, to no other site."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # Beside the policy of Dagster's page: browsers keep to both.
                headers.append("content-security-policy", "frame-ancestors 'none'")
                headers["x-frame-options"] = "DENY"
                headers["cross-origin-resource-policy"] = "same-origin"
                headers["cross-origin-opener-policy"] = "same-origin"
                headers.setdefault("x-content-type-options", "nosniff")
                if self._names.https:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        return marked


def _is_graphql(method: str, query: bytes, headers: Headers) -> bool:
    """JSON by POST; or, by GET and without a query, the page on which an operator writes one.

    The media type is compared as a whole: Dagster looks for the word JSON anywhere in it, and a page may send
    `text/plain; application/json` without being asked first whether it may.
    """
    if method == "GET":
        return not query and "text/html" in headers.get("accept", "")
    return method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _answer(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose(_REFUSED)(scope, receive, send)
    else:
        await response(scope, receive, send)
