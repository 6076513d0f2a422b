"""Hands out tokens that work: from the database, renewed in time, by one process at a time.

See docs/architecture.md#secrets.

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
from ig_pipeline.graph_api.errors import BadRequestError, GraphError, TokenDeadError, UnreachableError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.oauth import TokenTooYoungError
from ig_pipeline.graph_api.token_answers import FreshToken, TokenFacts
from ig_pipeline.retrying import RetryPolicy
from ig_pipeline.storage import meta_people, token_rows
from ig_pipeline.storage.connections import CONNECTED, Connection, connect, lock, mark_reconnect_required
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.token_rows import TokenRow
from ig_pipeline.storage.waiting import in_thread, retry_while_unavailable
from ig_pipeline.token_ends import NEVER, Expiry, TokenEnd
from ig_pipeline.vault.cipher import KeyRing, KeyRingError, fingerprint_of

log = logging.getLogger(__name__)

T = TypeVar("T")
RefreshOutcome = Literal["refreshed", "not_due", "too_young", "reconnect_required"]

REFRESH_WITHIN = timedelta(days=7)
"""Tokens that end sooner are renewed: twenty-eight chances at six hours each before one dies."""

# Meta is asked about a token once a week, and daily while its end is a guess or reading is about to end: only Meta
# knows whether the person has used the app since. From a day before owners are warned, so that no warning is old news.
INSPECT_EVERY = timedelta(days=7)
INSPECT_CLOSELY_EVERY = timedelta(days=1)
CLOSE_TO_THE_END = timedelta(days=15)
# So that a job that runs every six hours does not slip by six hours each time.
_SLACK = timedelta(hours=1)

_AWAIT_LEASE = RetryPolicy("token lease", first=0.1, longest=0.1, jitter=0.0)
# A call with its retries takes 80 seconds at the very worst; a longer one is given up, and tried again six hours later.
REFRESH_TIMEOUT_S = 85.0
# What Meta just issued may be the only token that works: saving it waits for a database that restarts.
SAVING_TIMEOUT_S = 60.0
# The last attempt to save begins within that time and ends when the database driver gives up.
_LAST_ATTEMPT_S = 60.0
LEASE = timedelta(seconds=REFRESH_TIMEOUT_S + SAVING_TIMEOUT_S + _LAST_ATTEMPT_S)
"""Lasts longer than any renewal until it is saved; a holder that was killed delays the others by so much."""


class _LeasedElsewhereError(Exception):
    """Another process renews the token."""


class Refresher(Protocol):
    """Renews tokens at Meta, and asks about them."""

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        """The renewed token; it may be another string. Raises `TokenDeadError` when only the owner can help."""
        ...

    async def inspect(self, login: Login, token: SecretStr) -> TokenFacts | None:
        """What Meta says of the token now; None where it cannot be asked. Raises `GraphError`."""
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
        expiry: Expiry = "stated",
        data_access_expires_at: datetime | None = None,
    ) -> Connection:
        """Connect an account, or connect it again, in the caller's transaction.

        Without `expires_at` the token's end was not told, unless `expiry` is "never".
        """
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
            expiry=expiry,
            data_access_expires_at=data_access_expires_at,
        )

    async def token_of(self, account_key: str) -> SecretStr:
        """A token that should work: renewed first when its end is near.

        One that is past an assumed end is handed out all the same: whether it works is Meta's to say.
        Raises `UnknownAccountError`, `TokenDeadError` (expired, disconnected, to be reconnected), `KeyRingError`.
        """
        row = await self._read(account_key)
        token = self._open(row)
        now = self._clock()
        if not row.end.within(REFRESH_WITHIN, now=now):
            return token
        try:
            return await self._renew(row)
        except TokenDeadError:
            raise
        except GraphError as error:
            end = row.end
            if end.within(timedelta(), now=now) and not end.assumed:
                raise
            until = f"{'probably ' if end.assumed else ''}valid until {end.at}"
            log.warning("The token of %s could not be renewed yet (%s); %s.", account_key, error, until)
            return token

    async def refresh_if_due(self, account_key: str, *, within: timedelta = REFRESH_WITHIN) -> RefreshOutcome:
        """Renew a token that ends `within`, or that Meta calls invalid. A dead one marks the connection.

        Before that Meta is asked about it when that is due: its end and until when it reads are then up to date.
        Raises other `GraphError`.
        """
        row = await self._read(account_key)
        if row.status != CONNECTED:
            return "reconnect_required"
        invalid, problem = False, None
        if inspection_due(row, now=self._clock()):
            try:
                facts = await self._inspect(row)
                invalid = facts is not None and not facts.is_valid
            except GraphError as error:
                problem = error
            row = await self._read(account_key)
        if not invalid and not row.end.within(within, now=self._clock()):
            if problem is not None:
                raise problem
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
        """Encrypt every token that another key wrote with the first key; how many.

        Raises `KeyRingError` for tokens that cannot be read, once all others are encrypted with it.
        """
        changed = 0
        unread: dict[str, KeyRingError] = {}
        with self._engine.begin() as db:
            for row in token_rows.all_with_tokens(db):
                if row.ciphertext is None or self._keys.is_current(row.ciphertext):
                    continue
                try:
                    plain = opened(row, self._keys)
                except KeyRingError as error:
                    unread[row.account_key] = error
                    continue
                changed += token_rows.reencrypt(db, row, self._keys.encrypt(plain, bound_to=_bound(row.id)))
        if unread:
            reason = next(iter(unread.values()))
            raise KeyRingError(
                f"Tokens encrypted with the first key: {changed}; not those of {', '.join(unread)}: {reason}"
            )
        return changed

    async def _renew(self, row: TokenRow) -> SecretStr:
        """One renewal of this version of the token among all processes; the others wait for its result."""
        owner = uuid.uuid4().hex

        async def renew_or_look() -> SecretStr:
            if await self._write(lambda db: self._take_lease(db, row, owner)):
                return await self._renew_leased(row, owner)
            seen = await self._read(row.account_key)
            if seen.version == row.version and seen.status == CONNECTED:
                raise _LeasedElsewhereError
            return self._open(seen)

        return await _AWAIT_LEASE.call(
            renew_or_look, helps=lambda error: isinstance(error, _LeasedElsewhereError), sleep=self._sleep
        )

    async def _renew_leased(self, row: TokenRow, owner: str) -> SecretStr:
        try:
            fresh = await self._renewed_at_meta(row)
        except TokenDeadError as dead:
            advice, now = dead.advice, self._clock()
            await self._write(lambda db: _mark_dead(db, row, owner, advice, now))
            raise
        except BaseException:
            await self._write(lambda db: token_rows.release_lease(db, row, owner=owner))
            raise
        saving = asyncio.ensure_future(self._save(row, fresh, owner))
        try:
            saved = await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait([saving])  # or the token that Meta just issued would be lost
            raise
        if not saved:
            return self._open(await self._read(row.account_key))
        await self._look_up_end(row.account_key)
        return fresh.token

    async def _renewed_at_meta(self, row: TokenRow) -> FreshToken:
        token = self._open(row)
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT_S):
                return await self._refresher(cast("Login", row.login), token)
        except TimeoutError:
            raise UnreachableError(f"Meta did not renew the token within {REFRESH_TIMEOUT_S:.0f} seconds.") from None

    async def _save(self, row: TokenRow, fresh: FreshToken, owner: str) -> bool:
        """Keep a renewed token; False when the row has another one by now."""
        ciphertext, now = self._keys.encrypt(fresh.token, bound_to=_bound(row.id)), self._clock()

        def save(db: sa.Connection) -> bool:
            return token_rows.replace(
                db,
                row,
                ciphertext=ciphertext,
                expires_at=fresh.expires_at,
                expiry=fresh.expiry,
                owner=owner,
                now=now,
            )

        return await retry_while_unavailable(lambda: self._write(save), timeout=SAVING_TIMEOUT_S)

    async def _look_up_end(self, account_key: str) -> None:
        """Ask for the end of a token that was just stored without one; the lease is given back already."""
        row = await self._read(account_key)
        if not row.end.assumed or row.status != CONNECTED:
            return
        try:
            await self._inspect(row)
        except GraphError as error:
            log.warning("The end of the token of %s could not be looked up (%s); it is assumed.", account_key, error)

    async def _inspect(self, row: TokenRow) -> TokenFacts | None:
        """What Meta says of the token, written down; None where it cannot be asked. Raises `GraphError`."""
        now = self._clock()
        try:
            facts = await self._refresher.inspect(cast("Login", row.login), self._open(row))
        except BadRequestError:
            # Not a token of this app, most likely: the next time will be the same, and need not be in six hours.
            known = row.data_access_expires_at
            await self._write(
                lambda db: token_rows.note_inspection(db, row, end=None, data_access_expires_at=known, now=now)
            )
            raise
        if facts is not None and facts.is_valid:
            end = _newly_told(row.end, facts)
            told = facts

            def note(db: sa.Connection) -> None:
                reads_until = told.data_access_expires_at
                current = token_rows.note_inspection(db, row, end=end, data_access_expires_at=reads_until, now=now)
                if current and told.user_id:  # of connections made before they were stored at consent
                    meta_people.add(db, row.id, told.user_id)

            await self._write(note)
        return facts

    def _take_lease(self, db: sa.Connection, row: TokenRow, owner: str) -> bool:
        now = self._clock()
        return token_rows.take_lease(db, row, owner=owner, now=now, until=now + LEASE)

    def _open(self, row: TokenRow) -> SecretStr:
        if row.ciphertext is None or row.status != CONNECTED:
            advice = row.status_message or "Connect the account again."
            raise TokenDeadError(f"{row.account_key} is not connected.", cause="invalid", advice=advice)
        return opened(row, self._keys)

    async def _read(self, account_key: str) -> TokenRow:
        def read() -> TokenRow:
            with reading(self._engine) as db:
                return token_rows.read(db, account_key)

        return await in_thread(read)

    async def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def transact() -> T:
            with self._engine.begin() as db:
                return work(db)

        return await in_thread(transact)


def opened(row: TokenRow, keys: KeyRing) -> SecretStr:
    """The token of a row that has one. Raises `KeyRingError`."""
    return keys.decrypt(row.ciphertext or "", bound_to=_bound(row.id))


def _newly_told(known: TokenEnd, facts: TokenFacts) -> TokenEnd | None:
    """The end to keep from now on, None for the one that is known: a stated end is only ever brought forward."""
    if facts.expires_at is None:
        return TokenEnd(None, NEVER) if facts.expiry == NEVER and known.assumed else None
    earlier = known.at is None or facts.expires_at < known.at
    return TokenEnd(facts.expires_at, "stated") if known.assumed or earlier else None


def inspection_due(row: TokenRow, *, now: datetime) -> bool:
    """Whether Meta is to be asked about a token: never asked, a week ago, or a day ago where it matters."""
    if row.inspected_at is None:
        return True
    reading_ends = row.data_access_expires_at
    closely = row.end.assumed or (reading_ends is not None and reading_ends - now <= CLOSE_TO_THE_END)
    return now - row.inspected_at >= (INSPECT_CLOSELY_EVERY if closely else INSPECT_EVERY) - _SLACK


def check_readable(db: sa.Connection, keys: KeyRing) -> int:
    """How many tokens are stored, each of which `keys` opens. Raises `KeyRingError` for one they do not."""
    rows = token_rows.all_with_tokens(db)
    for row in rows:
        keys.decrypt(row.ciphertext or "", bound_to=_bound(row.id))
    return len(rows)


def check_ring(db: sa.Connection, keys: KeyRing) -> dict[str, int]:
    """Fingerprint of a key → how many tokens are under it, once `keys` has written and opened the newest of each.

    Raises `KeyRingError`.
    """
    keys.decrypt(keys.encrypt(SecretStr("a trial"), bound_to="a trial"), bound_to="a trial")
    found = token_rows.by_key(db)
    for connection_id, ciphertext, _ in found:
        keys.decrypt(ciphertext, bound_to=_bound(connection_id))
    return {fingerprint_of(ciphertext): number for _, ciphertext, number in found}


def _mark_dead(db: sa.Connection, row: TokenRow, owner: str, advice: str, now: datetime) -> None:
    """Out of every later plan, unless the owner has connected again, or another took over, while Meta was asked."""
    lock(db, row.id)
    if token_rows.holds_lease(db, row, owner=owner):
        mark_reconnect_required(db, row.id, message=advice, now=now)


def _bound(connection_id: int) -> str:
    return f"user_tokens:{connection_id}"
