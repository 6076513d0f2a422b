"""What follows from an account's cells that are not complete, in one transaction.

The ledger's rows, the requests that bring back what can be had later, the mark on a connection whose token died.
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
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.requests.later import defer, try_again
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession


async def write_down_lost(
    session: AccountSession,
    lost: Sequence[AccountDayResult],
    *,
    partial: Sequence[AccountDayResult] = (),
    started_at: datetime,
    ask_again: bool,
) -> list[AccountDayResult]:
    """`lost` and `partial` cells, with the time at which each is asked for again; the lost ones are recorded.

    `ask_again`: what may succeed later is requested; otherwise its own schedule comes back to it.
    """

    def write(db: sa.Connection) -> list[AccountDayResult]:
        now, connection, run_id = session.now(), session.connection, session.run_id
        cells = [*lost, *partial]
        told = try_again(db, connection, cells, run_id=run_id, now=now) if ask_again else cells
        record(db, told[: len(lost)], run_id=run_id, started_at=started_at, finished_at=now)
        if ask_again:
            defer(db, connection, told, run_id=run_id, now=now)
        if isinstance(session.stopped, TokenDeadError):
            mark_dead_token(db, connection, session.stopped, now)
        return told

    return await session.write(write) if lost or partial else []


def mark_dead_token(db: sa.Connection, connection: Connection, dead: TokenDeadError, now: datetime) -> None:
    """Out of every later plan, unless the owner has connected again while this run went on with the old token."""
    current = by_id(db, connection.id)
    if current.status in (CONNECTED, RECONNECT_REQUIRED) and current.connected_at == connection.connected_at:
        mark_reconnect_required(db, connection.id, message=dead.advice, now=now)
