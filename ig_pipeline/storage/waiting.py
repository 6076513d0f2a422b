"""Waiting for work on a thread, and for a database that is away: restarted, failing over, out of reach for a moment.

Callers say for how long; what is written meanwhile is not decided here.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

import sqlalchemy as sa

from ig_pipeline.redaction import redact
from ig_pipeline.storage.database import DatabaseUnreachableError

T = TypeVar("T")

log = logging.getLogger(__name__)

# How a server that goes away shows in the middle of a transaction; at its beginning it is a DatabaseUnreachableError.
_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
# What SQLite and PostgreSQL say of a full disk.
_NO_ROOM = ("disk is full", "No space left on device")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


async def outlasting(work: Callable[[], Awaitable[T]], *, patience: float) -> T:
    """The result of `work`, done again while the database is away, for at most `patience` seconds.

    `work` must bear being done twice: of a commit whose answer was lost nobody knows whether it happened.
    Raises `DatabaseUnreachableError` when patience ends or the database's disk is full; without patience whatever
    `work` raises.
    """
    if patience <= 0:
        return await work()
    clock = asyncio.get_running_loop().time
    begun, pause = clock(), _FIRST_PAUSE_S
    while True:
        try:
            result = await work()
        except (DatabaseUnreachableError, sa.exc.DBAPIError) as error:
            if isinstance(error, sa.exc.DBAPIError) and not (isinstance(error, _AWAY) or error.connection_invalidated):
                raise
            told = _told(error)
            if isinstance(told, _NoRoomError) or clock() + pause > begun + patience:
                raise told from None
            if pause == _FIRST_PAUSE_S:
                log.warning("%s Waiting for it, up to %.0f s.", told, patience)
        else:
            if pause > _FIRST_PAUSE_S:
                log.warning("The database is back after %.0f s.", clock() - begun)
            return result
        await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  sixteen that wait must not come back at once
        pause = min(pause * 2, _LONGEST_PAUSE_S)


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


def _told(error: DatabaseUnreachableError | sa.exc.DBAPIError) -> DatabaseUnreachableError:
    """The error as one line without a secret."""
    if isinstance(error, DatabaseUnreachableError):
        return error
    reason = redact(str(error.orig)).strip().partition("\n")[0].rstrip(".")
    if any(words in reason for words in _NO_ROOM):
        return _NoRoomError(f"The database cannot grow: {reason}. Make room.")
    return DatabaseUnreachableError(f"The database does not answer: {reason}.")
