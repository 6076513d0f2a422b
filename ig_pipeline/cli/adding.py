"""Where `connections add` gets its token, and which of the accounts behind it is meant.

Talks to the person; Meta is asked in `graph_api.consent`, the connection is stored in `sync.connecting`.
"""

import sys
from collections.abc import Sequence

import click
from pydantic import SecretStr

from ig_pipeline.cli.console import shown
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.graph_api.consent import Consent, adopt_token
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.meta import app_of, graph_client
from ig_pipeline.settings import Settings, read_secret


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
