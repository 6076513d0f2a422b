"""From a login's code, or a pasted token, to what a connection needs: long-lived token, its end, scopes, accounts.

The whole of consent in one place, for the web service and the command line alike. `sync.connecting` stores it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import FoundAccount, read_person_id
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError, PermissionMissingError, RateLimitedError, TransientError
from ig_pipeline.graph_api.grants import find_granted_accounts
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import NO_APP, MetaApp, MetaLogin, inspect_token, missing_scopes
from ig_pipeline.graph_api.token_answers import CodeGrant, FreshToken, TokenFacts
from ig_pipeline.token_ends import NEVER, Expiry

# For a token of unknown age: longer than the day after which Instagram refreshes one, with two more days of chances
# every six hours.
UNKNOWN_AGE_LIFE = timedelta(days=3)


class NoProfessionalAccountError(GraphError):
    """The login is fine, but no Instagram professional account is behind it."""

    actor = "owner"


@dataclass(frozen=True)
class Consent:
    """A token that works and what it opens. `scopes` is empty where Meta does not tell.

    `expires_at` (UTC) is None where Meta did not say, or when `expiry` is "never". `data_access_expires_at` (UTC) is
    until when the token reads, where that is known. `person_ids`: who consented, by the ids Meta names that person
    with in its callbacks to the app.
    """

    login: Login
    token: SecretStr
    expires_at: datetime | None
    scopes: tuple[str, ...]
    accounts: tuple[FoundAccount, ...]
    person_ids: tuple[str, ...] = ()
    expiry: Expiry = "stated"
    data_access_expires_at: datetime | None = None


async def complete_login(client: GraphClient, app: MetaApp, login: Login, code: str, *, redirect_uri: str) -> Consent:
    """Exchange a login's code for a long-lived token and find its accounts.

    Raises `LoginCodeError` (used, too old, foreign), `PermissionMissingError` naming the scope that was not granted,
    `NoProfessionalAccountError`, other `GraphError`.
    """
    grant = await MetaLogin(client, app).exchange_code(login, code, redirect_uri=redirect_uri)
    return await _consent_to(client, app, login, grant.token, grant)


async def adopt_token(client: GraphClient, app: MetaApp | None, login: Login, token: SecretStr) -> Consent:
    """The same for a token that someone got elsewhere, from the App Dashboard for example.

    Without the app a Facebook token stays as it is, and its end and scopes unknown. Raises `TokenDeadError`,
    `PermissionMissingError`, `NoProfessionalAccountError`, other `GraphError`.
    """
    return await _consent_to(client, app, login, token, None)


async def _consent_to(
    client: GraphClient, app: MetaApp | None, login: Login, token: SecretStr, grant: CodeGrant | None
) -> Consent:
    """What `token` opens. `grant`: as it came for a login's code; None for a token from elsewhere."""
    facts = await inspect_token(client, app, token) if app is not None and login == "facebook" else None
    scopes = facts.scopes if facts else grant.scopes if grant else ()
    missing = missing_scopes(login, scopes)
    if scopes and missing:
        raise PermissionMissingError(
            f"Not granted: {', '.join(missing)}. Connect again and leave every permission ticked.", scope=missing[0]
        )
    if login == "facebook":
        fresh = await _long_lived_on_facebook(client, app, token, facts)
    elif grant is not None:
        fresh = await MetaLogin(client, app or NO_APP).long_lived(login, token)
    else:
        fresh = await _long_lived_on_instagram(client, app, token)
    accounts = await find_granted_accounts(client, app, fresh.token, login)
    if login == "facebook":
        people = [facts.user_id if facts else await read_person_id(client, token)]
    else:  # which of its two ids Meta's callbacks use for the owner of an account is not documented
        people = [grant.user_id if grant else None]
        people += [person for account in accounts for person in (account.account_id, account.person_id)]
    return Consent(
        login,
        fresh.token,
        fresh.expires_at,
        scopes,
        _some(accounts, login),
        tuple(dict.fromkeys(person for person in people if person)),
        fresh.expiry,
        # An exchange does not move the end of reading: it is that of the token the login gave.
        fresh.data_access_expires_at or (facts.data_access_expires_at if facts else None),
    )


async def _long_lived_on_facebook(
    client: GraphClient, app: MetaApp | None, token: SecretStr, facts: TokenFacts | None
) -> FreshToken:
    """`token` exchanged for one of sixty days unless it never ends; as it is without the app."""
    if app is None:
        return FreshToken(token, None, "assumed")
    if facts is not None and facts.expiry == NEVER:
        return FreshToken(token, None, NEVER)
    meta = MetaLogin(client, app)
    return await meta.with_end("facebook", await meta.long_lived("facebook", token))


async def _long_lived_on_instagram(client: GraphClient, app: MetaApp | None, token: SecretStr) -> FreshToken:
    """A token of unknown age with an end that can be acted upon. Instagram tells no token's end.

    An hour's token is exchanged, one of sixty days refreshed. A token younger than a day cannot be: it is taken to end
    after `UNKNOWN_AGE_LIFE`, and so is refreshed as soon as Instagram allows. Raises `TransientError`,
    `RateLimitedError`.
    """
    meta = MetaLogin(client, app or NO_APP)
    for renew in (meta.long_lived, meta.refresh) if app else (meta.refresh,):
        try:
            return await renew("instagram", token)
        except (TransientError, RateLimitedError):
            raise
        except GraphError:
            continue  # not that kind of token, or too young: whether it works shows when its account is read
    return FreshToken(token, client.clock() + UNKNOWN_AGE_LIFE, "assumed")


def _some(accounts: list[FoundAccount], login: Login) -> tuple[FoundAccount, ...]:
    if accounts:
        return tuple(accounts)
    link = " and link it to a Facebook Page you manage" if login == "facebook" else ""
    raise NoProfessionalAccountError(
        "There is no Instagram professional account behind this login. In Instagram, switch to a Business or Creator "
        f"account{link}, then connect again."
    )
