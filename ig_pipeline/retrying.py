"""One policy object for everything that waits and tries again, and the field of an error that says whether to.

Knows no network and no database: an error says by its type whether asking again can help, a policy how often and how
long. Clock, sleep and chance are arguments; tenacity and stamina read the system's and leave the loops as long.
"""

import asyncio
import logging
import random as randomness
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

T = TypeVar("T")
Retry = Literal["now", "later", "never"]
Random = Callable[[], float]
"""Numbers in [0, 1)."""

log = logging.getLogger(__name__)


class Retryable:
    """A part of error types: whether another try can help.

    `retry`: "now", the same call after a moment; "later", another run; "never". `retry_after`: seconds the other side
    asked to wait, where it did.
    """

    retry: ClassVar[Retry] = "never"
    retry_after: float | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether another try, now or later, can help: the failure was of the moment, or someone may have acted."""
        return self.retry != "never"


def helps_now(error: Exception) -> bool:
    """Whether the same call may succeed after a moment."""
    return isinstance(error, Retryable) and error.retry == "now"


@dataclass(frozen=True)
class RetryPolicy:
    """How often something is tried and with which waits, in seconds.

    `attempts` in all; with `progress` (see `call`) in a row that brought nothing, and `total_attempts` in all. None:
    without end. Waits are `first`, twice that, four times … up to `longest`, each cut at random by up to its `jitter`th
    part, so that those who failed together do not come back together. No attempt begins after `deadline`.
    """

    name: str
    attempts: int | None = None
    first: float = 0.5
    longest: float = 30.0
    jitter: float = 0.5
    deadline: float | None = None
    total_attempts: int | None = None

    def wait(self, failures: int, random: Random = randomness.random) -> float:
        """Seconds before the next attempt after `failures` failed ones."""
        full = min(self.longest, self.first * 2.0 ** (max(failures, 1) - 1))
        return full * (1 - self.jitter * random())

    async def call(
        self,
        operation: Callable[[], Awaitable[T]],
        *,
        helps: Callable[[Exception], bool] = helps_now,
        failed: Callable[[Exception, int], None] = lambda error, failures: None,
        progress: Callable[[], int] = lambda: 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Random = randomness.random,
    ) -> T:
        """What `operation` returns, tried again while an error `helps` and the policy allows; else its last error.

        `failed` is told of each failure after which there is another attempt, and of their number. `progress`: a number
        that grows when an attempt got further although it failed; failures are then counted anew.
        """
        attempts = _Attempts(self, progress, clock, random)
        while True:
            try:
                return await operation()
            except Exception as error:
                wait = attempts.wait_after(error) if helps(error) else None
                if wait is None:
                    raise
                failed(error, attempts.failures)
            await sleep(wait)

    def call_blocking(
        self,
        operation: Callable[[], T],
        *,
        helps: Callable[[Exception], bool] = helps_now,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Random = randomness.random,
    ) -> T:
        """`call` for what blocks its thread."""
        attempts = _Attempts(self, lambda: 0, clock, random)
        while True:
            try:
                return operation()
            except Exception as error:
                wait = attempts.wait_after(error) if helps(error) else None
                if wait is None:
                    raise
            sleep(wait)


class _Attempts:
    """The attempts of one operation. `failures`: how many failed in a row without progress."""

    def __init__(
        self, policy: RetryPolicy, progress: Callable[[], int], clock: Callable[[], float], random: Random
    ) -> None:
        self._policy, self._progress, self._clock, self._random = policy, progress, clock, random
        self._begun, self._reached, self._total = clock(), progress(), 0
        self.failures = 0

    def wait_after(self, error: Exception) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        policy, reached = self._policy, self._progress()
        self.failures = 0 if reached > self._reached else self.failures + 1
        self._reached, self._total = reached, self._total + 1
        told = error.retry_after if isinstance(error, Retryable) else None
        wait = policy.wait(self.failures, self._random) if told is None else told
        if (
            _is_spent(policy.attempts, self.failures)
            or _is_spent(policy.total_attempts, self._total)
            or (told is not None and told > policy.longest)
            or (policy.deadline is not None and self._clock() + wait > self._begun + policy.deadline)
        ):
            return None
        log.debug("%s: attempt %d failed (%s), again in %.1f s", policy.name, self._total, type(error).__name__, wait)
        return wait


def _is_spent(allowed: int | None, used: int) -> bool:
    return allowed is not None and used >= allowed
