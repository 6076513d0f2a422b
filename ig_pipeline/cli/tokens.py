"""`ig-pipeline tokens` and `ig-pipeline keys`: refresh access tokens now, and renew the keys that encrypt them."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import click
from rich.table import Table

from ig_pipeline.cli.console import Group, out, print_json
from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.cli.stores import open_database
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import PREFIX, Settings, load_settings
from ig_pipeline.storage.connections import by_account_key
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.token_refresh import TokenResult, refresh_tokens
from ig_pipeline.vault.cipher import KeyRing, add_key, key_path, new_key, prune_keys
from ig_pipeline.vault.token_vault import check_ring


@click.group("keys", cls=Group)
def keys() -> None:
    """Look after the keys that tokens are encrypted with."""


@keys.command("new")
def new() -> None:
    """Print a new key for IG_PIPELINE_ENCRYPTION_KEYS.

    \b
    It is a secret: send it where it belongs, not to the screen.

    \b
    Examples:
      ig-pipeline keys new | my-secret-store put ig-pipeline/key
    """
    click.echo(new_key().get_secret_value())


@keys.command("rotate")
def rotate() -> None:
    """Encrypt every stored token with the first key of the ring.

    \b
    With a key file, a new key is made first, and those before are kept beside it: back the file up afterwards.
    Services that run use the new key at once; `keys prune` takes the old ones off.
    With IG_PIPELINE_ENCRYPTION_KEYS, processes read their keys when they start. Put the new key last and restart
    everything, then first and restart again; then run this.

    \b
    Examples:
      ig-pipeline keys rotate
      IG_PIPELINE_ENCRYPTION_KEYS="$NEW,$OLD" ig-pipeline keys rotate
    """
    settings = load_settings()
    with open_database(settings):
        pass  # brings the tables up to date
    if not settings.encryption_keys:
        click.echo(f"A new key stands first in {add_key(settings)}; back it up.")
    count = asyncio.run(_rotate(settings))
    click.echo(f"Tokens encrypted with the first key: {count}. The others were already.")
    click.echo("The keys before still read. `ig-pipeline keys prune` takes off those that are not needed any more.")


@keys.command("prune")
def prune() -> None:
    """Take off the keys that nothing is encrypted with any more.

    \b
    A key that tokens are under stays, and so does every key for ten minutes after `keys rotate`: a token may
    be on its way to the database. Browsers that signed in under a key that goes have to sign in again.

    \b
    Examples:
      ig-pipeline keys prune
    """
    settings = load_settings()
    with open_database(settings) as engine, reading(engine) as db:
        ring = KeyRing.from_settings(settings)
        if settings.encryption_keys:
            _advise(ring.only_reading(), check_ring(db, ring))
            return
        gone, waits_until = prune_keys(settings, in_use=lambda: set(check_ring(db, ring)), now=utc_now())
    if waits_until is not None:
        click.echo(
            "Nothing was taken off: a process may still be writing under a key. "
            f"Try again from {waits_until:%H:%M} UTC."
        )
        return
    click.echo(f"{gone} key(s) taken off {key_path(settings)}; back it up." if gone else "Every key is in use.")


def _advise(only_reading: Sequence[str], in_use: Mapping[str, int]) -> None:
    """What to take off the setting, which only its owner can; keys by fingerprint, as the errors name them."""
    for fingerprint in only_reading:
        if number := in_use.get(fingerprint):
            click.echo(f"{number} token(s) are under key {fingerprint}: `ig-pipeline keys rotate`, then look again.")
    unused = [fingerprint for fingerprint in only_reading if fingerprint not in in_use]
    if unused:
        click.echo(
            f"Take {len(unused)} key(s) off {PREFIX}ENCRYPTION_KEYS and restart everything, if every process has had "
            f"the first key first for ten minutes: {', '.join(unused)}."
        )
    elif not only_reading:
        click.echo("There is one key, and it is in use.")


async def _rotate(settings: Settings) -> int:
    async with open_services(settings) as services:
        return services.tokens.rotate()


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
