"""Both of Meta's logins, from the consent dialog to a long-lived token and its refresh.

See docs/graph_api.md#facebook-login.

Addresses and exchanges only. `state`, cookies and callbacks are the web service's, storing tokens is the vault's.
Some of Meta's token endpoints take secrets in the query and nowhere else: such addresses are never logged or raised.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from pydantic import SecretStr

from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.client import Credentials, GraphClient, Request
from ig_pipeline.graph_api.errors import (
    AppFaultError,
    BadRequestError,
    GraphError,
    LoginCodeError,
    MalformedAnswerError,
    TokenDeadError,
)
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.token_answers import (
    CodeGrant,
    FreshToken,
    TokenFacts,
    read_code_grant,
    read_token,
    read_token_facts,
)
from ig_pipeline.token_ends import NEVER

log = logging.getLogger(__name__)

# Without `business_management` Pages owned through a Business Manager are invisible, without an error
# (docs/graph_api.md#facebook-login).
SCOPES: Mapping[Login, tuple[str, ...]] = {
    "facebook": (
        "instagram_basic",
        "instagram_manage_insights",
        "pages_show_list",
        "pages_read_engagement",
        "business_management",
    ),
    "instagram": ("instagram_business_basic", "instagram_business_manage_insights"),
}
REQUIRED_SCOPES: Mapping[Login, tuple[str, ...]] = {
    "facebook": SCOPES["facebook"][:4],
    "instagram": SCOPES["instagram"],
}
# Instagram refuses to refresh a younger token (docs/graph_api.md#instagram-login).
MIN_AGE_FOR_REFRESH = timedelta(hours=24)
_TOO_YOUNG = "Instagram refreshes a token only from 24 hours after it was issued."


class LoginDeclinedError(GraphError):
    """The person said no in the consent dialog."""

    actor = "owner"


class TokenTooYoungError(BadRequestError):
    """Instagram refreshes a token only from 24 hours after it was issued: nothing to do yet."""

    actor = "no_one"


class NoAppError(BadRequestError):
    """The Meta app's id or secret is not known, without which no one logs in with it and its tokens are not renewed."""

    about = ("app_id", "app_secret")

    def __init__(self) -> None:
        super().__init__("To log in or renew a token, the id and the secret of the Meta app have to be set.")


def code_of_callback(query: Mapping[str, str]) -> str:
    """The code in the query of the redirect back from the dialog, without the `#_` that Instagram appends.

    Raises `LoginDeclinedError`, or `LoginCodeError` when there is no code.
    """
    if query.get("error"):
        raise LoginDeclinedError("Access to Instagram was declined. Nothing was stored; you can connect at any time.")
    code = query.get("code", "").removesuffix("#_")
    if not code:
        raise LoginCodeError("Instagram sent no code. Start connecting again from the beginning.")
    return code


def missing_scopes(login: Login, granted: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes nothing works without that were not granted."""
    return tuple(scope for scope in REQUIRED_SCOPES[login] if scope not in granted)


@dataclass(frozen=True)
class MetaApp:
    """The Meta app: for Instagram Login its Instagram app id and secret."""

    app_id: str
    secret: SecretStr


NO_APP = MetaApp("", SecretStr(""))


class TokenRefresher:
    """The vault's refresher. Only Facebook Login needs the app for it: without one, tokens of that login end."""

    def __init__(self, client: GraphClient, app: MetaApp | None) -> None:
        self._client = client
        self._app = app

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        """`token` renewed. Raises `TokenDeadError` when only its owner can help, other `GraphError` otherwise."""
        if login == "facebook" and self._app is None:
            raise NoAppError
        return await MetaLogin(self._client, self._app or NO_APP).refresh(login, token)

    async def inspect(self, login: Login, token: SecretStr) -> TokenFacts | None:
        """What Meta says of `token` now; None where it cannot be asked. Raises `GraphError`."""
        if login == "instagram" or self._app is None:
            return None
        return await inspect_token(self._client, self._app, token)


async def inspect_token(client: GraphClient, app: MetaApp, token: SecretStr) -> TokenFacts:
    """What `debug_token` knows of a Facebook Login token; Instagram Login has no such thing. Raises `GraphError`.

    It is asked with the app's own token: one that Meta refuses is a fault of the app, not of `token`.
    """
    request = Request(
        client.hosts.graph("facebook", "debug_token"),
        params={"input_token": token.get_secret_value()},
        token=SecretStr(f"{app.app_id}|{app.secret.get_secret_value()}"),
        interactive=True,
    )
    try:
        return await client.send(request, parse=read_token_facts)
    except TokenDeadError as error:
        raise AppFaultError(
            "Meta refuses the app's own id and secret. Check both.",
            cause="credentials",
            origin=error.origin,
        ) from None


async def take_back_consent(client: GraphClient, token: SecretStr) -> None:
    """End the consent behind a token of Facebook Login, and with it every token that the person gave the app.

    Raises `TokenDeadError` when it is over already, other `GraphError`.
    """
    credentials = Credentials("", token, "facebook")
    url = client.hosts.graph("facebook", "me/permissions")
    request = Request(url, method="DELETE", params=client.proof(credentials), token=token, interactive=True)
    await client.send(request, parse=_confirmed)


def _confirmed(answer: Json) -> None:
    if answer.get("success") is not True:
        raise MalformedAnswerError("Meta did not confirm it.")


class MetaLogin:
    """The logins of one Meta app."""

    def __init__(self, client: GraphClient, app: MetaApp) -> None:
        self._client = client
        self._app = app

    def authorize_url(self, login: Login, *, redirect_uri: str, state: str) -> str:
        """Where to send the person for consent."""
        hosts = self._client.hosts
        query = urlencode(
            {
                "client_id": self._app.app_id,
                "redirect_uri": redirect_uri,
                "response_type": "code",
                "scope": ",".join(SCOPES[login]),
                "state": state,
            }
        )
        if login == "facebook":
            return f"{hosts.facebook_dialog}/{hosts.version}/dialog/oauth?{query}"
        return f"{hosts.instagram_dialog}/oauth/authorize?{query}"

    async def exchange_code(self, login: Login, code: str, *, redirect_uri: str) -> CodeGrant:
        """A short-lived token for a login's code. `redirect_uri` is the very one of `authorize_url`.

        Raises `LoginCodeError` when the code was used, is too old or belongs to another redirect.
        """
        fields = {
            "client_id": self._app.app_id,
            "client_secret": self._app.secret.get_secret_value(),
            "redirect_uri": redirect_uri,
            "code": code.removesuffix("#_"),
        }
        if login == "facebook":
            request = Request(self._facebook_token_url(), params=fields, interactive=True)
        else:
            form = {**fields, "grant_type": "authorization_code"}
            url = f"{self._client.hosts.instagram_api}/oauth/access_token"
            request = Request(url, method="POST", form=form, interactive=True)
        return await self._client.send(request, parse=lambda answer: read_code_grant(answer, now=self._client.clock()))

    async def long_lived(self, login: Login, token: SecretStr) -> FreshToken:
        """The sixty-day token for a short-lived one."""
        if login == "facebook":
            return await self._exchange_facebook(token)
        params = {
            "grant_type": "ig_exchange_token",
            "client_secret": self._app.secret.get_secret_value(),
            "access_token": token.get_secret_value(),
        }
        return await self._ask(f"{self._client.hosts.instagram_graph}/access_token", params)

    async def refresh(self, login: Login, token: SecretStr, *, issued_at: datetime | None = None) -> FreshToken:
        """A long-lived token's sixty days, counted from now again; the token itself may be another one.

        `issued_at` (UTC), when known, spares a call that Instagram would refuse. Raises `TokenDeadError` for an
        expired or revoked token, `TokenTooYoungError`, other `GraphError`.
        """
        if login == "facebook":
            return await self._exchange_facebook(token)
        if issued_at is not None and self._client.clock() - issued_at < MIN_AGE_FOR_REFRESH:
            raise TokenTooYoungError(_TOO_YOUNG)
        params = {"grant_type": "ig_refresh_token", "access_token": token.get_secret_value()}
        try:
            return await self._ask(f"{self._client.hosts.instagram_graph}/refresh_access_token", params)
        except BadRequestError as error:
            if "24 hours" in str(error):
                raise TokenTooYoungError(_TOO_YOUNG, origin=error.origin) from None
            raise

    async def with_end(self, login: Login, fresh: FreshToken) -> FreshToken:
        """`fresh` with its end looked up where the answer that brought it did not say; as it is where no one tells.

        Raises nothing: the token works, whatever is known of its end.
        """
        told = fresh.expires_at is not None or fresh.expiry == NEVER
        if told or login == "instagram" or self._app == NO_APP:
            return fresh
        try:
            facts = await inspect_token(self._client, self._app, fresh.token)
        except GraphError as error:
            log.warning("The end of a token could not be looked up (%s); it is assumed.", error)
            return fresh
        return replace(
            fresh,
            expires_at=facts.expires_at,
            expiry=facts.expiry,
            data_access_expires_at=facts.data_access_expires_at,
        )

    async def _exchange_facebook(self, token: SecretStr) -> FreshToken:
        """Facebook Login has no refresh: exchanging a valid long-lived token again renews it.

        See docs/graph_api.md#facebook-login.
        """
        params = {
            "grant_type": "fb_exchange_token",
            "client_id": self._app.app_id,
            "client_secret": self._app.secret.get_secret_value(),
            "fb_exchange_token": token.get_secret_value(),
        }
        return await self._ask(self._facebook_token_url(), params)

    async def _ask(self, url: str, params: Mapping[str, str]) -> FreshToken:
        request = Request(url, params=params, interactive=True)
        return await self._client.send(request, parse=lambda answer: read_token(answer, now=self._client.clock()))

    def _facebook_token_url(self) -> str:
        return self._client.hosts.graph("facebook", "oauth/access_token")
