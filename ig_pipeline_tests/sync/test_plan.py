"""The plan: pure, so every rule is a line."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_pipeline.sync.plan import (
    DayRequest,
    Rectangle,
    Window,
    clip,
    initial_window,
    missing_days,
    neighbours,
    nightly_rectangles,
    plan_requests,
    rectangles,
    stretches,
    trailing_window,
)

TODAY = date(2026, 11, 20)
FIRST = date(2025, 1, 1)


def accounts(count: int) -> list[str]:
    return [f"account{n:04}" for n in range(count)]


def nightly(keys: list[str], connected: list[str], *, per_run: int = 100) -> list[Rectangle]:
    return nightly_rectangles(keys, connected=connected, today=TODAY, window_days=3, per_run=per_run, first_day=FIRST)


def test_the_first_backfill_is_the_thirty_days_that_end_yesterday() -> None:
    window = initial_window(TODAY, 30, first_day=FIRST)
    assert window == Window(date(2026, 10, 21), date(2026, 11, 19))
    assert len(window.days) == 30


def test_the_trailing_window_is_the_three_newest_complete_days() -> None:
    assert trailing_window(TODAY, 3) == Window(date(2026, 11, 17), date(2026, 11, 19))


def test_a_window_never_leaves_the_grid() -> None:
    assert initial_window(date(2025, 1, 11), 30, first_day=FIRST) == Window(FIRST, date(2025, 1, 10))
    assert initial_window(FIRST, 30, first_day=FIRST) is None
    assert clip(Window(TODAY, TODAY + timedelta(days=3)), today=TODAY, first_day=FIRST) is None
    assert clip(Window(date(2026, 11, 18), TODAY), today=TODAY, first_day=FIRST) == Window(
        date(2026, 11, 18), date(2026, 11, 19)
    )


def test_two_hundred_and_fifty_accounts_at_a_hundred_a_run_are_three_runs_of_three_days() -> None:
    keys = accounts(250)
    runs = nightly(keys, keys)
    assert len(runs) == 3
    assert [key for run in runs for key in run.account_keys] == keys
    assert max(len(run.account_keys) for run in runs) <= 100
    assert {(run.first, run.last) for run in runs} == {(date(2026, 11, 17), date(2026, 11, 19))}


def test_an_account_without_connection_is_in_no_rectangle_and_in_no_range() -> None:
    keys = accounts(10)
    runs = nightly(keys, [key for key in keys if key != keys[4]])
    assert [run.account_keys for run in runs] == [tuple(keys[:4]), tuple(keys[5:])]


def test_an_account_the_grid_does_not_know_is_left_to_the_sensor_of_new_connections() -> None:
    assert [run.account_keys for run in nightly(["a", "b"], ["b", "zoe"])] == [("b",)]


def test_nobody_connected_means_no_run() -> None:
    assert nightly(accounts(3), []) == []
    assert nightly_rectangles(["a"], connected=["a"], today=FIRST, window_days=3, per_run=9, first_day=FIRST) == []


def test_the_order_of_the_grid_rules_not_the_alphabet() -> None:
    assert [run.account_keys for run in nightly(["zoe", "adam", "eve"], ["adam", "eve", "zoe"])] == [
        ("zoe", "adam", "eve")
    ]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 7))
def test_stretches_of_neighbours_cover_exactly_the_wanted(wanted_flags: list[bool], per_run: int) -> None:
    keys = accounts(len(wanted_flags))
    wanted = [key for key, flag in zip(keys, wanted_flags, strict=True) if flag]
    parts = list(neighbours(keys, wanted, per_run=per_run))
    assert [key for part in parts for key in part] == wanted
    for part in parts:
        assert 1 <= len(part) <= per_run
        start = keys.index(part[0])
        assert tuple(keys[start : start + len(part)]) == part


@given(st.sets(st.integers(0, 40)))
def test_stretches_of_days_cover_exactly_the_days(offsets: set[int]) -> None:
    days = {FIRST + timedelta(days=n) for n in offsets}
    windows = stretches(days)
    assert {day for window in windows for day in window.days} == days
    assert all((b.first - a.last).days > 1 for a, b in pairwise(windows))


def test_small_gaps_are_bridged_where_a_run_more_costs_more() -> None:
    days = [FIRST, FIRST + timedelta(days=2), FIRST + timedelta(days=6)]
    assert stretches(days, bridging=1) == [Window(FIRST, days[1]), Window(days[2], days[2])]
    assert stretches(days, bridging=3) == [Window(FIRST, days[2])]


def test_missing_days_are_those_not_complete() -> None:
    window = Window(date(2026, 11, 17), date(2026, 11, 19))
    assert missing_days(window, {date(2026, 11, 18)}) == [date(2026, 11, 17), date(2026, 11, 19)]


@given(
    st.dictionaries(st.sampled_from(accounts(6)), st.sets(st.integers(0, 8)), max_size=6),
    st.integers(1, 3),
)
def test_rectangles_cover_exactly_the_cells_asked_for(asked: dict[str, set[int]], per_run: int) -> None:
    cells = {key: {FIRST + timedelta(days=n) for n in offsets} for key, offsets in asked.items()}
    runs = rectangles(cells, ordered_keys=accounts(6), per_run=per_run)
    covered = [(key, day) for run in runs for key, days in run.cells().items() for day in days]
    assert len(covered) == len(set(covered))
    assert set(covered) == {(key, day) for key, days in cells.items() for day in days}


def request(request_id: int, key: str, first: date = date(2026, 11, 1), last: date = date(2026, 11, 5)) -> DayRequest:
    return DayRequest(request_id, key, first, last)


def test_requests_of_neighbours_for_the_same_days_share_a_run() -> None:
    plan = plan_requests(
        [request(1, "a"), request(2, "b"), request(3, "d"), request(4, "b", last=date(2026, 11, 2)), request(5, "a")],
        ordered_keys=["a", "b", "c", "d"],
        today=TODAY,
        first_day=FIRST,
        per_run=100,
    )
    assert [(run.rectangle.account_keys, run.rectangle.last.day, run.request_ids) for run in plan.rectangles] == [
        (("b",), 2, (4,)),
        (("a", "b"), 5, (1, 2, 5)),
        (("d",), 5, (3,)),
    ]
    assert plan.refused == {}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(1, "nobody"), "not an account of the grid"),
        (request(1, "a", TODAY, TODAY), "from 2025-01-01 to 2026-11-19"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_with_the_reason(asked: DayRequest, reason: str) -> None:
    plan = plan_requests([asked], ordered_keys=["a"], today=TODAY, first_day=FIRST, per_run=100)
    assert plan.rectangles == []
    assert reason in plan.refused[1]


def test_a_request_is_clipped_to_the_grid() -> None:
    plan = plan_requests([request(1, "a", last=TODAY)], ordered_keys=["a"], today=TODAY, first_day=FIRST, per_run=100)
    assert plan.rectangles[0].rectangle == Rectangle(("a",), date(2026, 11, 1), date(2026, 11, 19))
