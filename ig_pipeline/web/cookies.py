"""The two cookies: the browser a login was started in, and the session of somebody who signed in.

Both are out of reach of scripts and of other sites; over TLS their names bind them to our host (`__Host-`).
"""

from starlette.requests import Request
from starlette.responses import Response

from ig_pipeline.storage.oauth_states import KEPT
from ig_pipeline.web.access import SESSION_COOKIE, SESSION_LIFETIME_S

_BROWSER = "ig_browser"


def browser_of(request: Request, *, https: bool) -> str | None:
    """The secret of the browser that started a login."""
    return request.cookies.get(_name(_BROWSER, https))


def set_browser(response: Response, value: str, *, https: bool) -> None:
    """Bind logins to this browser, for as long as it may watch what came of one."""
    # Lax, not Strict: the browser comes back to us by a redirect from Meta, and has to bring it.
    _set(response, _name(_BROWSER, https), value, int(KEPT.total_seconds()), https)


def set_session(response: Response, value: str, *, https: bool) -> None:
    """Let this browser read."""
    _set(response, SESSION_COOKIE, value, SESSION_LIFETIME_S, https)


def end_session(response: Response, *, https: bool) -> None:
    """Forget it."""
    response.delete_cookie(SESSION_COOKIE, path="/", secure=https, httponly=True, samesite="lax")


def _set(response: Response, name: str, value: str, seconds: int, https: bool) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=https, httponly=True, samesite="lax")


def _name(name: str, https: bool) -> str:
    return f"__Host-{name}" if https else name
