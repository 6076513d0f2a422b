"""Refreshes the tokens that are near their end, side by side: neither a failure nor a slow answer holds up the others.

A fault of the app is told once: the other accounts of its login are left for the next time.
How one token is refreshed is the vault's; when this happens is the caller's (a schedule, the command line).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
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
from ig_pipeline.vault.token_vault import REFRESH_WITHIN, RefreshOutcome, TokenVault

ACCOUNTS_AT_ONCE = 8
HEAD_START_S = 5.0
"""The first account of a login goes alone for so long at most, so that an app that Meta refuses is asked for once."""

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
    run = _Run(engine, vault, within)
    chosen = _chosen(engine, account_keys)
    # All of them to their end, whatever one raises: nothing goes on behind the caller's back.
    results = await asyncio.gather(*map(run.refresh, chosen), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, TokenResult)]


class _Run:
    """What the accounts of one refresh share: how many are asked for at once, and which logins' app Meta refuses."""

    def __init__(self, engine: sa.Engine, vault: TokenVault, within: timedelta) -> None:
        self._engine = engine
        self._vault = vault
        self._within = within
        self._gate = asyncio.Semaphore(ACCOUNTS_AT_ONCE)
        self._first_is_through: dict[str, asyncio.Event] = {}
        self._refused: set[str] = set()

    async def refresh(self, connection: Connection) -> TokenResult:
        """The account's result, after that of the first account of its login unless that one is slow."""
        first = self._first_is_through.get(connection.login)
        mine = self._first_is_through.setdefault(connection.login, asyncio.Event())
        if first is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START_S):
                    await first.wait()
        async with self._gate:
            try:
                outcome, error = await self._attempt(connection)
            finally:
                mine.set()
        return await asyncio.to_thread(_result, self._engine, connection.account_key, outcome, error)

    async def _attempt(self, connection: Connection) -> tuple[TokenOutcome | None, str | None]:
        if connection.login in self._refused:
            return "not_asked", None
        try:
            return await self._vault.refresh_if_due(connection.account_key, within=self._within), None
        except (GraphError, KeyRingError) as problem:
            if isinstance(problem, AppFaultError):
                if connection.login in self._refused:  # by another, while this one was asked for: it is told already
                    return "not_asked", None
                self._refused.add(connection.login)
            return None, redact(sentence_of(problem))


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
