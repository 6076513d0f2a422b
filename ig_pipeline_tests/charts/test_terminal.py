"""The terminal's chart and table: right width, every day, gaps shown as gaps, no colour where none is wanted."""

from collections.abc import Sequence
from datetime import date, timedelta
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from ig_pipeline.charts.terminal import (
    blocks_for,
    nice_top,
    short,
    timeline_chart,
    timeline_summary,
    timeline_table,
)
from ig_pipeline.storage.day_rows import DayRow

FIRST = date(2026, 10, 20)
FULL = "█"


def timeline(reach: Sequence[int | None], engagement: Sequence[int | None] | None = None) -> list[DayRow]:
    other = reach if engagement is None else engagement
    return [DayRow(FIRST + timedelta(days=n), a, b) for n, (a, b) in enumerate(zip(reach, other, strict=True))]


def printed(what: RenderableType, *, width: int = 80, colour: bool = False) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None)
    console.print(what)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("days", [1, 7, 30, 90, 365])
def test_the_chart_fits_its_width(width: int, days: int) -> None:
    lines = printed(timeline_chart(timeline([n * 37 % 1000 for n in range(days)]), width=width), width=200).splitlines()
    assert max(map(len, lines)) <= width
    assert any("Reach" in line for line in lines)
    assert any("Engagement" in line for line in lines)


def test_the_highest_day_is_the_highest_bar_and_a_missing_day_is_a_gap() -> None:
    chart = printed(timeline_chart(timeline([10, 100, None, 50]), width=80)).splitlines()
    top, bottom = chart[1].split("┤")[1], chart[-4].split("│")[-1]
    assert 6 <= len(top) - len(top.lstrip()) < len(top.rstrip()) <= 12
    assert bottom[12:18].strip() == ""
    assert bottom[18:24].strip() != ""
    assert "(1 of 4 days missing)" in chart[0]


def test_equal_days_are_equally_wide_and_high() -> None:
    for days in (7, 14, 30):
        rows = printed(timeline_chart(timeline([5] * days), width=80)).splitlines()
        row = next(row for row in rows if FULL in row)
        bars = row.split("┤")[-1].split("│")[-1].replace("▐", " ▐").split()
        assert len(bars) == days
        assert len(set(bars)) == 1


@pytest.mark.parametrize("values", [[0] * 30, [None] * 30, [1], [None], [10**9] * 3])
def test_extreme_days_can_be_drawn(values: list[int | None]) -> None:
    assert "Reach" in printed(timeline_chart(timeline(values), width=80))


def test_without_colour_there_is_no_escape_sequence_and_with_it_there_is() -> None:
    chart = timeline_chart(timeline([1, 2, 3]), width=80)
    assert "\x1b[" not in printed(chart)
    assert "\x1b[36m" in printed(chart, colour=True)


def test_the_newest_day_bears_its_date() -> None:
    assert "Nov 18" in printed(timeline_chart(timeline([1] * 30), width=80))


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 10**7)), min_size=1, max_size=60))
def test_the_table_has_every_day_once_whatever_the_blocks(values: list[int | None]) -> None:
    days = timeline(values)
    for width in (80, 120):
        table = printed(timeline_table(days, blocks=blocks_for(width, len(days))), width=width)
        assert all(table.count(day.date.isoformat()) == 1 for day in days)
        assert max(map(len, table.splitlines())) <= width


def test_a_missing_value_is_a_dash_and_no_zero() -> None:
    assert printed(timeline_table(timeline([None]))).splitlines()[1].split()[1:] == ["-", "-"]


def test_the_summary_averages_reach_and_adds_engagement() -> None:
    days = timeline([100, 200, None], [1, 2, None])
    assert timeline_summary(days) == "2 of 3 days, reach 150 a day, engagement 3 in all."
    assert timeline_summary(timeline([None])) == "None of the 1 days is there yet."


@given(st.integers(0, 10**12))
def test_a_scale_ends_above_its_largest_value_and_not_far_above(largest: int) -> None:
    assert largest <= nice_top(largest) <= max(1, largest * 2)


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1500, "1.5k"), (2_000_000, "2M")])
def test_numbers_on_the_scale_are_short(number: int, text: str) -> None:
    assert short(number) == text
