"""What a token was granted, and the accounts it opens when the plain listing shows none (facts §3.1).

Facebook Login only: Instagram Login has no `debug_token`, and its token belongs to one account.
"""

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import ACCOUNT_FIELDS, FoundAccount, find_accounts, read_account, read_page
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.errors import ObjectGoneError, PermissionMissingError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import MetaApp, inspect_token
from ig_pipeline.graph_api.token_answers import TokenFacts

_BUSINESS = "business_management"
_ACCOUNT_SCOPES = ("instagram_basic", "instagram_manage_insights")
_PAGE_SCOPES = ("pages_show_list", "pages_read_engagement")


async def find_granted_accounts(
    client: GraphClient, app: MetaApp, token: SecretStr, login: Login
) -> list[FoundAccount]:
    """The professional accounts behind `token`, also those of Pages that belong to a Business Manager.

    Without `business_management` such Pages are missing from `/me/accounts` without an error; the ids the person
    ticked in the dialog then lead to them. Raises `PermissionMissingError` when only that scope can help.
    """
    found = await find_accounts(client, token, login)
    if found or login == "instagram":
        return found
    facts = await inspect_token(client, app, token)
    credentials = Credentials(account_id="", token=token, login=login)
    accounts = {account.account_id: account for account in await _granted(client, credentials, facts)}
    if not accounts and _BUSINESS not in facts.scopes:
        raise PermissionMissingError(
            "No Page with an Instagram professional account is visible. If the Page belongs to a Business Manager, "
            f"connect again and grant {_BUSINESS}.",
            scope=_BUSINESS,
        )
    return list(accounts.values())


async def _granted(client: GraphClient, credentials: Credentials, facts: TokenFacts) -> list[FoundAccount]:
    found: list[FoundAccount] = []
    for account_id in _targets(facts, _ACCOUNT_SCOPES):
        try:
            node = await client.get(account_id, {"fields": ACCOUNT_FIELDS}, credentials=credentials)
        except (ObjectGoneError, PermissionMissingError):
            continue
        found.append(read_account(node, "facebook"))
    if found:
        return found
    for page_id in _targets(facts, _PAGE_SCOPES):
        fields = f"id,name,instagram_business_account{{{ACCOUNT_FIELDS}}}"
        try:
            found.extend(read_page(await client.get(page_id, {"fields": fields}, credentials=credentials)))
        except (ObjectGoneError, PermissionMissingError):
            continue
    return found


def _targets(facts: TokenFacts, scopes: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(target for scope in scopes for target in facts.targets.get(scope, ())))
