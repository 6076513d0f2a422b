"""`ig-pipeline timeline`: a user's days in the terminal, as chart and table.

Reads the database alone; drawing is `charts.terminal`'s.
"""

import click
import sqlalchemy as sa
from rich.text import Text

from ig_pipeline.charts.terminal import (
    as_rows,
    blocks_for,
    timeline_chart,
    timeline_summary,
    timeline_table,
)
from ig_pipeline.cli.console import chart_width, out, print_json
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import load_settings
from ig_pipeline.storage.connections import Connection, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.day_rows import DayRow, day_rows
from ig_pipeline.sync.plan import initial_window


@click.command("timeline")
@click.option("--email", help="All accounts of this user.")
@click.option("--account", metavar="KEY", help="One account, as `connections list` shows it.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 730), help="Newest complete days.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def timeline(email: str | None, account: str | None, days: int, as_json: bool) -> None:
    """Show reach and engagement day by day, as a chart and a table.

    \b
    A day is Instagram's: midnight to midnight in Los Angeles. A day without a value yet is a gap in the chart,
    a dash in the table and null in JSON.

    \b
    Examples:
      ig-pipeline timeline --email a@b.example
      ig-pipeline timeline --account acme.studio --days 90
      ig-pipeline timeline --email a@b.example --json | jq '.accounts[].days[-1]'
    """
    if (email is None) == (account is None):
        raise CommandError("Whose timeline? Name a user with --email, or one account with --account.", ExitCode.USAGE)
    window = initial_window(instagram_day(utc_now()), days)
    assert window is not None
    with open_database(load_settings()) as engine, reading(engine) as db:
        found = _chosen(db, email, account)
        rows_of = day_rows(db, found, first=window.first, last=window.last)
        timelines = {connection.account_key: rows_of[connection.id] for connection in found}
    if as_json:
        print_json(
            {
                "first": window.first,
                "last": window.last,
                "accounts": [{"account": key, "days": as_rows(rows)} for key, rows in timelines.items()],
            }
        )
        return
    for number, (key, rows) in enumerate(timelines.items()):
        if number:
            click.echo()
        _print(key, rows)


def _print(account_key: str, days: list[DayRow]) -> None:
    console = out()
    width = chart_width(console)
    console.print(Text.assemble((account_key, "bold"), f", {days[0].date} to {days[-1].date} (Los Angeles days)"))
    console.print()
    if any(day.reach is not None or day.engagement is not None for day in days):
        console.print(timeline_chart(days, width=width), soft_wrap=True)
        console.print()
        # In a pipe a line is a day, for `grep`.
        console.print(timeline_table(days, blocks=blocks_for(width, len(days)) if console.is_terminal else 1))
    console.print(timeline_summary(days))
    if all(day.reach is None for day in days):
        console.print(f"To fetch them now: ig-pipeline sync --account {account_key} --days {len(days)}", style="cyan")


def _chosen(db: sa.Connection, email: str | None, account: str | None) -> list[Connection]:
    if account is not None:
        return [by_account_key(db, account)]
    found = list_connections(db, email=email)
    if not found:
        raise CommandError(
            f"No one is connected as {email}. `ig-pipeline connections list` shows who is.", ExitCode.USAGE
        )
    return found
