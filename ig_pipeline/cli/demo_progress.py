"""What the demo shows: a bar for every account while its days arrive, then the numbers.

Looks into the database only, as any page would; how the days get there is Dagster's business.
"""

import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ig_pipeline.charts.terminal import blocks_for, days_of, timeline_chart, timeline_summary, timeline_table
from ig_pipeline.cli.console import chart_width
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_logs
from ig_pipeline.storage.connections import Connection, by_id
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.timeline import account_timeline
from ig_pipeline.sync.plan import Window

# Nothing new for so long means that nothing will come: the slowest first run measured took 20 s to its first day.
PATIENCE_SECONDS = 120.0
_LOOK_EVERY = 0.25


class DemoFailedError(Exception):
    """The days did not come; the message says what is known."""


def watch(
    console: Console,
    settings: Settings,
    connections: Sequence[Connection],
    window: Window,
    *,
    check: Callable[[], None],
) -> None:
    """Return when every account has every day of `days_wanted`. Raises `DemoFailedError`, and what `check` raises."""
    engine = open_engine(settings.effective_database_url)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"))
    began, last_news, before = utc_now(), time.monotonic(), -1
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            total = len(window.days)
            bars = {c.account_key: progress.add_task(c.account_key, total=total) for c in connections}
            while True:
                check()
                with reading(engine) as db:
                    done = {c.account_key: days_done(db, c, days_wanted(db, c, window)) for c in connections}
                    failures = [f for f in sync_logs.recent_failures(db, limit=5) if f.started_at >= began]
                for key, days in done.items():
                    progress.update(bars[key], completed=days)
                if all(days == total for days in done.values()):
                    return
                if sum(done.values()) > before:
                    before, last_news = sum(done.values()), time.monotonic()
                if failures:
                    raise DemoFailedError(f"A day failed: {failures[0].error_message}")
                if time.monotonic() - last_news > PATIENCE_SECONDS:
                    raise DemoFailedError(
                        f"No new day for {PATIENCE_SECONDS:.0f} s. {settings.home / 'demo.log'} tells more."
                    )
                time.sleep(_LOOK_EVERY)
    finally:
        engine.dispose()


def days_wanted(db: sa.Connection, connection: Connection, planned: Window) -> Window:
    """The days to wait for, of the connection as it was when the demo began: of its first backfill, or as `planned`.

    Dagster asks for a first backfill some seconds after the days were planned, and midnight may strike between.
    """
    if connection.initial_backfill_requested_at is not None:
        return planned
    asked = by_id(db, connection.id)
    first, last = asked.initial_backfill_first, asked.initial_backfill_last
    return planned if first is None or last is None else Window(first, last)


def days_done(db: sa.Connection, connection: Connection, window: Window) -> int:
    """How many days of `window` are in `metrics`."""
    return len(sync_logs.days_written(db, connection, "daily_metrics", first=window.first, last=window.last))


def show(console: Console, settings: Settings, connections: Sequence[Connection], window: Window) -> None:
    """Each account's sums, and the days of the first one as chart and table: those that were waited for."""
    engine = open_engine(settings.effective_database_url)
    days = {}
    with reading(engine) as db:
        for connection in connections:
            shown = days_wanted(db, connection, window)
            frame = account_timeline(db, connection.u_id, connection.account_id, first=shown.first, last=shown.last)
            days[connection.account_key] = days_of(frame)
    engine.dispose()
    for key, rows in days.items():
        console.print(f"[bold]{key}[/]: {timeline_summary(rows)}")
    first, rows = next(iter(days.items()))
    width = chart_width(console)
    console.print(f"[bold]{first}[/], day by day (Los Angeles days):")
    console.print(timeline_chart(rows, width=width), soft_wrap=True)
    console.print(timeline_table(rows, blocks=blocks_for(width, len(rows))))
