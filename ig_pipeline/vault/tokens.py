"""Hands out tokens that work: from the database, renewed in time, by one process at a time (design §10).

How a token is renewed is the refresher's (`graph_api.oauth`); how it is kept, `cipher`'s.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeVar, cast

import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.errors import GraphError, TokenDeadError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import TokenTooYoungError
from ig_pipeline.graph_api.token_answers import FreshToken
from ig_pipeline.storage import tokens
from ig_pipeline.storage.connections import CONNECTED, Connection, connect, lock, mark_reconnect_required
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tokens import TokenRow
from ig_pipeline.storage.waiting import outlasting
from ig_pipeline.vault.cipher import KeyRing

log = logging.getLogger(__name__)

T = TypeVar("T")
RefreshOutcome = Literal["refreshed", "not_due", "too_young", "reconnect_required"]

REFRESH_WITHIN = timedelta(days=7)
"""Tokens that end sooner are renewed: twenty-eight chances at six hours each before one dies."""

# Longer than any renewal with its retries; whoever dies holding it is outlived by this much.
LEASE = timedelta(seconds=90)
_POLL_S = 0.1
# What Meta just issued may be the only token that works: it waits for a database that restarts, within the lease.
_SAVING_PATIENCE_S = 60.0


class Refresher(Protocol):
    """Renews a token at Meta. Raises `TokenDeadError` when only the owner can help."""

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        """The renewed token; it may be another string."""
        ...


class TokenVault:
    """The tokens of one database. Errors never carry a token."""

    def __init__(
        self,
        engine: sa.Engine,
        keys: KeyRing,
        refresher: Refresher,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._refresher = refresher
        self._clock = clock
        self._sleep = sleep
        self._owner = uuid.uuid4().hex

    def store(
        self,
        db: sa.Connection,
        *,
        email: str,
        login: Login,
        account_id: str,
        username: str,
        token: SecretStr,
        expires_at: datetime | None,
        scopes: str = "",
    ) -> Connection:
        """Connect an account, or connect it again, in the caller's transaction."""
        return connect(
            db,
            email=email,
            login=login,
            account_id=account_id,
            username=username,
            encrypt=lambda connection_id: self._keys.encrypt(token, bound_to=_bound(connection_id)),
            expires_at=expires_at,
            scopes=scopes,
            now=self._clock(),
        )

    async def token_of(self, account_key: str) -> SecretStr:
        """A token that should work: renewed first when its end is near.

        Raises `UnknownAccountError`, `TokenDeadError` (expired, disconnected, to be reconnected), `KeyRingError`.
        """
        row = await self._read(account_key)
        token = self._open(row)
        now = self._clock()
        if row.expires_at is None or row.expires_at - now > REFRESH_WITHIN:
            return token
        try:
            return await self._renew(row)
        except TokenDeadError:
            raise
        except GraphError as error:
            if row.expires_at <= now:
                raise
            log.warning(
                "The token of %s could not be renewed yet (%s); it is valid until %s.",
                account_key,
                error,
                row.expires_at,
            )
            return token

    async def refresh_if_due(self, account_key: str, *, within: timedelta = REFRESH_WITHIN) -> RefreshOutcome:
        """Renew a token that ends `within`. A dead one marks the connection. Raises other `GraphError`."""
        row = await self._read(account_key)
        if row.status != CONNECTED:
            return "reconnect_required"
        if row.expires_at is None or row.expires_at - self._clock() > within:
            return "not_due"
        try:
            await self._renew(row)
        except TokenTooYoungError:
            return "too_young"
        except TokenDeadError:
            return "reconnect_required"
        return "refreshed"

    async def refresh_now(self, account_key: str, rejected: SecretStr) -> SecretStr:
        """A token other than the `rejected` one: somebody's newer, or a renewed one. Raises `TokenDeadError`."""
        row = await self._read(account_key)
        current = self._open(row)
        if current.get_secret_value() != rejected.get_secret_value():
            return current
        return await self._renew(row)

    def rotate(self) -> int:
        """Encrypt every token that another key wrote with the first key; how many. Raises `KeyRingError`."""
        changed = 0
        with self._engine.begin() as db:
            for row in tokens.all_with_tokens(db):
                if row.ciphertext is None or self._keys.is_current(row.ciphertext):
                    continue
                bound = _bound(row.id)
                plain = self._keys.decrypt(row.ciphertext, bound_to=bound)
                changed += tokens.reencrypt(db, row, self._keys.encrypt(plain, bound_to=bound))
        return changed

    async def _renew(self, row: TokenRow) -> SecretStr:
        """One renewal of this version of the token among all processes; the others wait for its result."""
        while True:
            if await self._write(lambda db: self._take_lease(db, row)):
                return await self._renew_leased(row)
            await self._sleep(_POLL_S)
            seen = await self._read(row.account_key)
            if seen.version != row.version or seen.status != CONNECTED:
                return self._open(seen)

    async def _renew_leased(self, row: TokenRow) -> SecretStr:
        try:
            fresh = await self._refresher(cast("Login", row.login), self._open(row))
        except TokenDeadError as dead:
            advice, now = dead.advice, self._clock()
            await self._write(lambda db: _mark_dead(db, row, advice, now))
            raise
        except BaseException:
            await self._write(lambda db: tokens.release_lease(db, row, owner=self._owner))
            raise
        ciphertext = self._keys.encrypt(fresh.token, bound_to=_bound(row.id))
        now = self._clock()

        def save(db: sa.Connection) -> bool:
            return tokens.replace(
                db, row, ciphertext=ciphertext, expires_at=fresh.expires_at, owner=self._owner, now=now
            )

        saved = await outlasting(lambda: self._write(save), patience=_SAVING_PATIENCE_S)
        return fresh.token if saved else self._open(await self._read(row.account_key))

    def _take_lease(self, db: sa.Connection, row: TokenRow) -> bool:
        now = self._clock()
        return tokens.take_lease(db, row, owner=self._owner, now=now, until=now + LEASE)

    def _open(self, row: TokenRow) -> SecretStr:
        if row.ciphertext is None or row.status != CONNECTED:
            advice = row.status_message or "Connect the account again."
            raise TokenDeadError(f"{row.account_key} is not connected.", cause="invalid", advice=advice)
        return self._keys.decrypt(row.ciphertext, bound_to=_bound(row.id))

    async def _read(self, account_key: str) -> TokenRow:
        def read() -> TokenRow:
            with reading(self._engine) as db:
                return tokens.read(db, account_key)

        return await asyncio.to_thread(read)

    async def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def transact() -> T:
            with self._engine.begin() as db:
                return work(db)

        return await asyncio.to_thread(transact)


def check_readable(db: sa.Connection, keys: KeyRing) -> int:
    """How many tokens are stored, each of which `keys` opens. Raises `KeyRingError` for one they do not."""
    rows = tokens.all_with_tokens(db)
    for row in rows:
        keys.decrypt(row.ciphertext or "", bound_to=_bound(row.id))
    return len(rows)


def _mark_dead(db: sa.Connection, row: TokenRow, advice: str, now: datetime) -> None:
    """Out of every later plan, unless the owner has connected again while Meta was being asked."""
    lock(db, row.id)
    if tokens.read(db, row.account_key).version == row.version:
        mark_reconnect_required(db, row.id, message=advice, now=now)


def _bound(connection_id: int) -> str:
    return f"user_tokens:{connection_id}"
