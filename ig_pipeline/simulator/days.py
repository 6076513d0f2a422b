"""The simulated Instagram's own calendar: Pacific days and the instants at which they end.

See docs/graph_api.md#days-and-windows. Written apart from `graph_api.days` on purpose: two copies of one mistake would
agree with each other.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
# "Data may be delayed up to 48 hours": until then a bucket shows less (docs/graph_api.md#when-numbers-are-final).
FINAL_AFTER = timedelta(hours=48)


@lru_cache(maxsize=8192)
def starts(day: date) -> datetime:
    """The UTC instant of the Pacific midnight that opens `day`."""
    return datetime.combine(day, time(), tzinfo=PACIFIC).astimezone(UTC)


def ends(day: date) -> datetime:
    """The UTC instant of the Pacific midnight that closes `day`: its bucket's `end_time`."""
    return starts(date.fromordinal(day.toordinal() + 1))


def day_of(instant: datetime) -> date:
    """The Pacific calendar day of a zone-aware instant."""
    return instant.astimezone(PACIFIC).date()


def years_before(instant: datetime, years: int) -> datetime:
    """The same date and time of day so many years earlier, in UTC; where that is a 29 February too many, 1 March."""
    earlier = instant.astimezone(UTC)
    leap_day = (earlier.month, earlier.day) == (2, 29)
    if leap_day and years % 4:
        earlier += timedelta(days=1)
    return earlier.replace(year=earlier.year - years)


def buckets_ending_in(since: datetime, until: datetime) -> list[date]:
    """The days whose bucket ends in [since, until], oldest first.

    Both ends are included: docs/graph_api.md#which-days-a-window-selects.
    """
    first, last = day_of(since) - timedelta(days=2), day_of(until) + timedelta(days=1)
    days = (date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1))
    return [day for day in days if since <= ends(day) <= until]


def stamp(instant: datetime) -> str:
    """Meta's way to write an instant: `2026-04-14T07:00:00+0000`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
