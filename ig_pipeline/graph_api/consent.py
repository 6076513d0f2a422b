"""From a login's code, or a pasted token, to what a connection needs: long-lived token, its end, scopes, accounts.

The whole of consent in one place, for the web service and the command line alike. Stores nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError, PermissionMissingError, RateLimitedError, TransientError
from ig_pipeline.graph_api.grants import find_granted_accounts
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import NO_APP, MetaApp, MetaLogin, inspect_token, missing_scopes
from ig_pipeline.graph_api.token_answers import FreshToken, TokenFacts
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
    meta = MetaLogin(client, app)
    grant = await meta.exchange_code(login, code, redirect_uri=redirect_uri)
    scopes, person_id = grant.scopes, grant.user_id
    facts: TokenFacts | None = None
    if login == "facebook":
        facts = await inspect_token(client, app, grant.token)
        scopes, person_id = facts.scopes, facts.user_id
    missing = missing_scopes(login, scopes)
    if scopes and missing:
        raise PermissionMissingError(
            f"Not granted: {', '.join(missing)}. Connect again and leave every permission ticked.", scope=missing[0]
        )
    fresh = await meta.with_end(login, await meta.long_lived(login, grant.token))
    accounts = await find_granted_accounts(client, app, fresh.token, login)
    people = _people(person_id, accounts)
    # An exchange does not move the end of reading: it is that of the token the login gave.
    reads_until = fresh.data_access_expires_at or (facts.data_access_expires_at if facts else None)
    consent = Consent(login, fresh.token, None, scopes, _some(accounts, login), people)
    return replace(_with_token(consent, fresh), data_access_expires_at=reads_until)


async def adopt_token(client: GraphClient, app: MetaApp | None, login: Login, token: SecretStr) -> Consent:
    """What a token opens that somebody got elsewhere, the App Dashboard for example. It is taken as it is.

    Its end and scopes are known for Facebook Login when the app is. Raises `TokenDeadError`,
    `NoProfessionalAccountError`, other `GraphError`.
    """
    accounts = await find_granted_accounts(client, app, token, login)
    if app is None or login == "instagram":
        return Consent(login, token, None, (), _some(accounts, login), _people(None, accounts), expiry="assumed")
    facts = await inspect_token(client, app, token)
    return Consent(
        login,
        token,
        facts.expires_at,
        facts.scopes,
        _some(accounts, login),
        _people(facts.user_id, accounts),
        expiry=facts.expiry,
        data_access_expires_at=facts.data_access_expires_at,
    )


async def prolong(client: GraphClient, app: MetaApp | None, consent: Consent) -> Consent:
    """The same consent with a token that lives as long as it can, and an end that can be acted upon.

    A Facebook token is exchanged for one of sixty days unless it never ends; without the app its end stays unknown.
    Instagram tells no token's end: an hour's token is exchanged, one of sixty days refreshed. A token younger than a
    day cannot be: it is taken to end after `UNKNOWN_AGE_LIFE`, and so is refreshed as soon as Instagram allows.
    Raises `TransientError`, `RateLimitedError`.
    """
    if consent.login == "facebook":
        if app is None or consent.expiry == NEVER:
            return consent
        meta = MetaLogin(client, app)
        return _with_token(consent, await meta.with_end("facebook", await meta.long_lived("facebook", consent.token)))
    login = MetaLogin(client, app or NO_APP)
    for renew in (login.long_lived, login.refresh) if app else (login.refresh,):
        try:
            fresh = await renew("instagram", consent.token)
        except (TransientError, RateLimitedError):
            raise
        except GraphError:
            continue  # not that kind of token, or too young: the accounts were read with it, so it works
        return _with_token(consent, fresh)
    return replace(consent, expires_at=client.clock() + UNKNOWN_AGE_LIFE, expiry="assumed")


def _people(person_id: str | None, accounts: list[FoundAccount]) -> tuple[str, ...]:
    return tuple(person for person in (person_id, *(account.person_id for account in accounts)) if person)


def _with_token(consent: Consent, fresh: FreshToken) -> Consent:
    """The consent with a newer token; until when it reads is kept unless Meta was asked."""
    return replace(
        consent,
        token=fresh.token,
        expires_at=fresh.expires_at,
        expiry=fresh.expiry,
        data_access_expires_at=fresh.data_access_expires_at or consent.data_access_expires_at,
    )


def _some(accounts: list[FoundAccount], login: Login) -> tuple[FoundAccount, ...]:
    if accounts:
        return tuple(accounts)
    link = " and link it to a Facebook Page you manage" if login == "facebook" else ""
    raise NoProfessionalAccountError(
        "There is no Instagram professional account behind this login. In Instagram, switch to a Business or Creator "
        f"account{link}, then connect again."
    )
