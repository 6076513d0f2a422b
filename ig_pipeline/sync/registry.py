"""What is fetched, as data: one `Stream` in each module of `sync.streams`, found there by its being there.

The engine's work, Dagster's definitions, the ledger's vocabulary, the command line's choices and the documents' table
are made from these; nothing else lists streams. How to add one: docs/adding_a_stream.md.
"""

import importlib
import pkgutil
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from ig_pipeline.settings import Settings
from ig_pipeline.storage.tables import metadata

if TYPE_CHECKING:  # they know streams by name
    from ig_pipeline.sync.results import AccountDayResult
    from ig_pipeline.sync.session import AccountSession

Grain = Literal["account-day", "snapshot"]

INSIGHTS = "insights"
"""The kind of request that fills the streams of every sync."""


@dataclass(frozen=True)
class Finding:
    """What a check of the data found. `good`, `bad`: a sentence for people, for nothing and for something found.

    `rows`: what was found, one row each, as a table where there are `headings`; else a list, its first column bold.
    """

    count: int
    good: str
    bad: str
    rows: Sequence[Sequence[str]] = ()
    headings: Sequence[str] = ()


@dataclass(frozen=True)
class DataCheck:
    """Something that must hold for a stream's data. `look` reads the whole database; the time is now, in UTC."""

    name: str
    description: str
    look: Callable[[sa.Connection, Settings, datetime], Finding]
    is_error: bool = False
    """Whether a finding is a fault of ours or a change at Meta, not something that may happen."""


Fetch = Callable[["AccountSession", Sequence[date]], "AsyncGenerator[AccountDayResult]"]
"""Fills some Instagram days of one account, at most 30 apart, and yields a result per day as it is committed.

A `GraphError` or `WriteMismatchError` that it raises is the reason of every day without a result. A snapshot is asked
for one day, the one that it is.
"""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of data of an account, from Meta to its tables.

    `grain`: a cell for every Instagram day, or one of the moment it was asked for. `fetch`: None for one that has runs
    of its own. `upstream`: streams of the same account-day that it is made of, and waits for.
    """

    name: str
    description: str
    """For people, in Dagster and in the documents; its first sentence says what it is."""
    tables: tuple[str, ...]
    """What it fills. Each has the columns u_id and account_id, by which a person's rows are exported and deleted."""
    grain: Grain
    schedule: str
    """The schedule of Dagster's that asks for it."""
    fetch: Fetch | None = None
    upstream: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset({"instagram", "sql"})
    """Marks in Dagster's UI."""
    requests: str = INSIGHTS
    """The kind of `sync_requests` whose runs fill it: account-days of one kind are filled together by one step."""
    every: timedelta | None = None
    """Its schedule leaves out accounts with a complete snapshot younger than this."""
    counts: tuple[str, ...] = ()
    """Columns of its first table that cannot be negative."""
    checks: tuple[DataCheck, ...] = ()

    def __post_init__(self) -> None:
        for name in self.tables:
            if name not in metadata.tables or not {"u_id", "account_id"} <= set(metadata.tables[name].c.keys()):
                raise ValueError(
                    f"The stream {self.name} fills {name}, which is no table of storage.tables.metadata with the "
                    "columns u_id and account_id: the rows of a person could not be found there."
                )


@cache
def streams() -> tuple[Stream, ...]:
    """All of them, upstream first. Raises `ValueError` where one is made of what does not exist."""
    from ig_pipeline.sync import streams as package  # noqa: PLC0415 - its modules import this one

    names = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    waiting: list[Stream] = [importlib.import_module(name).STREAM for name in names]
    ordered: dict[str, Stream] = {}
    while waiting:
        ready = [stream for stream in waiting if ordered.keys() >= set(stream.upstream)]
        if not ready:
            raise ValueError(f"The upstream of {waiting[0].name} does not exist: {', '.join(waiting[0].upstream)}.")
        ordered |= {stream.name: stream for stream in ready}
        waiting = [stream for stream in waiting if stream.name not in ordered]
    return tuple(ordered.values())


def grid() -> tuple[str, ...]:
    """Names of the streams that every sync of account-days fills, upstream first."""
    return filled_by(INSIGHTS)


def filled_by(requests: str) -> tuple[str, ...]:
    """Names of the streams of account-days that requests of this kind fill, upstream first; empty for no kind."""
    return tuple(stream.name for stream in streams() if stream.grain == "account-day" and stream.requests == requests)


def snapshots() -> tuple[Stream, ...]:
    """The streams that are of the moment."""
    return tuple(stream for stream in streams() if stream.grain == "snapshot")


def chosen(names: Collection[str]) -> list[Stream]:
    """The streams of these names, upstream first. Raises `ValueError` for a name that is none."""
    found = [stream for stream in streams() if stream.name in names]
    if unknown := set(names) - {stream.name for stream in found}:
        raise ValueError(f"There is no stream {', '.join(sorted(unknown))}.")
    return found


def with_derived(names: Collection[str]) -> list[str]:
    """`names`, and those that are made of them, upstream first."""
    wanted = set(names)
    for stream in streams():
        if wanted & set(stream.upstream):
            wanted.add(stream.name)
    return [stream.name for stream in streams() if stream.name in wanted]
