"""`ig-pipeline demo`: the main job from beginning to end, against a simulated Instagram.

Starts everything, connects accounts by rows in the database, shows the days arrive. The real thing is `up`.
"""

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import click
from pydantic import SecretStr
from rich.console import Console

from ig_pipeline.bounded_answers import read_json
from ig_pipeline.cli.children import ChildDiedError, Children, StoppedError, stop_signals
from ig_pipeline.cli.dagster_home import environment
from ig_pipeline.cli.dagster_stack import unfinished_runs
from ig_pipeline.cli.demo_progress import DemoFailedError, show, watch
from ig_pipeline.cli.failures import CommandError
from ig_pipeline.cli.ports import PortInUseError, require_free
from ig_pipeline.cli.up import StartError, open_front_door, running_stack
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import PREFIX, Settings, load_settings
from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import open_engine
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.plan import Window, initial_window, missing_days, stretches

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
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / "demo.log"
    with path.open("w", encoding="utf-8") as log:

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
    child = children.start("simulator", [*command, *options], env=environment(settings))
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
    """A row for every simulated account, its token encrypted; on a second run the rows get the new tokens."""
    async with open_services(settings) as services:
        with services.engine.begin() as db:
            return [
                services.tokens.store(
                    db,
                    email=f"{account['username']}@{_DOMAIN}",
                    login="facebook",
                    account_id=account["id"],
                    username=account["username"],
                    token=SecretStr(account["token"]),
                    expires_at=None,
                )
                for account in accounts
            ]


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
                sync_requests.enqueue(
                    db,
                    kind="insights",
                    account_key=connection.account_key,
                    first=stretch.first,
                    last=stretch.last,
                    requested_by="demo",
                    reason="days missing since the last demo",
                    now=now,
                )
    engine.dispose()
    return asked


def _get(url: str) -> Any:  # noqa: ANN401 - whatever JSON is there
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the simulator's own address
        return read_json(answer)
