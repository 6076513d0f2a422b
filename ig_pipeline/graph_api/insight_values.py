"""The shapes of insight answers, account and media alike: JSON in, values by metric out.

See docs/graph_api.md#shapes-of-answers.

Pure. What cannot be read, be it a metric, a bucket or a part of a breakdown, is left out, so that the caller notices
that it is missing and its neighbours are kept. An answer that is no list of insights raises `MalformedAnswerError`.
Whether a value may have a fraction is said by its unit in the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.catalogue import unit_of
from ig_pipeline.graph_api.days import day_of_bucket, parse_end_time

Number = int | float

BEYOND_ALL = 10**15
"""What no account counts to, in views or in milliseconds; sums of a year of such days still fit into eight bytes."""


@dataclass(frozen=True)
class Point:
    """One bucket of a series. `end_time` (UTC) is the exclusive end of the day it measured."""

    value: Number
    end_time: datetime

    @property
    def day(self) -> date:
        """The Pacific day it measured."""
        return day_of_bucket(self.end_time)


def read_series(answer: Json) -> dict[str, dict[date, Point]]:
    """Values of `time_series` metrics by metric and Pacific day. A bucket without a number is left out."""
    return {
        name: {point.day: point for bucket in row["values"] if (point := _point(name, bucket)) is not None}
        for name, row in _named(answer).items()
        if isinstance(row.get("values"), list)
    }


def read_totals(answer: Json) -> dict[str, Number]:
    """Values of `total_value` metrics. The answer has no date: whoever asked knows the window."""
    totals: dict[str, Number] = {}
    for name, row in _named(answer).items():
        total = row.get("total_value")
        value = measured(name, total.get("value")) if isinstance(total, dict) else None
        if value is not None:
            totals[name] = value
    return totals


def read_breakdown(answer: Json, metric: str) -> dict[tuple[str, ...], Number] | None:
    """Values of `metric` by the values of its dimensions; empty without results, as for too fresh days.

    See docs/graph_api.md#unique-reach.

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
    return dict(part for entry in results if (part := _result(metric, entry)) is not None)


def read_parts(answer: Json) -> dict[str, dict[date, dict[str, Number]]]:
    """Values of metrics with split buckets by metric, Pacific day and part: `online_followers` by hour "0" to "23".

    A day that was not counted yet is empty.
    """
    return {
        name: dict(part for bucket in row["values"] if (part := _parts(name, bucket)) is not None)
        for name, row in _named(answer).items()
        if isinstance(row.get("values"), list)
    }


def read_media_insights(answer: Json) -> dict[str, Number]:
    """Lifetime values of a post by metric, from `/{id}/insights` or an expanded `insights` field."""
    found: dict[str, Number] = {}
    for name, row in _named(answer).items():
        values = row.get("values")
        first = values[0] if isinstance(values, list) and values else row.get("total_value")
        value = measured(name, first.get("value")) if isinstance(first, dict) else None
        if value is not None:
            found[name] = value
    return found


def measured(metric: str, value: object) -> Number | None:
    """`value` in the unit of `metric`: percentages keep their fraction, counts and milliseconds are whole numbers.

    None for what is no number. A metric the catalogue does not know keeps the number that came.
    """
    found = number(value)
    unit = unit_of(metric)
    if found is None or unit is None:
        return found
    return float(found) if unit == "percent" else round(found)


def number(value: object) -> Number | None:
    """`value` if it is a number, which true, false, NaN and what no one can count to are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -BEYOND_ALL < value < BEYOND_ALL else None


def _named(answer: Json) -> Mapping[str, Any]:
    return {row["name"]: row for row in rows_of(answer) if isinstance(row.get("name"), str)}


def _point(metric: str, bucket: object) -> Point | None:
    end_time, content = _bucket(bucket)
    value = measured(metric, content)
    return None if value is None or end_time is None else Point(value, end_time)


def _parts(metric: str, bucket: object) -> tuple[date, dict[str, Number]] | None:
    end_time, content = _bucket(bucket)
    if end_time is None:
        return None
    parts = content if isinstance(content, dict) else {}
    counted = {str(name): measured(metric, value) for name, value in parts.items()}
    return day_of_bucket(end_time), {name: value for name, value in counted.items() if value is not None}


def _bucket(bucket: object) -> tuple[datetime | None, object]:
    """End (None: not told) and content of a bucket."""
    if not isinstance(bucket, dict) or not isinstance(bucket.get("end_time"), str):
        return None, None
    try:
        return parse_end_time(bucket["end_time"]), bucket.get("value")
    except ValueError:
        return None, None


def _result(metric: str, entry: object) -> tuple[tuple[str, ...], Number] | None:
    if isinstance(entry, dict):
        names, value = entry.get("dimension_values"), measured(metric, entry.get("value"))
        if isinstance(names, list) and value is not None:
            return tuple(str(name) for name in names), value
    return None
