"""Ending a token at Meta when it is destroyed here: where the login allows it, once, and what came of it.

Best effort: whatever Meta says, the token is gone from here before it is asked. Facebook Login takes a person's consent
back as a whole (`DELETE /me/permissions`), with every token it gave us; Instagram Login has no call for it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.graph_api.client import GraphClient
from ig_pipeline.graph_api.errors import GraphError, TokenDeadError
from ig_pipeline.graph_api.oauth import take_back_consent
from ig_pipeline.storage import meta_people, token_rows
from ig_pipeline.storage.connections import CONNECTED, Connection, list_connections, lock
from ig_pipeline.vault.cipher import KeyRing, KeyRingError
from ig_pipeline.vault.token_vault import opened

AtMeta = Literal["revoked", "not_valid_anyway", "still_in_use", "not_possible", "failed"]

# Somebody waits for the answer.
_WAIT_S = 10.0
_BY_HAND = {
    "facebook": "The owner ends it in Facebook's settings under Business Integrations.",
    "instagram": "The owner ends it in Instagram's settings under Apps and websites.",
}


@dataclass(frozen=True)
class TokenEnded:
    """What became of a destroyed token at Meta; `sentence` tells a person."""

    account_key: str
    at_meta: AtMeta
    sentence: str


@dataclass(frozen=True)
class Taken:
    """A token that is about to be destroyed here. `token` None: it cannot be read."""

    account_key: str
    login: str
    token: SecretStr | None
    also_of: str | None
    """Account key of a connection that lives on by the same person's consent."""


def take_tokens(db: sa.Connection, keys: KeyRing, connections: Sequence[Connection]) -> list[Taken]:
    """The tokens of `connections`, in the transaction that destroys them; of those that have one."""
    leaving = {connection.id for connection in connections}
    staying = [
        connection
        for connection in list_connections(db)
        if connection.login == "facebook" and connection.status == CONNECTED and connection.id not in leaving
    ]
    people = meta_people.by_connection(db)
    found: list[Taken] = []
    for connection in connections:
        lock(db, connection.id)
        row = token_rows.read(db, connection.account_key)
        if row.ciphertext is None:
            continue
        try:
            token = opened(row, keys)
        except KeyRingError:
            token = None
        found.append(Taken(connection.account_key, connection.login, token, _also_of(connection, staying, people)))
    return found


async def end_at_meta(client: GraphClient, taken: Sequence[Taken]) -> list[TokenEnded]:
    """Take back the consents behind tokens that have been destroyed here. Raises nothing."""
    return list(await asyncio.gather(*(_end(client, one) for one in taken)))


async def _end(client: GraphClient, taken: Taken) -> TokenEnded:
    key = taken.account_key
    by_hand = _BY_HAND.get(taken.login, "")
    if taken.login != "facebook":
        return TokenEnded(key, "not_possible", f"Instagram Login has no call that ends it at Meta. {by_hand}")
    if taken.also_of is not None:
        return TokenEnded(
            key, "still_in_use", f"Its token was not ended at Meta: {taken.also_of} lives by the same person's consent."
        )
    if taken.token is None:
        return TokenEnded(key, "failed", f"Its token could not be read, so it was not ended at Meta. {by_hand}")
    try:
        async with asyncio.timeout(_WAIT_S):
            await take_back_consent(client, taken.token)
    except TokenDeadError:
        return TokenEnded(key, "not_valid_anyway", "Its token was no longer valid at Meta.")
    except (GraphError, TimeoutError) as error:
        reason = str(error) or "Meta did not answer in time."
        return TokenEnded(key, "failed", f"Its token was not ended at Meta: {reason} {by_hand}")
    return TokenEnded(key, "revoked", "Its token was ended at Meta, too.")


def _also_of(
    connection: Connection, staying: Sequence[Connection], people: Mapping[int, Collection[str]]
) -> str | None:
    """Who else would lose their token. Where the person behind one of two is not known, their address tells."""
    mine = set(people.get(connection.id, ()))
    for other in staying:
        theirs = set(people.get(other.id, ()))
        if mine & theirs if mine and theirs else other.email == connection.email:
            return other.account_key
    return None
