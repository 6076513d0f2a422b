"""A timeline as a chart and a table for the terminal; `ig-pipeline timeline` and the demo show the same.

Rows in, something for rich to print out. Reads no database and does not know how wide the terminal is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import plotext
from rich.table import Table
from rich.text import Text

from ig_pipeline.storage.day_rows import DayRow

REACH, ENGAGEMENT = "Reach", "Engagement"
_COLOURS = {REACH: "cyan", ENGAGEMENT: "magenta"}
_BLANK = "-"
# The axis and one column of air.
_FRAME = 2
# Wider bars than this show nothing more.
_WIDEST = 6


def timeline_chart(days: Sequence[DayRow], *, width: int, height: int = 8) -> Text:
    """Reach above engagement, each with its own scale; `width` columns at most, `height` lines each.

    `days`: one day after the other, at least one.
    """
    dates = [day.date for day in days]
    panels = [
        _panel(REACH, dates, [day.reach for day in days], width=width, height=height),
        _panel(ENGAGEMENT, dates, [day.engagement for day in days], width=width, height=height),
    ]
    return Text("\n").join(panels)


def timeline_table(days: Sequence[DayRow], *, blocks: int = 1) -> Table:
    """A row a day. `blocks`: so many columns of days side by side, read downwards; one in a pipe, for grep."""
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for number in range(blocks):
        table.add_column("Day" if number == 0 else "  Day", no_wrap=True)
        table.add_column("Reach", justify="right", no_wrap=True)
        table.add_column("Engagement", justify="right", no_wrap=True)
    length = -(-len(days) // blocks)
    for row in range(length):
        cells: list[str] = []
        for number, day in enumerate(days[row::length]):
            cells += [f"{'  ' if number else ''}{day.date:%Y-%m-%d}", _counted(day.reach), _counted(day.engagement)]
        table.add_row(*cells)
    return table


def blocks_for(width: int, days: int) -> int:
    """How many columns of days fit side by side; at least five days in each."""
    return max(1, min(width // 39, -(-days // 5)))


def timeline_summary(days: Sequence[DayRow]) -> str:
    """One line. Reach is not added up: a person reached on two days is one person (docs/graph_api.md#unique-reach)."""
    there = [day for day in days if day.reach is not None or day.engagement is not None]
    if not there:
        return f"None of the {len(days)} days is there yet."
    parts = [f"{len(there)} of {len(days)} days"]
    reached = [day.reach for day in there if day.reach is not None]
    if reached:
        parts.append(f"reach {sum(reached) / len(reached):,.0f} a day")
    parts.append(f"engagement {sum(day.engagement or 0 for day in there):,} in all")
    return ", ".join(parts) + "."


@dataclass(frozen=True)
class _Scale:
    """The grid a panel is drawn on. plotext's finest block marker halves a character, so places count in halves."""

    days: int
    cells: int
    levels: list[int]

    @property
    def halves(self) -> int:
        return 2 * self.cells

    @property
    def labels(self) -> list[str]:
        return [short(level) for level in self.levels]

    @property
    def margin(self) -> int:
        return max(map(len, self.labels)) + _FRAME

    def middle(self, place: int) -> float:
        return (place + 0.5) * self.halves / self.days

    @classmethod
    def of(cls, values: Sequence[int | None], *, width: int) -> "_Scale":
        top = nice_top(max((value for value in values if value is not None), default=0))
        levels = [0, top // 2, top] if top > 1 else [0, top]
        room = width - max(len(short(level)) for level in levels) - _FRAME
        # Every day as wide as the next: what is left over on the right stays empty.
        per_day = min(_WIDEST, max(1, room // max(1, len(values))))
        return cls(len(values), min(room, per_day * len(values)), levels)


def _panel(name: str, days: Sequence[date], values: Sequence[int | None], *, width: int, height: int) -> Text:
    missing = sum(value is None for value in values)
    title = Text.assemble(
        (name, "bold"), (f"  ({missing} of {len(values)} days missing)" if missing else "", "yellow"), "\n"
    )
    return title + Text.from_ansi(_draw(name, days, values, _Scale.of(values, width=width), height), no_wrap=True)


def _draw(name: str, days: Sequence[date], values: Sequence[int | None], scale: _Scale, height: int) -> str:
    # plotext has one figure for all: it is emptied first, and not held to the size of whatever terminal it guesses.
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear.all()
    figure.theme("colorless")
    figure.plot_size(scale.cells + scale.margin, height)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    figure.ruler("x").lim(0, scale.halves - 1)
    figure.ruler("y").lim(0, scale.levels[-1])
    figure.ruler("y").ticks(scale.levels, scale.labels)
    marked = _marked(scale)
    figure.ruler("x").ticks([scale.middle(place) for place in marked], [f"{days[place]:%b %d}" for place in marked])
    marker = plotext.marker("hd", plotext.pixel(foreground=_COLOURS[name]))
    for xs, ys in _strokes(values, scale):
        signal = figure.signal(xs, ys, marker=marker)
        figure.draw(signal.fillx() if _has_bars(scale) else signal.lines())
    drawn: str = figure.build().string()
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _has_bars(scale: _Scale) -> bool:
    """Two characters a day are a bar and a gap; with less, days become a line."""
    return scale.halves // scale.days > 2


def _strokes(values: Sequence[int | None], scale: _Scale) -> Iterator[tuple[list[float], list[int]]]:
    """Points to draw together: all bars, each half column a stem of its own; or a line for each run without a gap."""
    if _has_bars(scale):
        wide = scale.halves // scale.days
        bars = [
            (float(place * wide + stem), value)
            for place, value in enumerate(values)
            if value is not None
            for stem in range(wide - 1)
        ]
        if bars:
            yield [x for x, _ in bars], [y for _, y in bars]
        return
    for known, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if known:
            points = [(scale.middle(place), value) for place, value in run if value is not None]
            yield [x for x, _ in points], [y for _, y in points]


def _marked(scale: _Scale) -> list[int]:
    """Which days get their date below: the newest, and back from it by days or weeks, ten columns apart at least."""
    step = max(1, -(-scale.days * 10 // scale.cells))
    step = -(-step // 7) * 7 if step > 2 else step
    return list(range(scale.days - 1, -1, -step))[::-1]


def nice_top(largest: int) -> int:
    """The end of a scale from zero: 1, 2, 4, 5 or 8 times a power of ten, not below `largest`."""
    if largest <= 1:
        return 1
    power = 10 ** (len(str(largest)) - 1)
    return int(next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= largest))


def short(number: int) -> str:
    """`1500` as `1.5k`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return str(number)


def _counted(value: int | None) -> str:
    return _BLANK if value is None else f"{value:,}"


def as_rows(days: Iterable[DayRow]) -> list[dict[str, str | int | None]]:
    """Plain values for JSON."""
    return [{"date": day.date.isoformat(), "reach": day.reach, "engagement": day.engagement} for day in days]
