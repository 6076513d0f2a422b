"""`ig-pipeline tokens refresh`: what the schedule does every six hours, now."""

import asyncio
import sys
from dataclasses import asdict
from datetime import datetime, timedelta

import click
from rich.table import Table

from ig_pipeline.cli.console import Group, out, print_json
from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.cli.stores import open_database
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.connections import by_account_key
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.token_refresh import TokenResult, refresh_tokens

_SAYS = {
    "refreshed": "refreshed",
    "not_due": "not due yet",
    "too_young": "too young: Instagram refreshes a token only from a day on",
    "reconnect_required": "refused for good: its owner has to connect again",
    "not_asked": "not asked, for Meta refuses the app",
}


@click.group("tokens", cls=Group)
def tokens() -> None:
    """Look after access tokens."""


@tokens.command("refresh")
@click.option("--account", "accounts", multiple=True, metavar="KEY", help="Only this account; may be repeated.")
@click.option("--within", default=7, show_default=True, type=click.IntRange(0, 90), help="Days before a token's end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refresh(accounts: tuple[str, ...], within: int, as_json: bool) -> None:
    """Refresh the tokens that end soon.

    \b
    Dagster does so every six hours; this is for a look, or for an installation without it.

    \b
    Examples:
      ig-pipeline tokens refresh
      ig-pipeline tokens refresh --account acme.studio --within 60
    """
    settings = load_settings()
    results = asyncio.run(_refresh(settings, accounts, within))
    if as_json:
        print_json([asdict(result) for result in results])
    elif not results:
        click.echo("No connected account: no token to refresh.")
    else:
        table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
        for heading in ("Account", "Valid until", "Reads until", "Token"):
            table.add_column(heading, overflow="fold")
        for result in results:
            until = f"{_time(result.expires_at)}{' (assumed)' if result.assumed else ''}"
            said = _SAYS[result.outcome] if result.outcome else result.error
            table.add_row(result.account_key, until, _time(result.data_access_expires_at), said)
        out().print(table)
    sys.exit(exit_code(results))


def _time(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "-"


def exit_code(results: list[TokenResult]) -> ExitCode:
    """OK when no token is in trouble, FAILED when all are."""
    troubled = sum(result.outcome in (None, "reconnect_required", "not_asked") for result in results)
    if not troubled:
        return ExitCode.OK
    return ExitCode.PARTIAL if troubled < len(results) else ExitCode.FAILED


async def _refresh(settings: Settings, accounts: tuple[str, ...], within: int) -> list[TokenResult]:
    with open_database(settings) as engine, reading(engine) as db:
        for account in accounts:
            by_account_key(db, account)
    async with open_services(settings) as services:
        return await refresh_tokens(
            services.engine, services.tokens, account_keys=accounts or None, within=timedelta(days=within)
        )
