"""Signing in to Dagster's UI with the admin token, by the web service's own means: page, cookie, sessions, limits."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ig_pipeline.dagster_ui.gate import NO_DATABASE, NO_SESSIONS
from ig_pipeline.settings import PREFIX, Settings
from ig_pipeline.web.access import bearer_of, same
from ig_pipeline.web.cookies import OPERATOR, end_session, session_of, set_session
from ig_pipeline.web.guards import bounded, refusal, security_headers
from ig_pipeline.web.pages import STATIC, local_path, page, sign_in_page
from ig_pipeline.web.rate_limit import RateLimit, caller_of
from ig_pipeline.web.sessions import Sessions

_SETTING = f"{PREFIX}ADMIN_TOKEN"
_PATHS = ("/sign-in", "/sign-out")
_FILES = "/static/"
# A longer one is no token of ours.
_LONGEST_TOKEN = 512


class TokenSignIn:
    """Lets in those who have the admin token: a browser by a session that starts with it, a program by sending it."""

    def __init__(self, settings: Settings, *, sessions: Sessions, https: bool) -> None:
        self._token, self._sessions, self._https = settings.admin_token, sessions, https
        self._limit = RateLimit(settings.public_requests_per_minute)
        self._headers = security_headers((), https=https)
        self._app = Starlette(
            routes=[
                Route("/sign-in", self._show, methods=["GET"]),
                Route("/sign-in", self._enter, methods=["POST"]),
                Route("/sign-out", self._leave, methods=["GET", "POST"]),
                Mount(_FILES.rstrip("/"), StaticFiles(directory=STATIC)),
            ],
            exception_handlers={HTTPException: _refuse, **dict.fromkeys(NO_DATABASE, _unavailable)},
        )
        self._app.router.redirect_slashes = False

    def claims(self, path: str) -> bool:
        """The two addresses and the files their pages need."""
        return path in _PATHS or path.startswith(_FILES)

    async def admits(self, connection: HTTPConnection) -> bool:
        """By the token as bearer, or by the cookie of a session that is open."""
        if same(bearer_of(connection), self._token):
            return True
        cookie = session_of(connection, OPERATOR, https=self._https)
        return cookie is not None and await run_in_threadpool(self._sessions.is_open, cookie)

    def invite(self, connection: HTTPConnection) -> Response:
        """The page, which leads back to the address that was asked for."""
        query = connection.url.query
        return self._page(f"{connection.url.path}?{query}" if query else connection.url.path, wrong=False, status=401)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request to one of the addresses it claims."""
        await self._app(scope, bounded(receive), send)

    async def _show(self, request: Request) -> Response:
        return self._page("/", wrong=False)

    async def _enter(self, request: Request) -> Response:
        form = await request.form()
        destination = local_path(_text(form, "destination") or "/")
        if not same(_text(form, "token").strip()[:_LONGEST_TOKEN], self._token):
            if not self._limit.allows("sign_in", caller_of(request)):
                return refusal(429, "too_many_requests", "Too many requests.", "Wait a minute, then try again.")
            return self._page(destination, wrong=True, status=401)
        cookie = await run_in_threadpool(self._sessions.begin)
        response = RedirectResponse(destination, 303)
        set_session(response, OPERATOR, cookie, https=self._https)
        return response

    async def _leave(self, request: Request) -> Response:
        if request.method != "POST":
            return page("sign_out.html", headers=self._headers)
        await run_in_threadpool(self._sessions.end, session_of(request, OPERATOR, https=self._https))
        response = RedirectResponse("/sign-in", 303)
        end_session(response, OPERATOR, https=self._https)
        return response

    def _page(self, destination: str, *, wrong: bool, status: int = 200) -> Response:
        return sign_in_page(
            what="Dagster", setting=_SETTING, destination=destination, wrong=wrong, status=status, headers=self._headers
        )


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return refusal(*NO_SESSIONS)


async def _refuse(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refusal(status, "refused", "The request was refused.", "Check the address and try again.")
