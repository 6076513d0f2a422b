"""`ig-pipeline connections`: who is connected; connect with a token at hand; disconnect; export and erase.

People without a token connect in the browser, through the web service. What is held about a person is known to
`storage.user_data`; how it is erased, to `defs.deletions`.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import cast

import click
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.console import Group, out, print_json, print_json_pieces, shown
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database
from ig_pipeline.clock import utc_now
from ig_pipeline.email_addresses import EmailAddressError, normalized
from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.graph_api.consent import Consent, adopt_token
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.meta import app_of, graph_client
from ig_pipeline.settings import Settings, load_settings, read_secret
from ig_pipeline.storage import connections as stored
from ig_pipeline.storage import deletion_requests, user_data
from ig_pipeline.storage.connections import Connection, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.connecting import connect_accounts
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.judgement import NEXT_STEP, ConnectionJudgement, State, judge_connections
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.revoking import Taken, TokenEnded, end_at_meta, take_tokens


def token_from(variable: str | None) -> SecretStr:
    """The token in `variable` (environment or .env), or from standard input. Raises `CommandError`.

    Never an argument: those stand in the shell's history and in every list of processes.
    """
    if variable is not None:
        token = read_secret(variable)
        if token is None:
            raise CommandError(f"{variable} is empty or not set.", ExitCode.USAGE)
        return token
    if sys.stdin.isatty():
        return SecretStr(str(click.prompt("Access token (not shown)", hide_input=True, err=True)).strip())
    text = sys.stdin.read().strip()
    if not text:
        raise CommandError(
            "No token. Give it on standard input, or name the environment variable that holds it: --token-env NAME.",
            ExitCode.USAGE,
        )
    return SecretStr(text)


async def consent_of(settings: Settings, login: Login, token: SecretStr) -> Consent:
    """What the token opens, made to last. Raises `GraphError`."""
    async with graph_client(settings) as client:
        return await adopt_token(client, app_of(settings), login, token)


def choose(accounts: Sequence[FoundAccount], wanted: str | None, *, may_ask: bool) -> FoundAccount:
    """The account called `wanted` (username or id), the only one, or the one the person picks.

    Raises `CommandError` naming those there are.
    """
    names = ", ".join(f"{account.username} ({account.account_id})" for account in accounts)
    if wanted is not None:
        for account in accounts:
            if wanted.lstrip("@") in (account.username, account.account_id):
                return account
        raise CommandError(f"{wanted} is not behind this token. Behind it: {names}.", ExitCode.USAGE)
    if len(accounts) == 1:
        return accounts[0]
    if not may_ask:
        raise CommandError(f"Several accounts are behind this token: {names}. Choose with --account.", ExitCode.USAGE)
    picked = click.prompt(
        f"Several accounts are behind this token: {shown(names)}\nWhich",
        type=click.Choice([a.username for a in accounts]),
        err=True,
    )
    return next(account for account in accounts if account.username == picked)


@click.command("export")
@click.option("--email", required=True, help="Whose data.")
def export(email: str) -> None:
    """Print everything that is held about a user as JSON, without secrets.

    \b
    Examples:
      ig-pipeline connections export --email a@b.example > data.json
    """
    with open_database(load_settings()) as engine:
        pieces = user_data.export(engine, email)
        if pieces is None:
            raise CommandError(f"Nothing is held about {email}.", ExitCode.USAGE)
        print_json_pieces(pieces)


@click.command("forget")
@click.option("--email", required=True, help="Whose data.")
@click.option("--account", help="Only this account key; all of the user's when left out.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def forget(email: str, account: str | None, yes: bool) -> None:
    """Erase a user's connections with rows, files and cells of the grid. A tombstone without a name stays.

    \b
    Examples:
      ig-pipeline connections forget --email a@b.example
      ig-pipeline connections forget --email a@b.example --account acme.studio --yes
    """
    settings, email = load_settings(), email.strip().lower()
    with open_database(settings) as engine:
        with reading(engine) as db:
            mine = [item for item in list_connections(db, email=email) if account in (None, item.account_key)]
            held = account is None and user_data.is_held(db, email)
        if not mine and not held:
            raise CommandError(f"{email} has no such connection. `ig-pipeline connections list` shows them.")
        names = ", ".join(item.account_key for item in mine) or "what is left of a login"
        if not yes:
            click.confirm(f"Erase {names} of {shown(email)} for good?", abort=True)
        keys = KeyRing.from_settings(settings)
        with engine.begin() as db:
            taken = take_tokens(db, keys, mine)
            whole = email if account is None else None
            deletion = deletion_requests.request(db, mine, origin="command_line", now=utc_now(), email=whole)
    say_what_became_at_meta(settings, taken)
    # Dagster takes a second to import, and only this command of the group needs it.
    from ig_pipeline.defs.erasure import carry_out  # noqa: PLC0415
    from ig_pipeline.defs.reporting import dagster_instance  # noqa: PLC0415
    from ig_pipeline.defs.resources import Pipeline  # noqa: PLC0415

    with dagster_instance(settings) as instance:
        pipeline = Pipeline(settings_of=lambda: settings)
        outcome = carry_out(pipeline, instance, owner=f"command line {deletion.code}", code=deletion.code)
    if outcome is None or outcome.waiting:
        click.echo(f"History and token are gone; `up` erases the rest after its runs. Code: {deletion.code}")
    elif outcome.held_up or outcome.left:
        rest = " ".join(said for said in (outcome.held_up, outcome.left) if said)
        click.echo(f"History and token are gone. {rest} `up` does the rest. Confirmation code: {deletion.code}")
    else:
        click.echo(f"Erased. Confirmation code: {deletion.code}")


def say_what_became_at_meta(settings: Settings, taken: Sequence[Taken]) -> None:
    """End tokens that were destroyed here at Meta, too, and print a sentence about each."""

    async def end() -> list[TokenEnded]:
        async with graph_client(settings) as client:
            return await end_at_meta(client, taken)

    for one in asyncio.run(end()) if taken else []:
        click.echo(f"{one.account_key}: {one.sentence}")


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
            raise CommandError("No one is there to ask: add --yes to disconnect it.", ExitCode.USAGE)
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
