"""Summaries of a sync."""

from datetime import date

from ig_pipeline.sync.registry import grid
from ig_pipeline.sync.results import AccountDayResult, summarise


def test_assets_stand_in_order_of_dependence() -> None:
    assert grid() == ("account_insights", "media_engagement", "daily_metrics")


def test_a_summary_counts_rows_errors_and_metrics_per_account() -> None:
    day, next_day = date(2026, 11, 1), date(2026, 11, 2)
    results = [
        AccountDayResult(
            "account_insights", "a", day, "complete", rows=2, values={"reach": 5, "views": None}, account_id="1", u_id=7
        ),
        AccountDayResult("daily_metrics", "a", day, "complete", rows=1, values={"reach": 5, "engagement": 2}),
        AccountDayResult("account_insights", "b", day, "failed", error="Reconnect b.", error_type="TokenDeadError"),
        AccountDayResult("account_insights", "b", next_day, "failed", error="Reconnect b."),
        AccountDayResult("account_insights", "a", next_day, "complete", rows=1, values={"reach": 6}),
    ]
    good, bad = summarise(results)
    assert (good.success, good.total_inserted, good.total_errors) == (True, 4, 0)
    assert good.metrics_inserted == {"reach": 2}
    assert (good.account_id, good.user_id, good.account_key) == ("1", 7, "a")
    assert (bad.success, bad.total_errors, bad.errors) == (False, 2, ["Reconnect b."])


def test_deferred_cells_are_neither_success_nor_error() -> None:
    (summary,) = summarise([AccountDayResult("account_insights", "a", date(2026, 11, 1), "deferred")])
    assert (summary.success, summary.total_errors, summary.deferred) == (False, 0, 1)


def test_a_cell_that_lacks_something_is_neither_success_nor_error() -> None:
    result = AccountDayResult("account_insights", "a", date(2026, 11, 1), "partial", rows=11, lacking=("views",))
    (summary,) = summarise([result])
    assert (summary.success, summary.total_errors, summary.partial) == (False, 0, 1)
    assert result.written
    assert not result.is_complete


def test_a_summary_is_plain_values() -> None:
    (summary,) = summarise([AccountDayResult("daily_metrics", "a", date(2026, 11, 1), "complete", rows=1)])
    assert summary.as_dict() == {
        "success": True,
        "total_inserted": 1,
        "total_errors": 0,
        "metrics_inserted": {},
        "errors": [],
        "account_id": None,
        "user_id": None,
        "account_key": "a",
        "deferred": 0,
        "partial": 0,
    }
