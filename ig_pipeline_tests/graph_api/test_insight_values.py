"""What an answer's numbers become: the unit in the catalogue decides, not the parser that meets them."""

from datetime import date
from typing import Any

import pytest

from ig_pipeline.graph_api import catalogue
from ig_pipeline.graph_api.insight_values import (
    Number,
    measured,
    read_breakdown,
    read_media_insights,
    read_parts,
    read_series,
    read_totals,
)
from ig_pipeline.graph_api.media_nodes import read_media

END, DAY = "2026-11-20T08:00:00+0000", date(2026, 11, 19)
UNITS: dict[catalogue.Unit, Number] = {"percent": 48.4, "count": 48, "ms": 48}


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> catalogue.Unit:
    """The unit of the account metric `measure`."""
    given: catalogue.Unit = request.param
    metric = catalogue.AccountMetric("measure", ("time_series", "total_value"), unit=given)
    monkeypatch.setitem(catalogue.ACCOUNT_METRICS, "measure", metric)
    return given


def answer(**content: Any) -> dict[str, Any]:
    return {"data": [{"name": "measure", "period": "day", **content}]}


def test_every_shape_of_an_answer_keeps_the_fraction_of_a_percentage_alone(unit: catalogue.Unit) -> None:
    expected = UNITS[unit]
    results = [{"dimension_values": ["REEL"], "value": 48.4}]
    breakdowns = [{"dimension_keys": ["media_product_type"], "results": results}]
    parts = answer(values=[{"value": {"7": 48.4}, "end_time": END}])
    assert read_series(answer(values=[{"value": 48.4, "end_time": END}]))["measure"][DAY].value == expected
    assert read_totals(answer(total_value={"value": 48.4})) == {"measure": expected}
    assert read_media_insights(answer(values=[{"value": 48.4}])) == {"measure": expected}
    assert read_media_insights(answer(total_value={"value": 48.4})) == {"measure": expected}
    assert read_breakdown(answer(total_value={"breakdowns": breakdowns}), "measure") == {("REEL",): expected}
    assert read_parts(parts) == {"measure": {DAY: {"7": expected}}}


def test_a_skip_rate_stays_a_fraction_of_a_page_as_well() -> None:
    rows = [{"name": "reels_skip_rate", "values": [{"value": 48.4}]}, {"name": "saved", "values": [{"value": 3.0}]}]
    row = {"id": "1", "timestamp": END, "media_type": "VIDEO", "insights": {"data": rows}}
    insights = read_media(row).insights
    assert insights == {"reels_skip_rate": 48.4, "saved": 3}
    assert isinstance(insights["saved"], int)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("reels_skip_rate", 48, 48.0),
        ("views", 12.0, 12),
        ("ig_reels_avg_watch_time", 6524.6, 6525),
        ("of_a_later_release", 0.5, 0.5),
        ("views", True, None),
        ("views", "12", None),
        ("views", float("nan"), None),
        ("reels_skip_rate", float("inf"), None),
    ],
)
def test_a_value_is_what_its_metric_counts(metric: str, value: object, expected: Number | None) -> None:
    found = measured(metric, value)
    assert (found, type(found)) == (expected, type(expected))
