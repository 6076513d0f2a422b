"""Which account-days to ask for. Pure: names and days in, rectangles of the grid out.

Days are Instagram days (America/Los_Angeles); `today` is the day still running there.
No database, no clock, no Dagster: callers bring the grid's keys in the grid's own order.

A run covers a rectangle: the cross product of a range of accounts and a range of days
(docs/dagster.md#backfill-policy-and-multi-partitions).
Dagster orders dynamic keys by insertion and a range over them takes in **every** key between its ends. So a
rectangle holds only connected accounts that stand next to each other in that order: an account whose token died
splits the rectangle in two, and is neither planned nor turned red by a neighbour's failure. A run more costs about
1.5 s of process start; a red cell that nobody asked for costs an operator's trust.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

_DAY = timedelta(days=1)


class Window(NamedTuple):
    """A range of Instagram days, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Every day, oldest first; empty when `last` is before `first`."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True)
class Rectangle:
    """One run: neighbouring accounts (in the grid's order) by consecutive days, both ends included."""

    account_keys: tuple[str, ...]
    first: date
    last: date

    @property
    def window(self) -> Window:
        """Its days."""
        return Window(self.first, self.last)

    def cells(self) -> dict[str, list[date]]:
        """Account → days, as the engine takes them."""
        return dict.fromkeys(self.account_keys, self.window.days)


@dataclass(frozen=True)
class DayRequest:
    """Somebody asked for one account's days: a queued row of `sync_requests`."""

    request_id: int
    account_key: str
    first: date
    last: date


@dataclass(frozen=True)
class RequestedRectangle:
    """A run that answers one or several requests."""

    rectangle: Rectangle
    request_ids: tuple[int, ...]


@dataclass(frozen=True)
class RequestPlan:
    """Runs for what can be asked for, and a sentence for each request that cannot."""

    rectangles: list[RequestedRectangle]
    refused: Mapping[int, str]


def clip(window: Window, *, today: date, first_day: date) -> Window | None:
    """`window` without days before the grid begins and days not yet complete; None when nothing is left."""
    clipped = Window(max(window.first, first_day), min(window.last, today - _DAY))
    return clipped if clipped.first <= clipped.last else None


def initial_window(today: date, days: int, *, first_day: date = date.min) -> Window | None:
    """The first backfill of a connection: `[today - days … yesterday]`, clipped to the grid."""
    return clip(Window(today - timedelta(days=days), today - _DAY), today=today, first_day=first_day)


def trailing_window(today: date, days: int, *, first_day: date = date.min) -> Window | None:
    """The newest `days` complete days. Fetched again nightly: Meta settles for up to 48 h.

    See docs/graph_api.md#when-numbers-are-final.
    """
    return initial_window(today, days, first_day=first_day)


def nightly_rectangles(
    ordered_keys: Sequence[str],
    *,
    connected: Collection[str],
    today: date,
    window_days: int,
    per_run: int,
    first_day: date = date.min,
) -> list[Rectangle]:
    """The trailing window of every connected account, in as few runs as `per_run` and the grid's order allow.

    `ordered_keys`: all keys of the grid in its own order (insertion). Accounts of `connected` that the grid does not
    know yet are left to the sensor of new connections. 250 neighbours at 100 a run make 3 runs of at most 84.
    """
    window = trailing_window(today, window_days, first_day=first_day)
    if window is None:
        return []
    wanted = set(connected)
    return [Rectangle(keys, *window) for keys in neighbours(ordered_keys, wanted, per_run=per_run)]


def neighbours(ordered_keys: Sequence[str], wanted: Collection[str], *, per_run: int) -> Iterator[tuple[str, ...]]:
    """The wanted keys in stretches without a foreign key between them, each cut evenly into at most `per_run`."""
    for is_wanted, group in groupby(ordered_keys, key=lambda key: key in wanted):
        if not is_wanted:
            continue
        stretch = tuple(group)
        runs = -(-len(stretch) // per_run)
        size = -(-len(stretch) // runs)
        yield from (stretch[start : start + size] for start in range(0, len(stretch), size))


def stretches(days: Iterable[date], *, bridging: int = 0) -> list[Window]:
    """`days` as the fewest windows that cover them, oldest first; exactly them, unless gaps are bridged.

    `bridging`: take in gaps of so many days at most, where a run more would cost more than the days.
    """
    windows: list[Window] = []
    for day in sorted(set(days)):
        if windows and day - windows[-1].last <= _DAY * (1 + bridging):
            windows[-1] = Window(windows[-1].first, day)
        else:
            windows.append(Window(day, day))
    return windows


def missing_days(window: Window, complete: Collection[date]) -> list[date]:
    """Days of `window` that are not complete, oldest first."""
    return [day for day in window.days if day not in complete]


def rectangles(cells: Mapping[str, Collection[date]], *, ordered_keys: Sequence[str], per_run: int) -> list[Rectangle]:
    """Runs that cover exactly `cells`; neighbours that miss the same stretch of days share one.

    Accounts that the grid does not know are left out: the caller compares if it matters.
    """
    by_window: dict[Window, set[str]] = {}
    for key, days in cells.items():
        for window in stretches(days):
            by_window.setdefault(window, set()).add(key)
    return [
        Rectangle(keys, *window)
        for window, wanted in sorted(by_window.items())
        for keys in neighbours(ordered_keys, wanted, per_run=per_run)
    ]


def plan_requests(
    requests: Sequence[DayRequest], *, ordered_keys: Sequence[str], today: date, first_day: date, per_run: int
) -> RequestPlan:
    """Requests as runs: those of neighbouring accounts for the same days share one, doubles are asked once.

    Refused, with the reason: accounts that are not in the grid, days of which none lies in it.
    """
    known = set(ordered_keys)
    refused: dict[int, str] = {}
    asked: dict[Window, dict[str, list[int]]] = {}
    for request in requests:
        window = clip(Window(request.first, request.last), today=today, first_day=first_day)
        if request.account_key not in known:
            refused[request.request_id] = f"{request.account_key} is not an account of the grid."
        elif window is None:
            refused[request.request_id] = (
                f"None of the days {request.first} to {request.last} can be asked for: "
                f"the grid goes from {first_day} to {today - _DAY}."
            )
        else:
            asked.setdefault(window, {}).setdefault(request.account_key, []).append(request.request_id)
    planned = [
        RequestedRectangle(Rectangle(keys, *window), tuple(sorted(i for key in keys for i in ids_of[key])))
        for window, ids_of in sorted(asked.items())
        for keys in neighbours(ordered_keys, ids_of, per_run=per_run)
    ]
    return RequestPlan(planned, refused)
