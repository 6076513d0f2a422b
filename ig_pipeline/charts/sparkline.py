"""A line without axes, as small as a word. Twenty of them on a page have to cost nothing, so no engine draws them."""

from collections.abc import Sequence

WIDTH, HEIGHT = 240, 48
_MARGIN = 3


def sparkline(values: Sequence[int | None], *, series: str) -> str:
    """An `<svg>` of the values from left to right, from zero to their highest; gaps where there is None."""
    highest = max((value for value in values if value is not None), default=0) or 1
    step = (WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)
    stretches: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            stretches.append([])
            continue
        y = HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * value / highest
        stretches[-1].append((_MARGIN + index * step, y))
    drawn = "".join(_stretch(points) for points in stretches if points)
    return (
        f'<svg class="sparkline series-{series}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true">{drawn}</svg>'
    )


def _stretch(points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if len(points) == 1:
        x, y = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    first, last = points[0][0], points[-1][0]
    floor = HEIGHT - _MARGIN
    area = f"{first:.1f},{floor} {path} {last:.1f},{floor}"
    return f'<polygon points="{area}"/><polyline points="{path}"/>'
