"""The shapes of insight answers, account and media alike (facts §1.3, §2.2): JSON in, values by metric out.

Pure. What cannot be read, be it a metric, a bucket or a part of a breakdown, is left out, so that the caller notices
that it is missing and its neighbours are kept. An answer that is no list of insights raises `MalformedAnswerError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.days import day_of_bucket, parse_end_time

Number = int | float


@dataclass(frozen=True)
class Point:
    """One bucket of a series. `end_time` (UTC) is the exclusive end of the day it measured."""

    value: int
    end_time: datetime

    @property
    def day(self) -> date:
        """The Pacific day it measured."""
        return day_of_bucket(self.end_time)


def read_series(answer: Json) -> dict[str, dict[date, Point]]:
    """Values of `time_series` metrics by metric and Pacific day. A bucket without a number is left out."""
    return {
        name: {point.day: point for point in map(_point, row["values"]) if point is not None}
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
    """Values of `metric` by the values of its dimensions; empty without results, as for too fresh days (facts §1.1).

    None when the answer does not speak of the breakdown at all.
    """
    row = _named(answer).get(metric, {})
    total = row.get("total_value")
    breakdowns = total.get("breakdowns") if isinstance(total, dict) else None
    if not isinstance(breakdowns, list) or not breakdowns or not isinstance(breakdowns[0], dict):
        return None
    results = breakdowns[0].get("results")
    if not isinstance(results, list):
        return {}
    return dict(part for part in map(_result, results) if part is not None)


def read_parts(answer: Json) -> dict[str, dict[date, dict[str, int]]]:
    """Values of metrics with split buckets by metric, Pacific day and part: `online_followers` by hour "0" to "23".

    A day that was not counted yet is empty.
    """
    return {
        name: dict(part for part in map(_parts, row["values"]) if part is not None)
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
    return {row["name"]: row for row in rows_of(answer) if isinstance(row.get("name"), str)}


def _point(bucket: object) -> Point | None:
    end_time, content = _bucket(bucket)
    value = number(content)
    return None if value is None or end_time is None else Point(int(value), end_time)


def _parts(bucket: object) -> tuple[date, dict[str, int]] | None:
    end_time, content = _bucket(bucket)
    if end_time is None:
        return None
    parts = content if isinstance(content, dict) else {}
    counted = {str(name): number(value) for name, value in parts.items()}
    return day_of_bucket(end_time), {name: int(value) for name, value in counted.items() if value is not None}


def _bucket(bucket: object) -> tuple[datetime | None, object]:
    """End (None: not told) and content of a bucket."""
    if not isinstance(bucket, dict) or not isinstance(bucket.get("end_time"), str):
        return None, None
    try:
        return parse_end_time(bucket["end_time"]), bucket.get("value")
    except ValueError:
        return None, None


def _result(entry: object) -> tuple[tuple[str, ...], int] | None:
    if isinstance(entry, dict):
        names, value = entry.get("dimension_values"), number(entry.get("value"))
        if isinstance(names, list) and value is not None:
            return tuple(str(name) for name in names), int(value)
    return None
