"""From a login's code, or a pasted token, to what a connection needs: long-lived token, its end, scopes, accounts.

The whole of consent in one place, for the web service and the command line alike. Stores nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import FoundAccount, find_accounts
from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError, PermissionMissingError
from ig_pipeline.graph_api.grants import find_granted_accounts, inspect_token
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import MetaApp, MetaLogin, missing_scopes


class NoProfessionalAccountError(GraphError):
    """The login is fine, but no Instagram professional account is behind it."""


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


def _some(accounts: list[FoundAccount], login: Login) -> tuple[FoundAccount, ...]:
    if accounts:
        return tuple(accounts)
    link = " and link it to a Facebook Page you manage" if login == "facebook" else ""
    raise NoProfessionalAccountError(
        "There is no Instagram professional account behind this login. In Instagram, switch to a Business or Creator "
        f"account{link}, then connect again."
    )
