"""Instagram's day: midnight to midnight in America/Los_Angeles, for every account on earth.

See docs/graph_api.md#days-and-windows.

Pure calendar arithmetic between days, instants and the `since`/`until` of a request.
Knows no single metric, no HTTP and no clock: "now" is always an argument.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ig_pipeline.graph_api.catalogue import HISTORY_YEARS

PACIFIC = ZoneInfo("America/Los_Angeles")

# The API refuses a longer range in one request: 2 592 000 s (docs/graph_api.md#range-and-depth).
MAX_DAYS_PER_CALL = 30

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


def instagram_day(instant: datetime) -> date:
    """The Pacific calendar day that contains `instant` (zone-aware, any zone)."""
    return _aware(instant).astimezone(PACIFIC).date()


def day_start(day: date) -> datetime:
    """Midnight in Los Angeles at which `day` begins, in UTC: 07:00 or 08:00."""
    return datetime.combine(day, time(), tzinfo=PACIFIC).astimezone(UTC)


def bucket_end(day: date) -> datetime:
    """The `end_time` Meta gives the bucket of `day`, in UTC: the midnight at which the day ends."""
    return day_start(day + _DAY)


def day_of_bucket(end_time: datetime) -> date:
    """The day a bucket measured. `end_time` is its exclusive end, so the last second decides.

    See docs/graph_api.md#days-and-windows.
    """
    return instagram_day(_aware(end_time) - _SECOND)


def parse_end_time(text: str) -> datetime:
    """Meta's `2026-04-14T07:00:00+0000` as UTC. Raises ValueError for anything without a zone or of no real year."""
    return of_a_real_year(datetime.fromisoformat(text)).astimezone(UTC)


def of_a_real_year(instant: datetime) -> datetime:
    """`instant`, if it has a zone and lies so far from the calendar's ends that days can be counted from it.

    Raises ValueError.
    """
    if not 1970 <= instant.year < 9000:
        raise ValueError("not of a year in which Instagram has days")
    return _aware(instant)


def total_value_window(day: date) -> tuple[int, int]:
    """`since` and `until` (Unix seconds) of a `total_value` request for `day` alone.

    Meta sums every bucket whose end lies in the window, both ends included
    (docs/graph_api.md#which-days-a-window-selects). The UTC day after `day`
    holds the end of exactly one bucket; a window cut at 07:00Z would hold two.
    """
    since = datetime.combine(day + _DAY, time(), tzinfo=UTC)
    return int(since.timestamp()), int((since + _DAY - _SECOND).timestamp())


def series_window(first: date, last: date) -> tuple[int, int]:
    """`since` and `until` (Unix seconds) of a series request for the buckets of `first` to `last`, both included.

    Cut one second outside the outer bucket ends: so thirty days span 29 days and 2 s, inside the cap, and the
    oldest of them is still within "the last 30 days" at any hour of the current day.
    """
    return int((bucket_end(first) - _SECOND).timestamp()), int((bucket_end(last) + _SECOND).timestamp())


def posts_window(first: date, last: date) -> tuple[int, int]:
    """`since` and `until` (Unix seconds, both included) of posts created on the days `first` to `last`."""
    return int(day_start(first).timestamp()), int((bucket_end(last) - _SECOND).timestamp())


def last_complete_day(now: datetime) -> date:
    """Yesterday, as Instagram counts: the newest day that has ended at `now`."""
    return instagram_day(now) - _DAY


def history_begins(now: datetime) -> datetime:
    """The instant (UTC) before which no request for account insights may begin: exactly two years before `now`."""
    instant = _aware(now).astimezone(UTC)
    year = instant.year - HISTORY_YEARS
    try:
        return instant.replace(year=year)
    except ValueError:  # there is no 29 February two years before one
        return instant.replace(year=year, month=3, day=1)


def oldest_day_with_metrics(now: datetime) -> date:
    """The oldest day whose account insights can be asked for at `now`: the first whose window begins late enough.

    The window of totals decides for series as well: it begins some hours before theirs, and a day is had whole or not.
    """
    edge = history_begins(now)
    day = edge.date() - _DAY
    return day if total_value_window(day)[0] >= edge.timestamp() else day + _DAY


def days_between(first: date, last: date) -> list[date]:
    """The days from `first` to `last`, both included, oldest first; empty when `last` is before `first`."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def windows_of(first: date, last: date, *, size: int = MAX_DAYS_PER_CALL) -> Iterator[tuple[date, date]]:
    """`first` to `last` cut into ranges of at most `size` days, newest range first.

    Counted from the newest day, so that metrics with a short history fit in the first range whole.
    """
    end = last
    while end >= first:
        start = max(first, end - timedelta(days=size - 1))
        yield start, end
        end = start - _DAY


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone; Instagram's day depends on it")
    return instant
