"""`ig-pipeline`: the table of commands and how errors become exit codes.

A command's module is imported only when it is called, so that `--help` stays fast.
Commands themselves live in their own modules.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from ig_pipeline.redaction import quiet_chatty_loggers

COMMANDS: dict[str, tuple[str, str]] = {
    "simulator": ("ig_pipeline.cli.simulator", "simulator"),
    "up": ("ig_pipeline.cli.up", "up"),
}
"""Command name → (module, attribute)."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ig-pipeline")
def cli() -> None:
    """Instagram insights and media in your own database.

    \b
    Start here:
      ig-pipeline demo                 everything, against a simulated Instagram
      ig-pipeline up                   the real thing: Dagster's UI, daemon and code location
      ig-pipeline doctor               what is missing on this machine
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    quiet_chatty_loggers()
    cli.main(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="ig-pipeline")
