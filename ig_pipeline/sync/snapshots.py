"""Assets beside the grid: one result per account, of the moment, kept under the Pacific day of that moment.

What is asked for and stored is a function of its own module; here is what all of them do around it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import date, datetime

import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import SyncServices, over_accounts
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.losses import write_down_lost
from ig_pipeline.sync.results import AccountDayResult, AudienceAsset
from ig_pipeline.sync.session import AccountSession

Take = Callable[[AccountSession, date], Awaitable[AccountDayResult]]


async def snapshot_accounts(
    services: SyncServices, account_keys: Collection[str], *, asset: AudienceAsset, run_id: str, take: Take
) -> AsyncGenerator[AccountDayResult]:
    """One result of `take` per account. Failed and deferred ones are written down; their schedule asks again."""

    async def work(session: AccountSession, days: Sequence[date], emit: Emit) -> None:
        started_at = session.now()
        try:
            emit(await take(session, days[0]))
        except (GraphError, WriteMismatchError) as error:
            lost = session.lost(error, asset, days)
            for result in await write_down_lost(session, lost, started_at=started_at, ask_again=False):
                emit(result)

    today = instagram_day(services.clock())
    cells = {key: [today] for key in account_keys}
    async with aclosing(over_accounts(services, cells, assets=[asset], run_id=run_id, work=work)) as results:
        async for result in results:
            yield result


def finished(
    db: sa.Connection,
    session: AccountSession,
    *,
    asset: AudienceAsset,
    day: date,
    rows: int,
    calls: int,
    values: Mapping[str, int],
    absences: Mapping[str, Absence],
    started_at: datetime,
) -> AccountDayResult:
    """The result of a written snapshot, recorded in the ledger in the caller's transaction.

    Partial when it lacks what no rule explains; its schedule asks again.
    """
    connection = session.connection
    lacking = tuple(sorted(name for name, absence in absences.items() if not absence.is_explained))
    result = AccountDayResult(
        asset,
        connection.account_key,
        day,
        "partial" if lacking else "complete",
        rows=rows,
        calls=calls,
        values=values,
        absences={name: absence.detail for name, absence in sorted(absences.items())},
        lacking=lacking,
        account_id=connection.account_id,
        u_id=connection.u_id,
    )
    record(db, [result], run_id=session.run_id, started_at=started_at, finished_at=session.now())
    return result
