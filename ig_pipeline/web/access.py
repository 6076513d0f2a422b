"""Who may: bearer tokens for programs, a signed cookie for the browser of somebody who knows the token.

Comparison takes the same time whatever differs. Without an API token the service is for this machine alone, and
then the Host header must name this machine: else any web page could read it through a name that resolves to
127.0.0.1.
"""

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import SecretStr
from starlette.requests import Request

from ig_pipeline.settings import Settings

SESSION_COOKIE = "ig_session"
SESSION_LIFETIME_S = 12 * 3600

_LOOPBACK_NAMES = {"localhost", "testserver"}


class AddressRefusedError(Exception):
    """The service would be open to the network without a token."""


def check_bind_address(settings: Settings) -> None:
    """Refuse to listen beyond loopback without `IG_PIPELINE_API_TOKEN`. Raises `AddressRefusedError`."""
    if settings.api_token is None and not is_loopback(settings.web_host):
        raise AddressRefusedError(
            f"Refusing to listen on {settings.web_host}: without IG_PIPELINE_API_TOKEN anybody there could read "
            "everything. Set it (`openssl rand -hex 32`), or listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone. A name other than localhost is not: it may resolve to anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """The tokens of one service. Nothing here prints or returns them."""

    def __init__(self, settings: Settings) -> None:
        self._api = settings.api_token
        self._admin = settings.admin_token
        public = urlsplit(settings.effective_public_url).hostname
        self._hosts = {name for name in (public, settings.web_host) if name}

    @property
    def open(self) -> bool:
        """Whether reading needs no token, because nobody but this machine can."""
        return self._api is None

    @property
    def has_admin(self) -> bool:
        """Whether there is an admin token at all."""
        return self._admin is not None

    def host_allowed(self, host: str) -> bool:
        """Whether a request may call us by this Host header."""
        if not self.open:
            return True
        name = (urlsplit(f"//{host}").hostname or "") if host else ""
        return name in _LOOPBACK_NAMES or name in self._hosts or is_loopback(name)

    def may_read(self, request: Request) -> bool:
        """With the API token, the admin token, or the cookie of somebody who knew the first."""
        return self.open or self.knows_api_token(bearer_of(request)) or self.is_admin(request) or self._session(request)

    def is_admin(self, request: Request) -> bool:
        """With the admin token, always."""
        return same(bearer_of(request), self._admin)

    def knows_api_token(self, given: str | None) -> bool:
        """Whether this is the API token."""
        return same(given, self._api)

    def new_session(self) -> str:
        """The value of a session cookie, good for twelve hours or until the API token changes."""
        return self._signer().dumps("reader")

    def _session(self, request: Request) -> bool:
        value = request.cookies.get(SESSION_COOKIE)
        if not value:
            return False
        try:
            return bool(self._signer().loads(value, max_age=SESSION_LIFETIME_S) == "reader")
        except BadSignature:
            return False

    def _signer(self) -> URLSafeTimedSerializer:
        key = self._api.get_secret_value() if self._api else ""
        return URLSafeTimedSerializer(
            hashlib.sha256(f"session {key}".encode()).digest(), signer_kwargs={"digest_method": hashlib.sha256}
        )


def bearer_of(request: Request) -> str | None:
    """The bearer token of a request, None when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def same(given: str | None, expected: SecretStr | None) -> bool:
    """Whether both are there and equal, in constant time whatever their lengths."""
    if given is None or expected is None:
        return False
    digests = [
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected.get_secret_value())
    ]
    return hmac.compare_digest(*digests)
