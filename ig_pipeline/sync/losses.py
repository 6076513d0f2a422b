"""Writes down what was lost of an account: failed and deferred cells with their consequences, in one transaction.

The ledger's rows, the request that brings deferred cells back, the mark on a connection whose token died.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.storage.connections import (
    CONNECTED,
    RECONNECT_REQUIRED,
    Connection,
    by_id,
    mark_reconnect_required,
)
from ig_pipeline.sync.ledger import defer, record
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession


async def write_down_lost(
    session: AccountSession, lost: Sequence[AccountDayResult], *, started_at: datetime, ask_again: bool
) -> None:
    """`ask_again`: deferred cells are requested for later; otherwise their own schedule comes back to them."""

    def write(db: sa.Connection) -> None:
        now = session.now()
        record(db, lost, run_id=session.run_id, started_at=started_at, finished_at=now)
        if ask_again:
            defer(db, session.connection, lost, run_id=session.run_id, now=now)
        if isinstance(session.stopped, TokenDeadError):
            mark_dead_token(db, session.connection, session.stopped, now)

    if lost:
        await session.write(write)


def mark_dead_token(db: sa.Connection, connection: Connection, dead: TokenDeadError, now: datetime) -> None:
    """Out of every later plan, unless the owner has connected again while this run went on with the old token."""
    current = by_id(db, connection.id)
    if current.status in (CONNECTED, RECONNECT_REQUIRED) and current.connected_at == connection.connected_at:
        mark_reconnect_required(db, connection.id, message=dead.advice, now=now)
