"""A policy: how often, with which waits, until when; and what is never tried again."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ig_pipeline.retrying import Retryable, RetryPolicy, helps_now

pytestmark = pytest.mark.anyio


class AwayError(Retryable, Exception):
    retry = "now"


class LaterError(Retryable, Exception):
    retry = "later"


@dataclass
class Seconds:
    """A clock in seconds that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.block(seconds)

    def block(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(*errors: Exception) -> Callable[[], str]:
    """Raises each of `errors`, then succeeds."""
    left = list(errors)

    def operation() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return operation


async def outcome(policy: RetryPolicy, *errors: Exception, time: Seconds, random: float = 0.0) -> str:
    operation = failing(*errors)

    async def call() -> str:
        return operation()

    return await policy.call(call, sleep=time.sleep, clock=time, random=lambda: random)


async def test_waits_double_up_to_the_longest() -> None:
    time = Seconds()
    assert await outcome(RetryPolicy("p", first=1, longest=5), *[AwayError()] * 5, time=time) == "done"
    assert time.slept == [1, 2, 4, 5, 5]


async def test_jitter_cuts_each_wait() -> None:
    time = Seconds()
    await outcome(RetryPolicy("p", first=1, longest=4, jitter=0.5), *[AwayError()] * 3, time=time, random=0.5)
    assert time.slept == [0.75, 1.5, 3]


async def test_attempts_end_with_the_last_error() -> None:
    errors, time = [AwayError("first"), AwayError("second"), AwayError("third")], Seconds()
    with pytest.raises(AwayError, match="second"):
        await outcome(RetryPolicy("p", attempts=2), *errors, time=time)
    assert len(time.slept) == 1


async def test_no_attempt_begins_after_the_deadline() -> None:
    time = Seconds()
    with pytest.raises(AwayError):
        await outcome(RetryPolicy("p", first=1, deadline=4), *[AwayError()] * 9, time=time)
    assert time.slept == [1, 2]


@pytest.mark.parametrize("error", [LaterError(), ValueError()])
async def test_what_does_not_help_now_is_not_tried_again(error: Exception) -> None:
    time = Seconds()
    with pytest.raises(type(error)):
        await outcome(RetryPolicy("p"), error, time=time)
    assert time.slept == []


async def test_the_other_side_says_how_long_to_wait() -> None:
    asked, too_long, time = AwayError(), AwayError(), Seconds()
    asked.retry_after, too_long.retry_after = 7, 61
    assert await outcome(RetryPolicy("p", longest=60), asked, time=time) == "done"
    assert time.slept == [7]
    with pytest.raises(AwayError):
        await outcome(RetryPolicy("p", longest=60), too_long, time=time)


async def test_progress_counts_failures_anew_but_not_without_end() -> None:
    received = 0

    async def advance() -> None:
        nonlocal received
        received += 1
        raise AwayError

    time = Seconds()
    with pytest.raises(AwayError):
        await RetryPolicy("p", attempts=2, total_attempts=6).call(
            advance, progress=lambda: received, sleep=time.sleep, clock=time
        )
    assert received == 6


async def test_each_failure_that_is_followed_by_another_attempt_is_told() -> None:
    told: list[tuple[str, int]] = []
    operation = failing(AwayError("a"), AwayError("b"))

    async def call() -> str:
        return operation()

    time = Seconds()
    await RetryPolicy("p").call(call, failed=lambda error, n: told.append((str(error), n)), sleep=time.sleep)
    assert told == [("a", 1), ("b", 2)]


def test_a_blocking_call_has_the_same_policy() -> None:
    time = Seconds()
    policy = RetryPolicy("p", first=1, jitter=0)
    assert policy.call_blocking(failing(AwayError(), AwayError()), sleep=time.block, clock=time) == "done"
    with pytest.raises(LaterError):
        policy.call_blocking(failing(LaterError()), sleep=time.block, clock=time)
    assert time.slept == [1, 2]


def test_an_error_says_whether_another_try_helps() -> None:
    assert (helps_now(AwayError()), AwayError().is_retryable) == (True, True)
    assert (helps_now(LaterError()), LaterError().is_retryable) == (False, True)
    assert not helps_now(ValueError())
