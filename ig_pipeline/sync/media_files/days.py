"""Which days of the grid a backfill of media files settles, and with what result. Pure: no database, no HTTP.

A day whose files are all in the library, or that had none, is complete; one file that could not be fetched makes it
failed, so that a retry asks for the day again and fetches what is missing.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.media_files.results import BackfillOptions, Tally
from ig_pipeline.sync.plan import Window, clip
from ig_pipeline.sync.results import AccountDayResult

ASSET: Final = "media_files"
_DAY = timedelta(days=1)


def settled_by(options: BackfillOptions, *, first_day: date, now: datetime) -> Window | None:
    """The days of the grid (it begins with `first_day`) that a backfill with `options` can settle; None: no day.

    A dry run settles nothing, nor do stories alone; posts alone settle no day of which a story may still be alive.
    """
    if options.dry_run or not options.feed:
        return None
    today = instagram_day(now)
    last = min(options.until or today, today if options.stories else oldest_with_stories(now) - _DAY)
    return clip(Window(options.since or first_day, last), today=today, first_day=first_day)


def oldest_with_stories(now: datetime) -> date:
    """The first day of which stories may still be alive: they live for 24 hours."""
    return instagram_day(now - timedelta(hours=24))


def day_result(connection: Connection, day: date, tally: Tally, *, calls: int) -> AccountDayResult:
    """What a settled day came to."""
    failed = tally.files["failed"]
    result = AccountDayResult(
        ASSET,
        connection.account_key,
        day,
        "complete",
        rows=tally.new,
        calls=calls,
        values={
            "files": tally.new,
            "bytes": tally.bytes,
            "duplicates": tally.files["skipped_duplicate"],
            "failures": failed,
            "posts": tally.items,
            "same_bytes": tally.files["same_bytes"],
            "unsupported": tally.files["skipped_unsupported"],
        },
        absences={f"{count} files": reason for reason, count in tally.reasons.items()},
        account_id=connection.account_id,
        u_id=connection.u_id,
    )
    if not failed:
        return result
    # One file that may come later is reason enough to ask for the day again.
    sort = min(tally.failures, key=lambda failure: (not failure.is_retryable, failure.error_type))
    return replace(
        result,
        status="failed",
        error=f"{failed} files could not be fetched: {'; '.join(tally.errors[:3])}",
        error_type=sort.error_type,
        is_retryable=sort.is_retryable,
    )
