"""The shapes of insight answers, account and media alike (facts §1.3, §2.2): JSON in, values by metric out.

Pure. A metric whose object lacks its value is left out, so that the caller notices it; a shape nobody documented
raises `MalformedAnswerError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.days import day_of_bucket, parse_end_time
from ig_pipeline.graph_api.errors import MalformedAnswerError

Number = int | float


@dataclass(frozen=True)
class Point:
    """One bucket of a series. `end_time` (UTC) is the exclusive end of the day it measured."""

    value: int
    end_time: datetime


def read_series(answer: Json) -> dict[str, dict[date, Point]]:
    """Values of `time_series` metrics by metric and Pacific day. A bucket without a number is left out."""
    return {
        name: {point_day: point for point_day, point in map(_point, row["values"]) if point is not None}
        for name, row in _named(answer).items()
        if isinstance(row.get("values"), list)
    }


def read_totals(answer: Json) -> dict[str, int]:
    """Values of `total_value` metrics. The answer has no date: whoever asked knows the window."""
    totals: dict[str, int] = {}
    for name, row in _named(answer).items():
        total = row.get("total_value")
        value = number(total.get("value")) if isinstance(total, dict) else None
        if value is not None:
            totals[name] = int(value)
    return totals


def read_breakdown(answer: Json, metric: str) -> dict[tuple[str, ...], int] | None:
    """Values of `metric` by the values of its dimensions; None without results, as for too fresh days (facts §1.1)."""
    row = _named(answer).get(metric, {})
    total = row.get("total_value")
    breakdowns = total.get("breakdowns") if isinstance(total, dict) else None
    if not isinstance(breakdowns, list) or not breakdowns or not isinstance(breakdowns[0], dict):
        return None
    results = breakdowns[0].get("results")
    if not isinstance(results, list):
        return None
    return dict(_result(entry) for entry in results)


def read_parts(answer: Json) -> dict[str, dict[date, dict[str, int]]]:
    """Values of metrics with split buckets by metric, Pacific day and part: `online_followers` by hour "0" to "23".

    A day that was not counted yet is empty.
    """
    return {
        name: dict(map(_parts, row["values"]))
        for name, row in _named(answer).items()
        if isinstance(row.get("values"), list)
    }


def read_media_insights(answer: Json) -> dict[str, Number]:
    """Lifetime values of a post by metric, from `/{id}/insights` or an expanded `insights` field."""
    found: dict[str, Number] = {}
    for name, row in _named(answer).items():
        values = row.get("values")
        first = values[0] if isinstance(values, list) and values else row.get("total_value")
        value = number(first.get("value")) if isinstance(first, dict) else None
        if value is not None:
            found[name] = value
    return found


def number(value: object) -> Number | None:
    """`value` if it is a number, which true and false are not."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _named(answer: Json) -> Mapping[str, Any]:
    rows = rows_of(answer)
    if not all(isinstance(row.get("name"), str) for row in rows):
        raise MalformedAnswerError("The insights have a row without a metric's name.")
    return {row["name"]: row for row in rows}


def _point(bucket: object) -> tuple[date, Point | None]:
    content, end_time = _bucket(bucket)
    value = number(content)
    return day_of_bucket(end_time), None if value is None else Point(int(value), end_time)


def _parts(bucket: object) -> tuple[date, dict[str, int]]:
    content, end_time = _bucket(bucket)
    parts = content if isinstance(content, dict) else {}
    counted = {str(name): number(value) for name, value in parts.items()}
    return day_of_bucket(end_time), {name: int(value) for name, value in counted.items() if value is not None}


def _bucket(bucket: object) -> tuple[object, datetime]:
    if not isinstance(bucket, dict) or not isinstance(bucket.get("end_time"), str):
        raise MalformedAnswerError("The series has a bucket without its end_time.")
    try:
        return bucket.get("value"), parse_end_time(bucket["end_time"])
    except ValueError:
        raise MalformedAnswerError("The series has an end_time that is no time.") from None


def _result(entry: object) -> tuple[tuple[str, ...], int]:
    if isinstance(entry, dict):
        names, value = entry.get("dimension_values"), number(entry.get("value"))
        if isinstance(names, list) and value is not None:
            return tuple(str(name) for name in names), int(value)
    raise MalformedAnswerError("The breakdown has a result without its values.")
