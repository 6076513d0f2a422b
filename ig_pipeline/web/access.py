"""Who may: bearer tokens for programs, and what a service without a token has to refuse.

Comparison takes the same time whatever differs. Without its token a service is for this machine alone: it listens on
loopback, goes by no other name, and stands behind no proxy. Browsers that signed in are `sessions`'.
"""

import hashlib
import hmac

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from ig_pipeline.settings import Settings, is_loopback
from ig_pipeline.web.origins import Names, host_of


class AddressRefusedError(Exception):
    """A service would be open to others without a token. The message says what to set."""


def check_exposure(settings: Settings) -> None:
    """Refuse a web service that others could reach without `IG_PIPELINE_API_TOKEN`. Raises `AddressRefusedError`."""
    if settings.api_token is not None:
        return
    if not is_loopback(settings.web_host):
        raise AddressRefusedError(
            f"Refusing to listen on {settings.web_host}: without IG_PIPELINE_API_TOKEN anyone there could read "
            "everything. Set it (`openssl rand -hex 32`), or listen on 127.0.0.1."
        )
    if settings.public_url is not None and not is_loopback(host_of(settings.public_url)):
        raise AddressRefusedError(
            f"Refusing to serve {settings.public_url}: without IG_PIPELINE_API_TOKEN anyone who reaches it could read "
            "everything. Set it (`openssl rand -hex 32`), or leave IG_PIPELINE_PUBLIC_URL empty."
        )
    if settings.proxy_addresses:
        raise AddressRefusedError(
            "Refusing to serve a reverse proxy (IG_PIPELINE_PROXY_ADDRESSES): without IG_PIPELINE_API_TOKEN anyone "
            "behind it could read everything. Set it (`openssl rand -hex 32`)."
        )


def check_ui_exposure(settings: Settings, host: str) -> None:
    """Refuse Dagster's UI on `host` where others could reach it without `IG_PIPELINE_ADMIN_TOKEN`.

    Raises `AddressRefusedError`.
    """
    if settings.admin_token is not None:
        return
    if not is_loopback(host):
        raise AddressRefusedError(
            f"Refusing to serve Dagster's UI on {host}: without a login anyone there could start and wipe everything. "
            "Set IG_PIPELINE_ADMIN_TOKEN (`openssl rand -hex 32`), which the UI then asks for, or leave out --host."
        )
    if settings.ui_url is not None and not is_loopback(host_of(settings.ui_url)):
        raise AddressRefusedError(
            f"Refusing to serve Dagster's UI at {settings.ui_url}: without a login anyone who reaches it could start "
            "and wipe everything. Set IG_PIPELINE_ADMIN_TOKEN (`openssl rand -hex 32`), which the UI then asks for."
        )


def web_names(settings: Settings) -> Names:
    """The names the web service goes by."""
    if settings.api_token is None:
        return Names.of_this_machine(settings.effective_public_url)
    return Names.of(settings.effective_public_url, settings.web_host, settings.allowed_hosts)


def ui_names(settings: Settings, *, host: str, port: int) -> Names:
    """The names Dagster's UI goes by when it listens on `host:port`."""
    listens_at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if settings.admin_token is None:
        return Names.of_this_machine(settings.ui_url or listens_at)
    return Names.of(settings.ui_url or listens_at, host, settings.allowed_hosts)


class Access:
    """The tokens of one web service. Nothing here prints or returns them."""

    def __init__(self, settings: Settings) -> None:
        self._api = settings.api_token
        self._admin = settings.admin_token

    @property
    def open(self) -> bool:
        """Whether reading needs no token, because no one but this machine can."""
        return self._api is None

    @property
    def has_admin(self) -> bool:
        """Whether there is an admin token at all."""
        return self._admin is not None

    def may_read(self, connection: HTTPConnection) -> bool:
        """With the API token or the admin token; without any where there is none."""
        return self.open or self.knows_api_token(bearer_of(connection)) or self.is_admin(connection)

    def is_admin(self, connection: HTTPConnection) -> bool:
        """With the admin token, always."""
        return same(bearer_of(connection), self._admin)

    def knows_api_token(self, given: str | None) -> bool:
        """Whether this is the API token."""
        return same(given, self._api)


def bearer_of(connection: HTTPConnection) -> str | None:
    """The bearer token of a request, None when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def same(given: str | None, expected: SecretStr | None) -> bool:
    """Whether both are there and equal, in constant time whatever their lengths."""
    if given is None or expected is None:
        return False
    digests = [
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected.get_secret_value())
    ]
    return hmac.compare_digest(*digests)
