"""One judgement of a connection and one of a night: checks, lists, status, pages and metrics speak from these.

A connection is fine, or its owner must act, or the app's operator must, or it waits and continues by itself. A night is
whole, or it says whose cells are not complete, why, and what happens next. Reads the database, changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import sync_logs
from ig_pipeline.storage.connections import CONNECTED, DISCONNECTED, Connection, list_connections
from ig_pipeline.storage.sync_logs import Entry
from ig_pipeline.sync.data_access import data_access_warning
from ig_pipeline.sync.plan import Window, trailing_window
from ig_pipeline.sync.registry import grid

State = Literal["fine", "waiting", "owner", "operator", "disconnected"]
STATES: tuple[State, ...] = ("fine", "waiting", "owner", "operator", "disconnected")

NEXT_STEP: dict[State, str] = {
    "fine": "",
    "waiting": "Nothing to do: `ig-pipeline up` continues it while it runs, or else the next `ig-pipeline sync --all`.",
    "owner": "The account's owner must act.",
    "operator": "The app's operator must act.",
    "disconnected": "",
}
"""What comes next, in a sentence, for whoever reads a list."""

# A night's runs begin at 02:17 Pacific; a day is missed when they have not brought it four hours into the next.
NIGHT_IS_OVER = timedelta(hours=4)
# The first backfill of an account takes seconds; after an hour its empty days are no longer "under way".
FIRST_BACKFILL_TAKES = timedelta(hours=1)

_WORST: tuple[State, ...] = ("owner", "operator", "waiting")


@dataclass(frozen=True)
class ConnectionJudgement:
    """How a connection stands. `sentence` says what happened and what to do; None when all is well."""

    connection: Connection
    state: State
    sentence: str | None = None

    @property
    def for_owner(self) -> str | None:
        """What the account's owner is told to do; None when there is nothing for them to do."""
        return self.sentence if self.state == "owner" else None


@dataclass(frozen=True)
class AccountNight:
    """An account whose night is not whole: how many cells of how many, who must act, and why."""

    account_key: str
    missing: int
    cells: int
    state: State
    why: str


@dataclass(frozen=True)
class NightJudgement:
    """The last night that should be over: its days (Instagram's), its cells, and the accounts that lack some."""

    window: Window | None
    cells: int
    complete: int
    incomplete: tuple[AccountNight, ...]


def judge_connections(
    db: sa.Connection, connections: Sequence[Connection], *, now: datetime, window_days: int
) -> dict[int, ConnectionJudgement]:
    """Connection's id → its judgement, from its row and the newest entries of its last `window_days` days."""
    window = trailing_window(instagram_day(now), window_days)
    entries = _entries(db, window, connections) if window else {}
    return {one.id: _judged(one, entries.get(_owner(one), ()), now) for one in connections}


def judge_night(db: sa.Connection, *, now: datetime, window_days: int, first_day: date) -> NightJudgement:
    """The night that should be over at `now`, over every account that was not disconnected on purpose.

    `first_day`: where the grid begins.
    """
    window = trailing_window(instagram_day(now - NIGHT_IS_OVER), window_days, first_day=first_day)
    if window is None:
        return NightJudgement(None, 0, 0, ())
    expected = [one for one in list_connections(db) if one.status != DISCONNECTED and _is_settled_in(one, now)]
    entries = _entries(db, window, expected)
    cells = len(window.days) * len(grid())
    nights = [_night(one, entries.get(_owner(one), ()), cells, now) for one in expected]
    incomplete = tuple(night for night in nights if night.missing)
    lacking = sum(night.missing for night in incomplete)
    return NightJudgement(window, cells * len(expected), cells * len(expected) - lacking, incomplete)


def _judged(connection: Connection, entries: Iterable[Entry], now: datetime) -> ConnectionJudgement:
    if connection.status == DISCONNECTED:
        return ConnectionJudgement(connection, "disconnected", connection.status_message)
    if connection.status != CONNECTED:
        return ConnectionJudgement(connection, "owner", connection.status_message or "Connect the account again.")
    end = connection.token_end
    if end is not None and end.at is not None and not end.assumed and end.at <= now:
        ended = f"Its token ended on {end.at:%Y-%m-%d} and could not be renewed. Connect the account again."
        return ConnectionJudgement(connection, "owner", ended)
    since = connection.connected_at
    troubles = [entry for entry in entries if entry.status != "complete" and entry.finished_at >= since]
    state, why = _worst(troubles)
    warning = data_access_warning(connection, now=now)
    if state != "owner" and warning is not None:
        return ConnectionJudgement(connection, "owner", warning.sentence)
    return ConnectionJudgement(connection, state, why)


def _night(connection: Connection, entries: Sequence[Entry], cells: int, now: datetime) -> AccountNight:
    complete = sum(entry.status == "complete" for entry in entries)
    judgement = _judged(connection, entries, now)
    state: State = "waiting" if judgement.state == "fine" else judgement.state
    why = judgement.sentence or "Its cells were not asked for. Is the schedule nightly_sync running?"
    return AccountNight(connection.account_key, cells - complete, cells, state, why)


def _worst(troubles: Sequence[Entry]) -> tuple[State, str | None]:
    """What the troubles come to, and the sentence of the newest of that sort."""
    found: dict[State, Entry] = {}
    for entry in sorted(troubles, key=lambda entry: entry.finished_at):
        found[_state_of(entry)] = entry
    for state in _WORST:
        if state in found:
            return state, _sentence(found[state])
    return "fine", None


def _state_of(entry: Entry) -> State:
    if entry.status == "failed" and entry.actor in ("owner", "operator"):
        return "owner" if entry.actor == "owner" else "operator"
    return "waiting"


def _sentence(entry: Entry) -> str:
    if entry.error_message:
        return entry.error_message
    left_out = ", ".join(entry.lacking) or "something"
    return f"Instagram left out {left_out} of {entry.date} without a reason; it is asked for again."


def _is_settled_in(connection: Connection, now: datetime) -> bool:
    """Whether its first backfill should be over."""
    began = connection.initial_backfill_requested_at or connection.connected_at
    return now - began >= FIRST_BACKFILL_TAKES


def _entries(
    db: sa.Connection, window: Window, connections: Sequence[Connection]
) -> dict[tuple[int, str], list[Entry]]:
    found: dict[tuple[int, str], list[Entry]] = {}
    for entry in sync_logs.newest_of_cells(db, connections, assets=grid(), first=window.first, last=window.last):
        found.setdefault((entry.u_id, entry.account_id), []).append(entry)
    return found


def _owner(connection: Connection) -> tuple[int, str]:
    return connection.u_id, connection.account_id
