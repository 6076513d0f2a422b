"""What a token was granted, and the accounts it opens when the plain listing shows none.

See docs/graph_api.md#facebook-login.

One id or Page that cannot be read never costs the person the others; why, is raised only when none can be.
Facebook Login only: Instagram Login has no `debug_token`, and its token belongs to one account.
"""

import logging
from collections.abc import Callable

from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import (
    ACCOUNT_FIELDS,
    PAGE_FIELDS,
    FoundAccount,
    find_accounts,
    is_object_id,
    read_account,
    read_page,
)
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.errors import (
    AppFaultError,
    GraphError,
    MalformedAnswerError,
    ObjectGoneError,
    PermissionMissingError,
    RateLimitedError,
    TokenDeadError,
    TransientError,
)
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import MetaApp, inspect_token
from ig_pipeline.graph_api.token_answers import TokenFacts

log = logging.getLogger(__name__)

_BUSINESS = "business_management"
_ACCOUNT_SCOPES = ("instagram_basic", "instagram_manage_insights")
_PAGE_SCOPES = ("pages_show_list", "pages_read_engagement")


async def find_granted_accounts(
    client: GraphClient, app: MetaApp | None, token: SecretStr, login: Login
) -> list[FoundAccount]:
    """The professional accounts behind `token`, also those of Pages that belong to a Business Manager.

    Without `business_management` such Pages are missing from `/me/accounts` without an error; the ids the person
    ticked in the dialog then lead to them, where the app is known. Raises `PermissionMissingError` when only that scope
    can help, and what kept ids and Pages from being read when none could be.
    """
    if login == "instagram":
        return await find_accounts(client, token, login)
    problems: list[GraphError] = []
    if listed := await _listed(client, token, problems):
        return listed
    facts = None if app is None else await inspect_token(client, app, token)
    credentials = Credentials(account_id="", token=token, login=login)
    if facts and (granted := await _granted(client, credentials, facts, problems)):
        return granted
    # An empty listing is silence (docs/graph_api.md#silence): it is asked once more before a person is told that there
    # is no account.
    if listed := await _listed(client, token, problems):
        return listed
    if (error := _most_telling(problems, facts)) is not None:
        raise error
    return []


async def _listed(client: GraphClient, token: SecretStr, problems: list[GraphError]) -> list[FoundAccount]:
    try:
        return await find_accounts(client, token, "facebook")
    except MalformedAnswerError as error:
        problems.append(error)
        return []


async def _granted(
    client: GraphClient, credentials: Credentials, facts: TokenFacts, problems: list[GraphError]
) -> list[FoundAccount]:
    """The accounts behind the granted ids; those of Pages are asked only when ids of accounts left something open."""
    ways: tuple[tuple[tuple[str, ...], str, Callable[[Json], list[FoundAccount]]], ...] = (
        (_ACCOUNT_SCOPES, ACCOUNT_FIELDS, lambda node: [read_account(node, "facebook")]),
        (_PAGE_SCOPES, PAGE_FIELDS, read_page),
    )
    found: dict[str, FoundAccount] = {}
    for scopes, fields, read in ways:
        unread = 0
        for target in _targets(facts, scopes):
            try:
                node = await client.get(target, {"fields": fields}, credentials=credentials, interactive=True)
                found.update({account.account_id: account for account in read(node)})
            except TokenDeadError:
                raise  # so will be all others
            except GraphError as error:
                log.warning("One of the ids a person granted cannot be read (%s).", error)
                problems.append(error)
                unread += 1
        if found and not unread:
            break
    return list(found.values())


def _most_telling(problems: list[GraphError], facts: TokenFacts | None) -> GraphError | None:
    """Why no account was found: what may pass, what the operator or the person can mend, then any other refusal."""
    for kind in (RateLimitedError, TransientError, AppFaultError, PermissionMissingError):
        for error in problems:
            if isinstance(error, kind):
                return error
    if facts is not None and _BUSINESS not in facts.scopes:
        return PermissionMissingError(
            "No Page with an Instagram professional account is visible. If the Page belongs to a Business Manager, "
            f"connect again and grant {_BUSINESS}.",
            scope=_BUSINESS,
        )
    return next((error for error in problems if not isinstance(error, ObjectGoneError)), None)


def _targets(facts: TokenFacts, scopes: tuple[str, ...]) -> list[str]:
    """The granted ids, each once; what is no id is not asked for."""
    named = dict.fromkeys(target for scope in scopes for target in facts.targets.get(scope, ()))
    return [target for target in named if is_object_id(target)]
