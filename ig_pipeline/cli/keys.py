"""`ig-pipeline keys`: a new key for the key ring, and every token moved under it."""

import asyncio

import click

from ig_pipeline.cli.console import Group
from ig_pipeline.cli.stores import open_database
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.sync.engine import open_services
from ig_pipeline.vault.cipher import new_key, replace_key


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
    With a key file, a new key is made first, and the one before kept beside it: back the file up afterwards.
    With IG_PIPELINE_ENCRYPTION_KEYS, put the new key first and keep the old one until this has run everywhere.

    \b
    Examples:
      ig-pipeline keys rotate
      IG_PIPELINE_ENCRYPTION_KEYS="$NEW,$OLD" ig-pipeline keys rotate
    """
    settings = load_settings()
    with open_database(settings):
        pass  # brings the tables up to date
    if not settings.encryption_keys:
        click.echo(f"A new key stands first in {replace_key(settings)}; back it up.")
    count = asyncio.run(_rotate(settings))
    click.echo(f"{count} token(s) encrypted anew, the others had the first key already.")


async def _rotate(settings: Settings) -> int:
    async with open_services(settings) as services:
        return services.tokens.rotate()
