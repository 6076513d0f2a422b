"""Refreshes the tokens that are near their end, one account after the other's failure notwithstanding.

A fault of the app is met once and told once: the other accounts of its login are left for the next time.
How one token is refreshed is the vault's; when this happens is the caller's (a schedule, the command line).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.graph_api.errors import AppFaultError, GraphError
from ig_pipeline.meta import sentence_of
from ig_pipeline.redaction import redact
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.vault.cipher import KeyRingError
from ig_pipeline.vault.tokens import REFRESH_WITHIN, RefreshOutcome, TokenVault

TokenOutcome = RefreshOutcome | Literal["not_asked"]


@dataclass(frozen=True)
class TokenResult:
    """What became of one account's token. `error` says why it could not be asked for now.

    `not_asked`: another account of the same login has met a fault of the app.
    """

    account_key: str
    outcome: TokenOutcome | None
    expires_at: datetime | None
    """After the attempt, UTC; None when Meta says that it never ends, or when there is no token any more."""
    error: str | None = None
    assumed: bool = False
    """Whether Meta did not say when it ends."""
    data_access_expires_at: datetime | None = None
    """Until when the token reads, UTC, where Meta tells."""


async def refresh_tokens(
    engine: sa.Engine,
    vault: TokenVault,
    *,
    account_keys: Sequence[str] | None = None,
    within: timedelta = REFRESH_WITHIN,
) -> list[TokenResult]:
    """Refresh every connected account's token (or those of `account_keys`) that ends `within`; one result each.

    A token Meta refuses for good marks its connection; what may pass is reported and tried again next time.
    """
    results = []
    refused: set[str] = set()  # logins whose app Meta refuses
    for connection in _chosen(engine, account_keys):
        outcome: TokenOutcome | None = None
        error: str | None = None
        try:
            if connection.login in refused:
                outcome = "not_asked"
            else:
                outcome = await vault.refresh_if_due(connection.account_key, within=within)
        except (GraphError, KeyRingError) as problem:
            error = redact(sentence_of(problem))
            if isinstance(problem, AppFaultError):
                refused.add(connection.login)
        results.append(_result(engine, connection.account_key, outcome, error))
    return results


def _chosen(engine: sa.Engine, account_keys: Sequence[str] | None) -> list[Connection]:
    with reading(engine) as db:
        connected = {found.account_key: found for found in list_connections(db, statuses=[CONNECTED])}
    return [connected[key] for key in (connected if account_keys is None else account_keys) if key in connected]


def _result(engine: sa.Engine, account_key: str, outcome: TokenOutcome | None, error: str | None) -> TokenResult:
    with reading(engine) as db:
        connection = by_account_key(db, account_key)
    end = connection.token_end
    return TokenResult(
        account_key,
        outcome,
        end.at if end else None,
        error,
        assumed=end is not None and end.assumed,
        data_access_expires_at=connection.data_access_expires_at,
    )
