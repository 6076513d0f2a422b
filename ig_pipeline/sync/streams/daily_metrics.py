"""Fills `metrics`: a day's reach and engagement, read from the rows of the two streams above it.

Needs both of that day: the ledger tells "no posts" from "never asked". Calls nobody but the database.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import ENGAGEMENT
from ig_pipeline.settings import Settings
from ig_pipeline.storage import daily_metrics as metrics
from ig_pipeline.storage import insights, media, sync_logs
from ig_pipeline.storage.connections import Connection, lock
from ig_pipeline.storage.daily_metrics import MADE_OF
from ig_pipeline.storage.upsert import WriteMismatchError
from ig_pipeline.sync.judgement import NEXT_STEP, judge_night
from ig_pipeline.sync.registry import DataCheck, Finding, Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession
from ig_pipeline.sync.standing import impossible_rows, missing_by_account

OF_ENGAGEMENT = frozenset({"posts", "insights", *ENGAGEMENT})
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


async def _fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
    """A result per day, committed with its ledger row when it could be rolled up."""
    for day in days:
        started_at = session.now()
        try:
            yield await session.write(partial(_store, session=session, day=day, started_at=started_at))
        except (UpstreamMissingError, WriteMismatchError) as error:
            for lost in session.lost(error, STREAM.name, [day]):
                yield lost


def _store(db: sa.Connection, session: AccountSession, day: date, started_at: datetime) -> AccountDayResult:
    connection = session.connection
    # Two runs over the same cells: the second waits here and reads what the first has committed, so that the
    # last roll-up always speaks of the newest rows, whoever writes it.
    lock(db, connection.id)
    numbers = roll_up(db, connection, day)
    row = {
        "u_id": connection.u_id,
        "account_id": connection.account_id,
        "date": day,
        "source": metrics.SOURCE,
        "reach": numbers.reach,
        "engagement": numbers.engagement,
        "observed_at": session.now(),
    }
    return session.recorded(
        db,
        STREAM.name,
        day,
        rows=metrics.save(db, [row]).sent,
        values={"reach": numbers.reach, "engagement": numbers.engagement},
        absences=numbers.absences,
        lacking=numbers.lacking,
        started_at=started_at,
    )


def roll_up(db: sa.Connection, connection: Connection, day: date) -> RolledUp:
    """The day's reach and engagement out of the database. Raises `UpstreamMissingError`."""
    ledger = {stream: sync_logs.last_written(db, connection, stream, day) for stream in MADE_OF}
    missing = [stream for stream, entry in ledger.items() if entry is None]
    if missing:
        raise UpstreamMissingError(f"{' and '.join(missing)} of {day} were never fetched. Sync them first.")
    values = insights.values_of(db, connection.u_id, connection.account_id, day)
    engagement = sum(post["engagement"] for post in media.posts_of(db, connection.u_id, connection.account_id, day))
    absences, lacking = {}, []
    fetched, listed = ledger["account_insights"], ledger["media_engagement"]
    assert fetched is not None and listed is not None
    if "reach" not in values:
        absences["reach"] = fetched.absences.get("reach", "Instagram gave no reach for this day.")
        lacking += ["reach"] if "reach" in fetched.lacking else []
    if unknown := [name for name in listed.lacking if name in OF_ENGAGEMENT]:
        absences["engagement"] = f"Instagram answered without {', '.join(unknown)} of posts of this day."
        lacking.append("engagement")
    return RolledUp(values.get("reach"), engagement, absences, tuple(lacking))


def _every_window_is_complete(db: sa.Connection, settings: Settings, now: datetime) -> Finding:
    found = missing_by_account(db, now=now, days=settings.initial_backfill_days, first_day=settings.first_day)
    return Finding(
        len(found),
        good="No day is missing.",
        bad=f"{len(found)} accounts lack days. Select them on the Partitions page and materialize with "
        "“Backfill only failed and missing partitions”.",
        rows=[(item.account_key, f"{len(item.days)} days, {item.days[0]} to {item.days[-1]}") for item in found],
    )


def _the_last_night_is_whole(db: sa.Connection, settings: Settings, now: datetime) -> Finding:
    night = judge_night(db, now=now, window_days=settings.nightly_window_days, first_day=settings.first_day)
    days = f"{night.window.first} to {night.window.last}" if night.window else "no day"
    return Finding(
        night.cells - night.complete,
        good=f"All {night.cells} cells of {days} are complete.",
        bad=f"{night.cells - night.complete} of {night.cells} cells of {days} are not complete, "
        f"in {len(night.incomplete)} accounts; the table says whose, why and what happens next.",
        headings=("account", "not complete", "why", "next"),
        rows=[
            (one.account_key, f"{one.missing} of {one.cells}", one.why, NEXT_STEP[one.state])
            for one in night.incomplete
        ],
    )


def _every_number_is_possible(db: sa.Connection, _: Settings, now: datetime) -> Finding:
    found = impossible_rows(db, now=now)
    return Finding(
        len(found), "All rows are possible.", "There are rows that cannot be true.", [(sentence,) for sentence in found]
    )


STREAM = Stream(
    name=metrics.STREAM,
    description="The day on the chart: reach, and engagement (likes + comments + saves of the day's posts).",
    tables=("metrics",),
    grain="account-day",
    schedule="nightly_sync",
    upstream=MADE_OF,
    fetch=_fetch,
    kinds=frozenset({"sql"}),
    counts=("reach", "engagement"),
    checks=(
        DataCheck(
            "every_window_is_complete",
            "Every connected account has each day of its window (IG_PIPELINE_INITIAL_BACKFILL_DAYS).",
            _every_window_is_complete,
        ),
        DataCheck(
            "the_last_night_is_whole",
            "Every cell of the last night's days (IG_PIPELINE_NIGHTLY_WINDOW_DAYS) is complete.",
            _the_last_night_is_whole,
        ),
        DataCheck(
            "every_number_is_possible",
            "No number is negative and no day lies ahead, in any table.",
            _every_number_is_possible,
            is_error=True,
        ),
    ),
)
