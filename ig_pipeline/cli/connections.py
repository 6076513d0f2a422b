"""`ig-pipeline connections`: who is connected; connect with a token at hand; disconnect.

People without a token connect in the browser, through the web service.
"""

import asyncio
import sys
from dataclasses import asdict
from datetime import datetime
from typing import cast

import click
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.adding import choose, consent_of, token_from
from ig_pipeline.cli.console import Group, out, print_json, shown
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database
from ig_pipeline.cli.user_data import export, forget, say_what_became_at_meta
from ig_pipeline.clock import utc_now
from ig_pipeline.email_addresses import EmailAddressError, normalized
from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.graph_api.consent import Consent
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.settings import Settings, load_settings, read_secret
from ig_pipeline.storage import connections as stored
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.connecting import connect_accounts
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.judgement import NEXT_STEP, ConnectionJudgement, State, judge_connections
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.revoking import take_tokens

# Whose token comes from a developer's secrets need not have an address.
_DEVELOPER = "developer@localhost"
_SAID: dict[State, str] = {"owner": "yellow", "operator": "red", "waiting": "dim"}
_STYLES = {stored.CONNECTED: "green", stored.RECONNECT_REQUIRED: "yellow", stored.DISCONNECTED: "dim"}


@click.group("connections", cls=Group)
def connections() -> None:
    """See, add and remove connections to Instagram accounts."""


@connections.command("add")
@click.option("--email", help="Who consented; made a user if new.")
@click.option("--account", help="Username or id, when several accounts are behind the token.")
@click.option("--login", type=click.Choice(["facebook", "instagram"]), help="The token's login [IG_PIPELINE_LOGIN].")
@click.option("--token-env", metavar="NAME", help="Environment variable that holds the token, instead of stdin.")
@click.option("--from-env", is_flag=True, help="Take IG_LONG_TOKEN and IG_ACCOUNT_ID from the environment or .env.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(
    *,
    email: str | None,
    account: str | None,
    login: str | None,
    token_env: str | None,
    from_env: bool,
    as_json: bool,
) -> None:
    """Connect the account behind a token, or connect it again.

    \b
    The token comes from standard input or an environment variable, never as an argument. It is tried out
    (refused where a permission is missing), exchanged for a long-lived one where that is possible, and stored
    encrypted.
    With `ig-pipeline up` running, the first 30 days come by themselves.

    \b
    Examples:
      ig-pipeline connections add --email a@b.example              asks for the token
      pass show meta/token | ig-pipeline connections add --email a@b.example
      ig-pipeline connections add --email a@b.example --token-env MY_TOKEN --account acme.studio
      ig-pipeline connections add --from-env
    """
    if not email and not from_env:
        raise CommandError("Whose account is it? Name the owner with --email.", ExitCode.USAGE)
    try:
        owner = normalized(email or _DEVELOPER)
    except EmailAddressError as error:
        raise CommandError(f"--email: {error}", ExitCode.USAGE) from None
    settings = load_settings()
    if from_env:
        token_env = token_env or "IG_LONG_TOKEN"
        wanted = read_secret("IG_ACCOUNT_ID")
        account = account or (wanted.get_secret_value() if wanted else None)
    token = token_from(token_env)
    chosen_login = cast("Login", login or settings.login)
    consent = asyncio.run(consent_of(settings, chosen_login, token))
    found = choose(consent.accounts, account, may_ask=sys.stdin.isatty() and not as_json)
    connection = asyncio.run(_store(settings, owner, consent, found))
    if as_json:
        print_json(_as_json(connection))
        return
    until = _until(connection)
    click.echo(f"{connection.account_key} ({found.account_id}) is connected for {shown(connection.email)}, {until}.")
    if consent.login == "facebook" and not (settings.app_id and settings.app_secret):
        click.echo("With IG_PIPELINE_APP_ID and IG_PIPELINE_APP_SECRET set, its end would be looked up and put off.")
    click.echo(
        f"With `ig-pipeline up` running its history comes by itself; at once and without: "
        f"ig-pipeline sync --account {connection.account_key} --days {settings.initial_backfill_days}"
    )


@connections.command("list")
@click.option("--email", help="Only this user's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(email: str | None, as_json: bool) -> None:
    """List connections: account key, owner, status, how long the token lives.

    \b
    Examples:
      ig-pipeline connections list
      ig-pipeline connections list --email a@b.example --json
    """
    settings = load_settings()
    with open_database(settings) as engine, reading(engine) as db:
        found = stored.list_connections(db, email=email)
        judged = judge_connections(db, found, now=utc_now(), window_days=settings.nightly_window_days)
    if as_json:
        states = [{"state": judged[one.id].state, "what_next": judged[one.id].sentence} for one in found]
        print_json([_as_json(one) | state for one, state in zip(found, states, strict=True)])
        return
    if not found:
        click.echo("Nobody is connected yet. Next: ig-pipeline connections add --email you@example.com")
        return
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Account", "Owner", "Status", "Token until", "Reads until"):
        table.add_column(heading, overflow="fold")
    for connection in found:
        status = _status(judged[connection.id])
        reads_until = _day(connection.data_access_expires_at)
        table.add_row(connection.account_key, Text(shown(connection.email)), status, _end(connection), reads_until)
    out().print(table)
    for one in judged.values():
        if one.state in _SAID and one.sentence:
            line = f"{one.connection.account_key}: {one.sentence} {NEXT_STEP[one.state]}"
            out().print(Text(shown(line), style=_SAID[one.state]), soft_wrap=True)


@connections.command("disconnect")
@click.option("--account", required=True, metavar="KEY", help="Account key, as `connections list` shows it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def disconnect(account: str, yes: bool) -> None:
    """Destroy an account's token and stop syncing it; its history stays.

    \b
    A token of Facebook Login is ended at Meta, too, unless another connection lives by the same
    person's consent.

    \b
    Examples:
      ig-pipeline connections disconnect --account acme.studio
      ig-pipeline connections disconnect --account acme.studio --yes
    """
    settings = load_settings()
    with open_database(settings) as engine:
        with reading(engine) as db:
            connection = stored.by_account_key(db, account)
        if not yes and not sys.stdin.isatty():
            raise CommandError("Nobody is there to ask: add --yes to disconnect it.", ExitCode.USAGE)
        if not yes and not click.confirm(f"Disconnect {account} of {shown(connection.email)}?", err=True):
            raise CommandError("Nothing was changed.", ExitCode.FAILED)
        keys = KeyRing.from_settings(settings)
        with engine.begin() as db:
            taken = take_tokens(db, keys, [connection])
            stored.disconnect(db, connection.id, now=utc_now())
    click.echo(f"{account} is disconnected: its token is destroyed, its history stays.")
    say_what_became_at_meta(settings, taken)


async def _store(settings: Settings, email: str, consent: Consent, account: FoundAccount) -> Connection:
    with open_database(settings):
        pass  # brings the tables up to date
    async with open_services(settings) as services:
        with services.engine.begin() as db:
            now = services.clock()
            [one] = connect_accounts(db, services.tokens, consent, [account], email=email, settings=settings, now=now)
            return one.connection


def _as_json(connection: Connection) -> dict[str, object]:
    shown = {name: value for name, value in asdict(connection).items() if name not in ("id", "token_version")}
    end = connection.token_end
    return {**shown, "expires_at": end.at if end else None, "expiry": end.expiry if end else None}


def _status(judgement: ConnectionJudgement) -> Text:
    """A connection that is connected and not fine says what it waits for."""
    status = judgement.connection.status
    if status == stored.CONNECTED and judgement.state != "fine":
        words = {"owner": "owner must act", "operator": "operator must act", "waiting": "catching up"}
        return Text(f"connected, {words[judgement.state]}", style=_SAID[judgement.state])
    return Text(status.replace("_", " "), style=_STYLES.get(status, ""))


def _until(connection: Connection) -> str:
    end = connection.token_end
    if end is None or end.at is None:
        return "its token without an end"
    if end.assumed:
        return f"its token taken to be valid until {_day(end.at)}, for Meta did not say"
    return f"its token valid until {_day(end.at)}"


def _end(connection: Connection) -> str:
    end = connection.token_end
    if end is None:
        return "-"
    return "never ends" if end.at is None else f"{_day(end.at)}{' (assumed)' if end.assumed else ''}"


def _day(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d}" if instant else "-"


connections.add_command(export)
connections.add_command(forget)
