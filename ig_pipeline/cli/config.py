"""`ig-pipeline config show`: every setting as this process sees it, secrets masked.

Shows; what the settings are is `ig_pipeline.settings`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import click
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.console import Group, out, print_json
from ig_pipeline.redaction import MASK
from ig_pipeline.settings import PREFIX, Settings, load_settings, setting_sources


@dataclass(frozen=True)
class Shown:
    """One setting for people: nothing in it is secret."""

    name: str
    value: str
    source: str
    """`environment`, `.env` or `default`."""
    description: str


@click.group("config", cls=Group)
def config() -> None:
    """Look at the settings."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Show every setting, its value and where it comes from. Secrets are masked.

    \b
    Settings are environment variables, and lines of a .env file in the working folder; the environment wins.

    \b
    Examples:
      ig-pipeline config show
      ig-pipeline config show --json
    """
    rows = shown_settings(load_settings(), setting_sources())
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("From", no_wrap=True)
    for row in rows:
        style = "dim" if row.source == "default" else "bold"
        table.add_row(Text(row.name), Text(row.value, style=style), Text(row.source, style="dim"))
    console = out()
    console.print(table)
    console.print("What each is for: .env.example, or --json.", style="dim")


def shown_settings(settings: Settings, sources: Mapping[str, str]) -> list[Shown]:
    """All settings in the order of the code."""
    return [
        Shown(
            name=PREFIX + name.upper(),
            value=shown_value(getattr(settings, name)),
            source=sources.get(name, "default"),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def shown_value(value: object) -> str:
    """A value as it may be shown: secrets as stars, a secret URL with its host but without password and query."""
    match value:
        case None | () | "":
            return "-"
        case SecretStr():
            return _masked(value.get_secret_value())
        case tuple() if all(isinstance(item, SecretStr) for item in value):
            return ", ".join([MASK] * len(value))
        case tuple():
            return ", ".join(str(item) for item in value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _masked(secret: str) -> str:
    try:
        parts = urlsplit(secret)
        host, port = parts.hostname, parts.port
    except ValueError:
        return MASK
    # An "@" after the host means that the password held a "/" and urlsplit cut it in two: show nothing of it.
    if not parts.scheme or "://" not in secret or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return MASK
    who = ""
    if "@" in parts.netloc:
        who = f"{parts.username or ''}:{MASK}@" if parts.password is not None else f"{parts.username}@"
    where = f"{host or ''}{f':{port}' if port else ''}"
    return f"{parts.scheme}://{who}{where}{parts.path}{f'?{MASK}' if parts.query else ''}"
