"""The cookies: the login a browser has started, the one it has finished, and the sessions of who signed in.

All are out of reach of scripts and of other sites. Over TLS their names bind them to our host (`__Host-`): neither
another host of the domain nor a page without TLS can plant one.
"""

import hashlib

from starlette.requests import HTTPConnection
from starlette.responses import Response

from ig_pipeline.storage.oauth_states import KEPT, LIFETIME
from ig_pipeline.storage.web_sessions import LIFETIME as SESSION_LIFETIME

READER = "ig_session"
"""Of the web pages, for who signed in with the API token."""
OPERATOR = "ig_operator"
"""Of Dagster's UI, for who signed in with the admin token."""
_LOGIN = "ig_login"
_FINISHED = "ig_connected"


def login_of(connection: HTTPConnection, state: str, *, https: bool) -> str | None:
    """The secret that the login of this state was bound to when it was started, if it was started in this browser."""
    return connection.cookies.get(_name(_login_name(state), https))


def set_login(response: Response, state: str, secret: str, *, https: bool) -> None:
    """Bind a login to this browser. Each has a cookie of its own: two tabs may be under way."""
    # Lax, not Strict: the browser comes back to us by a redirect from Meta, and has to bring it.
    _set(response, _name(_login_name(state), https), secret, int(LIFETIME.total_seconds()), https)


def finished_of(connection: HTTPConnection, *, https: bool) -> str | None:
    """The secret of the login that this browser finished last."""
    return connection.cookies.get(_name(_FINISHED, https))


def set_finished(response: Response, secret: str, *, https: bool) -> None:
    """A login has come back well: the browser that has its secret may watch for a day what came of it."""
    _set(response, _name(_FINISHED, https), secret, int(KEPT.total_seconds()), https)


def session_of(connection: HTTPConnection, name: str, *, https: bool) -> str | None:
    """The session's cookie, as it came."""
    return connection.cookies.get(_name(name, https))


def set_session(response: Response, name: str, value: str, *, https: bool) -> None:
    """Keep this browser signed in."""
    _set(response, _name(name, https), value, int(SESSION_LIFETIME.total_seconds()), https)


def end_session(response: Response, name: str, *, https: bool) -> None:
    """Have the browser forget it."""
    _delete(response, _name(name, https), https)


def _set(response: Response, name: str, value: str, seconds: int, https: bool) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=https, httponly=True, samesite="lax")


def _delete(response: Response, name: str, https: bool) -> None:
    response.delete_cookie(name, path="/", secure=https, httponly=True, samesite="lax")


def _login_name(state: str) -> str:
    """A state is a secret as long as its login is under way; a part of its hash is none."""
    return f"{_LOGIN}_{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _name(name: str, https: bool) -> str:
    return f"__Host-{name}" if https else name
