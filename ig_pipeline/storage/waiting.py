"""Waiting for work on a thread, and retrying while a database is unavailable: restarted, failing over, out of reach.

Callers say for how long; what is written meanwhile is not decided here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from typing import TypeVar

import sqlalchemy as sa

from ig_pipeline.redaction import redact
from ig_pipeline.retrying import RetryPolicy
from ig_pipeline.storage.database import DatabaseUnreachableError

T = TypeVar("T")

log = logging.getLogger(__name__)

# How a server that goes away shows in the middle of a transaction; at its beginning it is a DatabaseUnreachableError.
_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
# What SQLite and PostgreSQL say of a full disk.
_NO_ROOM = ("disk is full", "No space left on device")
_POLICY = RetryPolicy("database", first=0.2, longest=5.0)


async def retry_while_unavailable(
    operation: Callable[[], Awaitable[T]],
    *,
    timeout: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The result of `operation`, tried again while the database is unavailable, for at most `timeout` seconds.

    `operation` must bear being done twice: of a commit whose answer was lost no one knows whether it happened.
    Raises `DatabaseUnreachableError` when the time is over or the database's disk is full; with a timeout of 0 whatever
    `operation` raises.
    """
    if timeout <= 0:
        return await operation()
    begun, failures = clock(), 0

    async def attempt() -> T:
        try:
            return await operation()
        except sa.exc.DBAPIError as error:
            if isinstance(error, _AWAY) or error.connection_invalidated:
                raise _in_one_line(error) from None
            raise

    def failed(error: Exception, number: int) -> None:
        nonlocal failures
        failures = number
        if number == 1:
            log.warning("%s Waiting for it, up to %.0f s.", error, timeout)

    policy = replace(_POLICY, deadline=timeout)
    result = await policy.call(attempt, failed=failed, sleep=sleep, clock=clock)
    if failures:
        log.warning("The database is back after %.0f s.", clock() - begun)
    return result


async def in_thread(
    work: Callable[[], T], threads: Executor | None = None, *, late: Callable[[T], None] | None = None
) -> T:
    """The result of `work` in a thread (of `threads`, when given). A cancellation is raised only when it has ended.

    A thread cannot be stopped: left alone it would commit after its caller was told that nothing happens any more.
    `late` hears a result that comes after a cancellation.
    """
    future = asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if late is not None and not future.cancelled() and future.exception() is None:
            late(future.result())
        raise


class _NoRoomError(DatabaseUnreachableError):
    """Waiting makes no room."""

    retry = "never"


def _in_one_line(error: sa.exc.DBAPIError) -> DatabaseUnreachableError:
    """The error without a secret."""
    reason = redact(str(error.orig)).strip().partition("\n")[0].rstrip(".")
    if any(words in reason for words in _NO_ROOM):
        return _NoRoomError(f"The database cannot grow: {reason}. Make room.")
    return DatabaseUnreachableError(f"The database does not answer: {reason}.")
