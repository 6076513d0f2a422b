"""`ig-pipeline demo`: the main job from beginning to end, against a simulated Instagram.

Starts everything, connects accounts by rows in the database, shows a bar for every account while its days arrive, then
the numbers. It looks into the database only, as any page would; Dagster fetches the days. The real thing is `up`.
"""

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import sqlalchemy as sa
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ig_pipeline.bounded_answers import read_json
from ig_pipeline.charts.terminal import blocks_for, timeline_chart, timeline_summary, timeline_table
from ig_pipeline.cli.children import ChildDiedError, Children, PortInUseError, StoppedError, require_free, stop_signals
from ig_pipeline.cli.console import chart_width
from ig_pipeline.cli.dagster_stack import environment, unfinished_runs
from ig_pipeline.cli.failures import CommandError
from ig_pipeline.cli.up import StartError, open_front_door, running_stack
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.private_files import make_folder, open_file
from ig_pipeline.settings import PREFIX, Settings, load_settings
from ig_pipeline.storage import sync_logs
from ig_pipeline.storage.connections import Connection, by_id, list_connections
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.day_rows import day_rows
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.plan import Window, initial_window, missing_days, stretches
from ig_pipeline.sync.requests.asking import ask, ask_for_history

# Without a new day for so long the demo gives up: the slowest first run measured took 20 s to its first day.
_TIMEOUT_SECONDS = 120.0
_LOOK_EVERY = 0.25


class DemoFailedError(Exception):
    """The days did not arrive; the message says what is known."""


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
                if time.monotonic() - last_news > _TIMEOUT_SECONDS:
                    raise DemoFailedError(
                        f"No new day for {_TIMEOUT_SECONDS:.0f} s. {settings.home / 'demo.log'} tells more."
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
            days[connection.account_key] = day_rows(db, [connection], first=shown.first, last=shown.last)[connection.id]
    engine.dispose()
    for key, rows in days.items():
        console.print(f"[bold]{key}[/]: {timeline_summary(rows)}")
    first, rows = next(iter(days.items()))
    width = chart_width(console)
    console.print(f"[bold]{first}[/], day by day (Los Angeles days):")
    console.print(timeline_chart(rows, width=width), soft_wrap=True)
    console.print(timeline_table(rows, blocks=blocks_for(width, len(rows))))


DAYS = 30
# Reserved for examples (RFC 2606).
_DOMAIN = "demo.example"
_SIMULATOR_STARTS_WITHIN = 60.0


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop and exit when the days are there; non-zero if they are not.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of Dagster's UI.")
@click.option("--accounts", default=3, show_default=True, type=click.IntRange(1, 50), help="Accounts to connect.")
@click.option("--latency", default=50.0, show_default=True, help="Milliseconds each simulated call takes.")
def demo(once: bool, port: int, accounts: int, latency: float) -> None:
    """Simulator, database, Dagster and its UI: three accounts get their thirty days.

    \b
    Needs no account, no key and no server. Run again, it carries on with what is there.
    Everything it writes is in the folder demo of the data folder; no setting leads it
    to a database of yours.

    \b
    Examples:
      ig-pipeline demo
      ig-pipeline demo --once
      ig-pipeline demo --port 3100 --accounts 8
    """
    console = Console()
    try:
        with stop_signals():
            _run(console, _apart(load_settings()), once=once, port=port, accounts=accounts, latency=latency)
    except StoppedError:
        console.print("Stopped. What it has is kept; run it again to carry on.")
    except (StartError, PortInUseError, ChildDiedError, DemoFailedError) as error:
        raise CommandError(str(error)) from None


def _apart(settings: Settings) -> Settings:
    """Defaults in a folder of their own: made-up numbers must not meet real ones, nor the simulator a real token."""
    return Settings(data_dir=settings.home / "demo", web_port=settings.web_port)


def _run(console: Console, settings: Settings, *, once: bool, port: int, accounts: int, latency: float) -> None:
    make_folder(settings.home)
    path = settings.home / "demo.log"
    with open_file(path, "w") as log:

        def sink(name: str, line: str) -> None:
            log.write(f"{name:>9} | {line}\n")
            log.flush()

        with Children(sink) as simulator:
            require_free("127.0.0.1", port)
            url = _start_simulator(simulator, settings, accounts=accounts, latency=latency)
            console.print(f"Simulated Instagram at {url}: {accounts} accounts, {latency:.0f} ms a call.")
            settings = _pointed_at(settings, url)
            with running_stack(settings, host="127.0.0.1", port=port, sink=sink, say=console.print) as running:
                console.print(f"Dagster's UI: {running.address}")
                pages = open_front_door(running, settings)
                console.print(f"Web pages:    {pages}")

                def check() -> None:
                    simulator.check()
                    running.children.check()

                _fill(console, settings, url, running.address, check=check)
                if once:
                    return
                for line in (
                    f"Dagster's grid: {running.address}/assets/daily_metrics?view=partitions",
                    f"Web pages:      {pages}",
                    f"In a terminal:  {PREFIX}DATA_DIR={settings.data_dir} ig-pipeline timeline --account KEY",
                    f"Everything keeps running (log: {path}); Ctrl-C stops it.",
                ):
                    console.print(line, soft_wrap=True)
                running.children.wait()


def _fill(console: Console, settings: Settings, url: str, address: str, *, check: Callable[[], None]) -> None:
    """Connect the simulator's accounts and watch until each has its days, and Dagster's grid knows."""
    window = initial_window(instagram_day(utc_now()), DAYS)
    assert window is not None
    began = time.monotonic()
    connected = asyncio.run(_connect(settings, _get(f"{url}/_simulator/accounts")))
    asked = _ask_for_missing(settings, connected, window)
    names = ", ".join(connection.username for connection in connected)
    console.print(f"Connected {names}: rows in the database, nothing else tells Dagster.")
    if asked:
        console.print(f"Carrying on with what is there: {asked} account-days are still missing.")
    watch(console, settings, connected, window, check=check)
    console.print(f"{DAYS} days of {len(connected)} accounts, {time.monotonic() - began:.1f} s after their rows.")
    while unfinished_runs(
        address, settings.admin_token
    ):  # the last cells are in the database before they are in the grid
        check()
        time.sleep(0.2)
    show(console, settings, connected, window)


def _start_simulator(children: Children, settings: Settings, *, accounts: int, latency: float) -> str:
    """The simulator's address, once it answers. The same seed each time: the second run meets the same accounts."""
    command = [sys.executable, "-m", "ig_pipeline.cli", "simulator", "--port", "0", "--json"]
    options = ["--accounts", str(accounts), "--latency", str(latency)]
    child = children.start("simulator", [*command, *options], env=environment(settings, "simulator"))
    deadline = time.monotonic() + _SIMULATOR_STARTS_WITHIN
    while time.monotonic() < deadline:
        children.check()
        for line in list(child.last_lines):
            if line.startswith("{"):
                return str(json.loads(line)["url"])
        time.sleep(0.05)
    raise StartError("The simulator did not start.")


def _pointed_at(settings: Settings, url: str) -> Settings:
    """The settings of a deployment whose Meta is the simulator at `url`."""
    app = _get(f"{url}/_simulator")
    values = {
        "graph_url": url,
        "app_id": app["app_id"],
        "app_secret": SecretStr(app["app_secret"]),
        "login": "facebook",
    }
    return settings.model_copy(update=values)


async def _connect(settings: Settings, accounts: list[Mapping[str, Any]]) -> list[Connection]:
    """A row for every simulated account, as its consent would make it; on a second run the rows get the new tokens."""
    async with open_services(settings) as services:
        with services.engine.begin() as db:
            before = {connection.account_id: connection for connection in list_connections(db)}
            made = []
            for account in accounts:
                connection = services.tokens.store(
                    db,
                    email=f"{account['username']}@{_DOMAIN}",
                    login="facebook",
                    account_id=account["id"],
                    username=account["username"],
                    token=SecretStr(account["token"]),
                    expires_at=None,
                )
                known = before.get(connection.account_id)
                ask_for_history(db, connection, before=known, settings=settings, now=services.clock())
                made.append(by_id(db, connection.id))
            return made


def _ask_for_missing(settings: Settings, connections: list[Connection], window: Window) -> int:
    """Account-days that an earlier run left missing (or that passed since), asked for by rows too; how many."""
    engine, now, asked = open_engine(settings.effective_database_url), utc_now(), 0
    with engine.begin() as db:
        for connection in connections:
            if connection.initial_backfill_requested_at is None:
                continue  # Dagster's sensor does this one
            written = sync_logs.days_written(db, connection, "daily_metrics", first=window.first, last=window.last)
            for stretch in stretches(missing_days(window, written)):
                asked += len(stretch.days)
                why = "days missing since the last demo"
                ask(db, connection, stretch, kind="insights", requested_by="demo", reason=why, now=now)
    engine.dispose()
    return asked


def _get(url: str) -> Any:  # noqa: ANN401 - whatever JSON is there
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the simulator's own address
        return read_json(answer)
