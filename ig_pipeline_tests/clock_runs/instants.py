"""The instants at which the suite is run: the schedules' minutes and what a calendar has to offer, all to come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from ig_pipeline.definitions import build
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.graph_api.days import PACIFIC

QUIET = "quiet"


@dataclass(frozen=True)
class Instant:
    """`at` is in UTC."""

    name: str
    at: datetime


def quiet(now: datetime) -> Instant:
    """The day after tomorrow in Los Angeles, at an hour when no schedule starts anything for more than an hour."""
    return Instant(QUIET, _pacific(_soon(now), time(13, 15)))


def instants(now: datetime) -> list[Instant]:
    """Every instant, each the next of its kind after `now`."""
    return [*_schedules(_soon(now)), *_clock_changes(now), *_calendar(now)]


def _soon(now: datetime) -> date:
    return now.astimezone(PACIFIC).date() + timedelta(days=2)


def _schedules(day: date) -> Iterator[Instant]:
    """The last minute of each schedule in that day of Los Angeles: at 23:13 it is tomorrow already in UTC."""
    for schedule in build(Pipeline()).get_repository_def().schedule_defs:
        assert isinstance(schedule, dg.ScheduleDefinition)
        zone = schedule.execution_timezone or "UTC"
        ticks = cron_string_iterator(_pacific(day, time()).timestamp(), str(schedule.cron_schedule), zone)
        *_, last = takewhile(_pacific(day + timedelta(days=1), time()).__gt__, ticks)
        yield Instant(schedule.name, last.astimezone(UTC))


def _clock_changes(now: datetime) -> Iterator[Instant]:
    """The change itself, the next midnight in Los Angeles (a day of 23 or 25 hours is complete), and UTC's midnight."""
    hours = [now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=n) for n in range(1, 366 * 24)]
    offsets = [hour.astimezone(PACIFIC).utcoffset() for hour in hours]
    for before, after, hour in zip(offsets, offsets[1:], hours[1:], strict=False):
        assert before is not None
        assert after is not None
        if before != after:
            name = "spring" if after > before else "autumn"
            day = hour.astimezone(PACIFIC).date()
            yield Instant(f"{name}_change", hour)
            yield Instant(f"{name}_day_ends", _pacific(day + timedelta(days=1), time()))
            yield Instant(f"{name}_utc_midnight", datetime.combine(day + timedelta(days=1), time(), UTC))


def _calendar(now: datetime) -> Iterator[Instant]:
    year = now.astimezone(PACIFIC).year + 1
    yield Instant("new_year", _pacific(date(year, 1, 1), time()))
    yield Instant("new_year_utc", datetime(year, 1, 1, tzinfo=UTC))
    leap = next(year for year in range(now.year, now.year + 9) if _is_leap(year) and date(year, 2, 28) > _soon(now))
    yield Instant("leap_day", _pacific(date(leap, 2, 29), time()))
    yield Instant("leap_day_ends", _pacific(date(leap, 3, 1), time()))


def _is_leap(year: int) -> bool:
    return (date(year, 3, 1) - date(year, 2, 28)).days == 2


def _pacific(day: date, at: time) -> datetime:
    return datetime.combine(day, at, PACIFIC).astimezone(UTC)
