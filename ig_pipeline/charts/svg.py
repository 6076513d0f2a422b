"""Days and numbers → SVGs that a page can hold, coloured by the page's CSS: a chart of days, and a line without axes.

Knows no account and no database. A missing day is a gap, never a zero. Every day of a chart carries its own `<title>`,
so that a mouse finds the number without any script; the page's script makes more of the same elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from html import escape
from typing import Any, Literal

import vl_convert

ChartKind = Literal["area", "bars"]
# Of the Vega-Lite versions the library carries, the one these specifications were checked with.
_VEGA_LITE = "5.20"


@dataclass(frozen=True)
class ChartSize:
    """The drawing in CSS pixels: the plot, and the space around it for the axes."""

    width: int
    height: int
    ticks: int
    left: int = 44
    right: int = 10
    top: int = 10
    bottom: int = 26


WIDE = ChartSize(width=706, height=204, ticks=5)
NARROW = ChartSize(width=306, height=176, ticks=3)
"""Two drawings of one chart, so that letters have the same size on a phone as on a desk."""


@dataclass(frozen=True)
class Point:
    """One day of a chart; None where there is no number."""

    day: date
    value: int | None


@lru_cache(maxsize=512)
def daily_chart(points: tuple[Point, ...], *, kind: ChartKind, series: str, unit: str, size: ChartSize) -> str:
    """An `<svg>` without scripts or inline styles. `series` is the CSS name of its colour, `unit` ends the titles."""
    if not points:
        return ""
    svg: str = vl_convert.vegalite_to_svg(_specification(points, kind, series, size), vl_version=_VEGA_LITE)
    shown = sum(point.value is not None for point in points)
    label = f"{unit.capitalize()}, {points[0].day:%-d %B} to {points[-1].day:%-d %B}, {shown} of {len(points)} days."
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" data-left="{size.left}" ', 1)
    return svg.removesuffix("</svg>") + _hits(points, unit, size) + "</svg>"


def _specification(points: Sequence[Point], kind: ChartKind, series: str, size: ChartSize) -> dict[str, Any]:
    colour = f"var(--series-{series})"
    days = [point.day.isoformat() for point in points]
    highest = max((point.value for point in points if point.value is not None), default=0)
    x = {
        "field": "day",
        "type": "ordinal",
        "scale": {"domain": days, "paddingInner": 0.32, "paddingOuter": 0.16} if kind == "bars" else {"domain": days},
        "axis": {
            "values": _labelled(days, size.ticks),
            "labelExpr": "utcFormat(toDate(datum.value), '%-d %b')",
            "labelAngle": 0,
            "labelPadding": 8,
            "title": None,
            "ticks": False,
            "domainColor": "var(--grid-strong)",
        },
    }
    y = {
        "field": "value",
        "type": "quantitative",
        # An empty or all-zero chart still has a scale: one step up from nothing.
        "scale": {"domainMin": 0, "nice": 4} if highest else {"domain": [0, 1]},
        "axis": {
            **({"tickCount": 4, "tickMinStep": 1} if highest else {"values": [0]}),
            "labelExpr": "datum.value == 0 ? '0' : format(datum.value, '~s')",
            "title": None,
            "domain": False,
            "ticks": False,
            "labelPadding": 8,
            "gridColor": "var(--grid)",
        },
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size.width,
        "height": size.height,
        "autosize": {"type": "none"},
        "padding": {"left": size.left, "right": size.right, "top": size.top, "bottom": size.bottom},
        "background": None,
        "data": {"values": [{"day": point.day.isoformat(), "value": point.value} for point in points]},
        "encoding": {"x": x, "y": y},
        "layer": _layers(points, kind, colour),
        "config": {
            "view": {"stroke": None},
            "aria": False,
            "axis": {"labelColor": "var(--ink-soft)", "labelFontSize": 12, "labelFont": "Inter, sans-serif"},
        },
    }


def _layers(points: Sequence[Point], kind: ChartKind, colour: str) -> list[dict[str, Any]]:
    if kind == "bars":
        return [{"mark": {"type": "bar", "color": colour, "cornerRadiusEnd": 3, "invalid": "filter"}}]
    path = {"interpolate": "monotone", "invalid": "break-paths-filter-domains"}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "area", "color": colour, "opacity": 0.13, **path}},
        {"mark": {"type": "line", "color": colour, "strokeWidth": 2.25, "strokeCap": "round", **path}},
    ]
    alone = _islands(points)
    if alone:
        # A day between two gaps is a path of one point, which no one sees.
        layers.append(
            {
                "data": {"values": alone},
                "mark": {"type": "point", "color": colour, "filled": True, "size": 40, "opacity": 1},
            }
        )
    return layers


def _islands(points: Sequence[Point]) -> list[dict[str, Any]]:
    def there(index: int) -> bool:
        return 0 <= index < len(points) and points[index].value is not None

    return [
        {"day": point.day.isoformat(), "value": point.value}
        for index, point in enumerate(points)
        if there(index) and not there(index - 1) and not there(index + 1)
    ]


def _labelled(days: Sequence[str], ticks: int) -> list[str]:
    """Days to name: evenly spaced, and half a step away from the edges, so that no label is cut."""
    step = max(1, -(-len(days) // ticks))
    return list(days[step // 2 :: step])


def _hits(points: Sequence[Point], unit: str, size: ChartSize) -> str:
    """One invisible rectangle a day over the whole height, with its number."""
    step = size.width / len(points)
    parts = ['<g class="hits">']
    for index, point in enumerate(points):
        value = "no data yet" if point.value is None else f"{point.value:,} {unit}"
        text = escape(f"{point.day:%a %-d %b}: {value}")
        parts.append(
            f'<rect class="hit" x="{size.left + index * step:.2f}" y="{size.top}" width="{step:.2f}" '
            f'height="{size.height}" fill="transparent" data-day="{point.day:%a %-d %B}" data-value="{escape(value)}">'
            f"<title>{text}</title></rect>"
        )
    return "".join([*parts, "</g>"])


def warm_up() -> None:
    """Start the drawing engine: its first picture takes half a second."""
    day = date(2026, 1, 1)
    daily_chart((Point(day, 1),), kind="area", series="reach", unit="warm", size=NARROW)


_LINE_WIDTH, _LINE_HEIGHT = 240, 48
_LINE_MARGIN = 3


def sparkline(values: Sequence[int | None], *, series: str) -> str:
    """An `<svg>` of the values from left to right, from zero to their highest; gaps where there is None.

    A line as small as a word. Twenty of them on a page have to cost nothing, so the drawing engine is not used.
    """
    highest = max((value for value in values if value is not None), default=0) or 1
    step = (_LINE_WIDTH - 2 * _LINE_MARGIN) / max(1, len(values) - 1)
    stretches: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            stretches.append([])
            continue
        y = _LINE_HEIGHT - _LINE_MARGIN - (_LINE_HEIGHT - 2 * _LINE_MARGIN) * value / highest
        stretches[-1].append((_LINE_MARGIN + index * step, y))
    drawn = "".join(_stretch(points) for points in stretches if points)
    return (
        f'<svg class="sparkline series-{series}" viewBox="0 0 {_LINE_WIDTH} {_LINE_HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true">{drawn}</svg>'
    )


def _stretch(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if len(points) == 1:
        x, y = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    first, last = points[0][0], points[-1][0]
    floor = _LINE_HEIGHT - _LINE_MARGIN
    area = f"{first:.1f},{floor} {path} {last:.1f},{floor}"
    return f'<polygon points="{area}"/><polyline points="{path}"/>'
