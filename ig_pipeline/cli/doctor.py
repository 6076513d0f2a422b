"""`ig-pipeline doctor`: looks at everything a sync needs and says what to do about what is wrong.

Order and presentation; the looking is in `checks_here`, `checks_meta` and `checks_web`.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.checks import (
    Finding,
    check_dagster_database,
    check_database,
    check_folder,
    check_keys,
    check_ports,
    check_web,
    existing_engine,
    fail,
    ok,
)
from ig_pipeline.cli.checks_meta import check_app, check_connections, check_graph, login_in_use
from ig_pipeline.cli.console import out, print_json, shown
from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.settings import Settings, SettingsError, load_settings
from ig_pipeline.storage.database import DatabaseUrlError

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check this machine and say what to do about what is wrong.

    \b
    Changes nothing. Exits with 0 when nothing failed (warnings included), else with 1.

    \b
    Examples:
      ig-pipeline doctor
      ig-pipeline doctor --json
    """
    findings: list[Finding] = []
    console = out()
    for finding in examine(utc_now):
        findings.append(finding)
        if not as_json:
            print_finding(console, finding)
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        console.print(summary(findings))
    sys.exit(ExitCode.FAILED if failed else ExitCode.OK)


def examine(clock: Clock) -> Iterator[Finding]:
    """All findings, one by one: some have to wait for the network."""
    try:
        settings = load_settings()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield fail("settings", line, "Correct it in the environment or in .env.")
        return
    yield ok("settings", "every value can be used")
    yield check_folder(settings)
    try:
        engine = existing_engine(settings)
    except DatabaseUrlError as error:
        yield fail("database", str(error), "Correct it in the environment or in .env.")
        return
    try:
        yield check_database(settings, engine)
        yield check_dagster_database(settings.dagster_database_url)
        yield check_keys(settings, engine)
        yield check_app(settings)
        yield from check_graph(settings, login_in_use(engine, settings), clock)
        yield from check_connections(engine, clock, window_days=settings.nightly_window_days)
        yield from check_web(settings)
        yield from check_ports(ports_of(settings))
    finally:
        if engine is not None:
            engine.dispose()


def ports_of(settings: Settings) -> dict[int, tuple[str, str]]:
    """Port → what listens there when all runs, and how to choose another."""
    return {
        3000: ("Dagster's UI", "ig-pipeline up --port 3001"),
        settings.web_port: ("the web service", f"IG_PIPELINE_WEB_PORT={settings.web_port + 1}"),
        8990: ("the simulator", "ig-pipeline simulator --port 8991"),
    }


def print_finding(console: Console, finding: Finding) -> None:
    """One line, and below it what to do."""
    row = Table.grid(padding=(0, 1))
    row.add_column(width=4, no_wrap=True)
    row.add_column(width=19, overflow="fold")
    row.add_column(overflow="fold")
    text = Text(shown(finding.detail))
    if finding.advice:
        text.append(f"\n→ {shown(finding.advice)}", style="cyan")
    row.add_row(Text(finding.status, style=_STYLES[finding.status]), Text(finding.subject), text)
    console.print(row)


def summary(findings: list[Finding]) -> Text:
    """The last line."""
    count = Counter(finding.status for finding in findings)
    if not count["warn"] and not count["fail"]:
        return Text("All is well.", style="green")
    return Text(f"{count['ok']} ok, {count['warn']} to look at, {count['fail']} failed.", style="bold")
