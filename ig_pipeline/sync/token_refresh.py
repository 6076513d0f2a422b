"""Refreshes the tokens that are near their end, one account after the other's failure notwithstanding.

How one token is refreshed is the vault's; when this happens is the caller's (a schedule, the command line).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.redaction import redact
from ig_pipeline.storage.connections import CONNECTED, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.vault.cipher import KeyRingError
from ig_pipeline.vault.tokens import REFRESH_WITHIN, RefreshOutcome, TokenVault


@dataclass(frozen=True)
class TokenResult:
    """What became of one account's token. `error` says why it could not be asked for now."""

    account_key: str
    outcome: RefreshOutcome | None
    expires_at: datetime | None
    """After the attempt, UTC; None when Meta set no end."""
    error: str | None = None


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
    for account_key in _chosen(engine, account_keys):
        outcome: RefreshOutcome | None = None
        error: str | None = None
        try:
            outcome = await vault.refresh_if_due(account_key, within=within)
        except (GraphError, KeyRingError) as problem:
            error = redact(str(problem))
        results.append(TokenResult(account_key, outcome, _expiry(engine, account_key), error))
    return results


def _chosen(engine: sa.Engine, account_keys: Sequence[str] | None) -> list[str]:
    with reading(engine) as db:
        connected = [connection.account_key for connection in list_connections(db, statuses=[CONNECTED])]
    return connected if account_keys is None else [key for key in account_keys if key in connected]


def _expiry(engine: sa.Engine, account_key: str) -> datetime | None:
    with reading(engine) as db:
        return by_account_key(db, account_key).expires_at
