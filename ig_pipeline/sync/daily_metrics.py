"""Fills `metrics`: a day's reach and engagement, read from the rows of the two assets above it.

Needs both of that day: the ledger tells "no posts" from "never asked". Calls nobody but the database.
"""

from dataclasses import dataclass
from datetime import date

import pandas as pd
import sqlalchemy as sa

from ig_pipeline.storage import daily_metrics as metrics
from ig_pipeline.storage import insights, media, sync_logs
from ig_pipeline.storage.connections import Connection, lock
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.results import UPSTREAM, AccountDayResult, AssetName
from ig_pipeline.sync.session import AccountSession

ASSET: AssetName = "daily_metrics"


OF_ENGAGEMENT = frozenset({"posts", "insights", "like_count", "comments_count", "saved"})
"""What a day's engagement lacks when one of its posts lacks it."""


class UpstreamMissingError(Exception):
    """A day cannot be rolled up: what it is made of was never fetched."""


@dataclass(frozen=True)
class RolledUp:
    """A day's numbers; `reach` is None where Instagram gives none, and `absences` says why.

    `lacking`: which of the two no rule explains.
    """

    reach: int | None
    engagement: int
    absences: dict[str, str]
    lacking: tuple[str, ...]


async def daily_metrics(session: AccountSession, day: date) -> AccountDayResult:
    """The result of one day, committed with its ledger row when it could be rolled up."""
    started_at = session.now()

    def store(db: sa.Connection) -> AccountDayResult:
        connection = session.connection
        # Two runs over the same cells: the second waits here and reads what the first has committed, so that the
        # last roll-up always speaks of the newest rows, whoever writes it.
        lock(db, connection.id)
        numbers = roll_up(db, connection, day)
        written = metrics.save(
            db,
            [
                {
                    "u_id": connection.u_id,
                    "account_id": connection.account_id,
                    "date": day,
                    "source": metrics.SOURCE,
                    "reach": numbers.reach,
                    "engagement": numbers.engagement,
                    "observed_at": session.now(),
                }
            ],
        )
        result = AccountDayResult(
            ASSET,
            connection.account_key,
            day,
            "partial" if numbers.lacking else "complete",
            rows=written.sent,
            values={"reach": numbers.reach, "engagement": numbers.engagement},
            absences=numbers.absences,
            lacking=numbers.lacking,
            account_id=connection.account_id,
            u_id=connection.u_id,
        )
        record(db, [result], run_id=session.run_id, started_at=started_at, finished_at=session.now())
        return result

    try:
        return await session.write(store)
    except (UpstreamMissingError, WriteMismatchError) as error:
        return session.lost(error, ASSET, [day])[0]


def roll_up(db: sa.Connection, connection: Connection, day: date) -> RolledUp:
    """The day's reach and engagement out of the database. Raises `UpstreamMissingError`."""
    ledger = {asset: sync_logs.last_written(db, connection, asset, day) for asset in UPSTREAM}
    missing = [asset for asset, entry in ledger.items() if entry is None]
    if missing:
        raise UpstreamMissingError(f"{' and '.join(missing)} of {day} were never fetched. Sync them first.")
    values = insights.values_of(db, connection.u_id, connection.account_id, day)
    posts = pd.DataFrame(media.posts_of(db, connection.u_id, connection.account_id, day), columns=["engagement"])
    absences, lacking = {}, []
    fetched, listed = ledger["account_insights"], ledger["media_engagement"]
    assert fetched is not None and listed is not None
    if "reach" not in values:
        absences["reach"] = fetched.absences.get("reach", "Instagram gave no reach for this day.")
        lacking += ["reach"] if "reach" in fetched.lacking else []
    if unknown := [name for name in listed.lacking if name in OF_ENGAGEMENT]:
        absences["engagement"] = f"Instagram answered without {', '.join(unknown)} of posts of this day."
        lacking.append("engagement")
    return RolledUp(values.get("reach"), int(posts["engagement"].sum()), absences, tuple(lacking))
