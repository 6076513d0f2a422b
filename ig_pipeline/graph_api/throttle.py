"""Keeps below Meta's limits: how many calls at once, how fast, and when to stop.

See docs/graph_api.md#rate-limits-and-usage-headers.

Learns from usage headers, which are percent. Nobody outside asks it anything but "may I?" and "here is an answer".
Limits are per account and per app; several processes share nothing here but the headers they both read.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.classify import DEFAULT_BLOCK
from ig_pipeline.graph_api.errors import RateLimitedError, RateLimitScope
from ig_pipeline.graph_api.usage import app_percent, instagram_percent, regain_time

Sleep = Callable[[float], Awaitable[None]]

# Neither an account's id nor the empty one of calls before an account is known: a limit those reach is their own.
_APP = "app"


@dataclass(frozen=True)
class Limits:
    """How much at once and how fast.

    `per_account` and `overall`: calls in flight at once. From `slow_from` percent of usage on, calls of an account,
    or of the whole app when that usage is the app's, are spaced, up to `slowest` seconds apart just below 100; at 100
    it stops.
    """

    per_account: int = 4
    overall: int = 16
    slow_from: float = 75.0
    slowest: float = 2.0

    def pause(self, usage: float) -> float:
        """Seconds between two calls at `usage` percent."""
        over = (usage - self.slow_from) / (100.0 - self.slow_from)
        return self.slowest * min(max(over, 0.0), 1.0)


DEFAULT_LIMITS = Limits()


@dataclass
class _State:
    """What is known of one account, or of the app: usage in percent, the block, when the next call may start."""

    usage: float = 0.0
    blocked_until: datetime | None = None
    next_call: datetime | None = None


class Throttle:
    """Gatekeeper of one client. `slot` raises `RateLimitedError` without a call while a block lasts."""

    def __init__(self, limits: Limits, *, clock: Clock, sleep: Sleep) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._states: dict[str, _State] = defaultdict(_State)
        self._overall = asyncio.Semaphore(limits.overall)
        self._accounts: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.per_account))

    @asynccontextmanager
    async def slot(self, account_id: str) -> AsyncIterator[None]:
        """Wait for a place and for the pace of the account and the app.

        The account's place comes first: waiters hold no common place.
        """
        async with self._accounts[account_id]:
            self._refuse_if_blocked(account_id)
            await self._pace(account_id)
            async with self._overall:
                self._refuse_if_blocked(account_id)
                yield

    def observe(self, account_id: str, headers: Mapping[str, str]) -> None:
        """Learn from an answer's headers; full usage stops the account (or the app) before Meta has to.

        Only Instagram's own usage counts, and only that of this account; the app's header names no time to return.
        """
        now = self._clock()
        spent = (
            (_APP, app_percent(headers), None),
            (account_id, instagram_percent(headers, account_id), regain_time(headers, now, account_id=account_id)),
        )
        for key, usage, returns_at in spent:
            if usage is None:
                continue
            self._states[key].usage = usage
            if usage >= 100:
                self._block(key, returns_at or now + DEFAULT_BLOCK)

    def block(self, account_id: str, error: RateLimitedError) -> None:
        """Meta said stop: the account, or with scope `app` everybody, until `error.retry_at`."""
        self._block(_APP if error.scope == "app" else account_id, error.retry_at)

    def _block(self, key: str, until: datetime) -> None:
        state = self._states[key]
        state.blocked_until = max(until, state.blocked_until or until)

    def _refuse_if_blocked(self, account_id: str) -> None:
        scopes: tuple[tuple[str, RateLimitScope], ...] = ((_APP, "app"), (account_id, "account"))
        for key, scope in scopes:
            state = self._states[key]
            if state.blocked_until is None:
                continue
            if self._clock() < state.blocked_until:
                raise RateLimitedError(
                    f"Meta's rate limit of this {scope} is reached; nothing is asked before "
                    f"{state.blocked_until:%Y-%m-%d %H:%M} UTC.",
                    retry_at=state.blocked_until,
                    scope=scope,
                )
            state.blocked_until, state.usage = None, 0.0

    async def _pace(self, account_id: str) -> None:
        """Wait for a turn of the account and one of the app, whose limit the calls of all accounts spend."""
        now, turns = self._clock(), []
        for state in (self._states[account_id], self._states[_APP]):
            if (pause := self._limits.pause(state.usage)) > 0:
                state.next_call = max(now, state.next_call or now) + timedelta(seconds=pause)
                turns.append(state.next_call)
        if turns:
            await self._sleep((max(turns) - now).total_seconds())
