"""From a login's code, or a pasted token, to what a connection needs: long-lived token, its end, scopes, accounts.

The whole of consent in one place, for the web service and the command line alike. Stores nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import FoundAccount, find_accounts
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError, PermissionMissingError, RateLimitedError, TransientError
from ig_pipeline.graph_api.grants import find_granted_accounts, inspect_token
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import NO_APP, MetaApp, MetaLogin, missing_scopes

# Longer than the day after which Instagram refreshes a token, with two more days of chances every six hours.
ASSUMED_LIFE = timedelta(days=3)


class NoProfessionalAccountError(GraphError):
    """The login is fine, but no Instagram professional account is behind it."""

    actor = "owner"


@dataclass(frozen=True)
class Consent:
    """A token that works and what it opens. `expires_at` (UTC) and `scopes` are None and empty where nobody tells.

    `person_ids`: who consented, by the ids Meta names that person with in its callbacks to the app.
    """

    login: Login
    token: SecretStr
    expires_at: datetime | None
    scopes: tuple[str, ...]
    accounts: tuple[FoundAccount, ...]
    person_ids: tuple[str, ...] = ()


async def complete_login(client: GraphClient, app: MetaApp, login: Login, code: str, *, redirect_uri: str) -> Consent:
    """Exchange a login's code for a long-lived token and find its accounts.

    Raises `LoginCodeError` (used, too old, foreign), `PermissionMissingError` naming the scope that was not granted,
    `NoProfessionalAccountError`, other `GraphError`.
    """
    meta = MetaLogin(client, app)
    grant = await meta.exchange_code(login, code, redirect_uri=redirect_uri)
    scopes, person_id = grant.scopes, grant.user_id
    if login == "facebook":
        facts = await inspect_token(client, app, grant.token)
        scopes, person_id = facts.scopes, facts.user_id
    missing = missing_scopes(login, scopes)
    if scopes and missing:
        raise PermissionMissingError(
            f"Not granted: {', '.join(missing)}. Connect again and leave every permission ticked.", scope=missing[0]
        )
    fresh = await meta.long_lived(login, grant.token)
    accounts = await find_granted_accounts(client, app, fresh.token, login)
    people = tuple(person for person in (person_id, *(account.person_id for account in accounts)) if person)
    return Consent(login, fresh.token, fresh.expires_at, scopes, _some(accounts, login), people)


async def adopt_token(client: GraphClient, app: MetaApp | None, login: Login, token: SecretStr) -> Consent:
    """What a token opens that somebody got elsewhere, the App Dashboard for example. It is taken as it is.

    Its end and scopes are known for Facebook Login when the app is. Raises `TokenDeadError`,
    `NoProfessionalAccountError`, other `GraphError`.
    """
    if app is None or login == "instagram":
        accounts = await find_accounts(client, token, login)
        return Consent(login, token, None, (), _some(accounts, login))
    accounts = await find_granted_accounts(client, app, token, login)
    facts = await inspect_token(client, app, token)
    return Consent(login, token, facts.expires_at, facts.scopes, _some(accounts, login))


async def prolong(client: GraphClient, app: MetaApp | None, consent: Consent) -> Consent:
    """The same consent with a token that lives as long as it can, and an end somebody can act upon.

    A Facebook token that has an end is exchanged for one of sixty days; without the app its end stays unknown.
    Instagram tells no token's end: an hour's token is exchanged, one of sixty days refreshed. A token younger than a
    day cannot be: it is taken to end after `ASSUMED_LIFE`, and so is refreshed as soon as Instagram allows.
    Raises `TransientError`, `RateLimitedError`.
    """
    if consent.login == "facebook":
        if app is None or consent.expires_at is None:
            return consent
        fresh = await MetaLogin(client, app).long_lived("facebook", consent.token)
        return replace(consent, token=fresh.token, expires_at=fresh.expires_at)
    login = MetaLogin(client, app or NO_APP)
    for renew in (login.long_lived, login.refresh) if app else (login.refresh,):
        try:
            fresh = await renew("instagram", consent.token)
        except (TransientError, RateLimitedError):
            raise
        except GraphError:
            continue  # not that kind of token, or too young: the accounts were read with it, so it works
        return replace(consent, token=fresh.token, expires_at=fresh.expires_at)
    return replace(consent, expires_at=client.clock() + ASSUMED_LIFE)


def _some(accounts: list[FoundAccount], login: Login) -> tuple[FoundAccount, ...]:
    if accounts:
        return tuple(accounts)
    link = " and link it to a Facebook Page you manage" if login == "facebook" else ""
    raise NoProfessionalAccountError(
        "There is no Instagram professional account behind this login. In Instagram, switch to a Business or Creator "
        f"account{link}, then connect again."
    )
