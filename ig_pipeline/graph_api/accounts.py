"""Finds the professional accounts behind a token, and reads an account's profile (docs/graph_api.md#facebook-login).

Reading only; codes, tokens and their exchange are `oauth`.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.errors import MalformedAnswerError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.insight_values import number
from ig_pipeline.graph_api.pages import iterate_pages
from ig_pipeline.graph_api.texts import one_line, storable

log = logging.getLogger(__name__)

ACCOUNT_FIELDS = "id,username,name,followers_count"
PAGE_FIELDS = f"id,name,instagram_business_account{{{ACCOUNT_FIELDS}}}"
# Part of paths, addresses and file names; ASCII digits, which `isdecimal` does not promise.
_ID = re.compile(r"[0-9]{1,30}")


def is_object_id(text: str) -> bool:
    """Whether `text` may stand in a path as the id of an object of Meta's."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class FoundAccount:
    """A professional account a token can read. `followers_count` is None where the login does not tell.

    `person_id`: with Instagram Login the id by which Meta's callbacks to the app name the account's owner.
    """

    account_id: str
    username: str
    name: str | None
    followers_count: int | None
    login: Login
    person_id: str | None = None


@dataclass(frozen=True)
class Profile:
    """An account's public face at the moment of asking; the picture's URL expires and is no key."""

    account_id: str
    username: str
    name: str | None
    biography: str | None
    website: str | None
    followers_count: int | None
    follows_count: int | None
    media_count: int | None
    profile_picture_url: str | None


async def find_accounts(client: GraphClient, token: SecretStr, login: Login) -> list[FoundAccount]:
    """The professional accounts behind `token`; empty when none is shown. Raises `GraphError`.

    Facebook Login: those of the Pages the person has; a Page without one is passed over, and so is one that cannot be
    read, unless there is no other: then `MalformedAnswerError`. An empty answer may also mean that
    `business_management` is missing: `grants.find_granted_accounts` knows another way.
    """
    credentials = Credentials(account_id="", token=token, login=login)
    if login == "instagram":
        return await client.fetch(
            "me",
            {"fields": "user_id,username,name,account_type,followers_count"},
            credentials=credentials,
            parse=_read_me,
        )
    found: dict[str, FoundAccount] = {}
    odd: list[MalformedAnswerError] = []
    async for rows in iterate_pages(
        client, "me/accounts", {"fields": PAGE_FIELDS}, credentials=credentials, parse=list
    ):
        for row in rows:
            try:
                found.update({account.account_id: account for account in read_page(row)})
            except MalformedAnswerError as error:
                odd.append(error)
    if odd:
        log.warning("%d of a person's Pages cannot be read. %s", len(odd), odd[0])
    if odd and not found:
        raise odd[0]
    return list(found.values())


async def read_person_id(client: GraphClient, token: SecretStr) -> str | None:
    """The id by which Meta's callbacks name the person behind a Facebook Login token. Raises `GraphError`."""
    credentials = Credentials(account_id="", token=token, login="facebook")
    return await client.fetch("me", {"fields": "id"}, credentials=credentials, parse=lambda node: _text(node, "id"))


def read_profile_fields(row: Json) -> Profile:
    """A profile from whatever fields were asked for; an id must be there. Raises `MalformedAnswerError`."""
    return Profile(
        account_id=_identifier(row, "user_id" if "user_id" in row else "id"),
        username=_text(row, "username") or "",
        name=_text(row, "name"),
        biography=_text(row, "biography"),
        website=_text(row, "website"),
        followers_count=_integer(row, "followers_count"),
        follows_count=_integer(row, "follows_count"),
        media_count=_integer(row, "media_count"),
        profile_picture_url=_text(row, "profile_picture_url"),
    )


def read_account(row: Json, login: Login) -> FoundAccount:
    """A professional account from its node. Raises `MalformedAnswerError` without id or username."""
    username = str(one_line(_text(row, "username") or ""))
    if not username:
        raise MalformedAnswerError("The account has no username.")
    return FoundAccount(
        account_id=_identifier(row, "user_id" if "user_id" in row else "id"),
        username=username,
        name=_text(row, "name"),
        followers_count=_integer(row, "followers_count"),
        login=login,
    )


def _read_me(answer: Json) -> list[FoundAccount]:
    if _text(answer, "account_type") == "PERSONAL":
        return []
    # `user_id` is the professional account's id, `id` the owner's towards our app (docs/graph_api.md#instagram-login).
    return [replace(read_account(answer, "instagram"), person_id=_text(answer, "id"))]


def read_page(page: object) -> list[FoundAccount]:
    """The account of a Facebook Page; empty when it has none, for then the field is left out or null.

    Raises `MalformedAnswerError` for what is no Page, and for an account without id or username.
    """
    if not isinstance(page, Mapping) or "id" not in page:
        raise MalformedAnswerError("A Page is not an object with an id.")
    node = page.get("instagram_business_account")
    if node is None:
        return []
    if not isinstance(node, Mapping):
        raise MalformedAnswerError("The account of a Page is not an object.")
    return [read_account(node, "facebook")]


def _identifier(row: Json, name: str) -> str:
    """Ids come as strings or as bare integers beyond 2^53; Python keeps both exact.

    See docs/graph_api.md#instagram-login.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or not _ID.fullmatch(str(value)):
        raise MalformedAnswerError(f"The account has no usable {name}.")
    return str(value)


def _text(row: Json, name: str) -> str | None:
    value = row.get(name)
    return str(storable(value)) if isinstance(value, str) else None


def _integer(row: Json, name: str) -> int | None:
    value = number(row.get(name))
    return value if isinstance(value, int) else None
