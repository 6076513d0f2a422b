"""`ig-pipeline`: the table of commands, and how errors reach the person.

A command's module is imported only when it is called, so that `--help` stays fast.
Commands themselves live in their own modules.
"""

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from ig_pipeline.redaction import redact


class Entry(NamedTuple):
    """Where a command lives, and its line in `ig-pipeline --help`: the first sentence of its own help."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "demo", "Simulator, database, Dagster and its UI: three accounts get their thirty days."),
    "up": Entry("up", "up", "Run Dagster's UI, daemon, code location and the web service until Ctrl-C."),
    "web": Entry("web", "web", "Serve consent, status, timeline and the pages until Ctrl-C."),
    "connections": Entry("connections", "connections", "See, add and remove connections to Instagram accounts."),
    "sync": Entry("sync", "sync", "Fetch the newest complete days of an account, without Dagster."),
    "timeline": Entry("timeline", "timeline", "Show reach and engagement day by day, as a chart and a table."),
    "tokens": Entry("tokens", "tokens", "Look after access tokens."),
    "keys": Entry("tokens", "keys", "Look after the keys that tokens are encrypted with."),
    "simulator": Entry(
        "ig_pipeline.simulator.__main__", "simulator", "Run a simulated Instagram Graph API until Ctrl-C."
    ),
    "backfill-instagram": Entry("backfill", "backfill_instagram", "Save posts, reels and live stories as files."),
    "backfill-status": Entry("backfill", "backfill_status", "Show the media library and the last backfills."),
    "bot": Entry("bot", "bot", "Answer /backfill, /status and /help on Telegram until Ctrl-C."),
    "config": Entry("config", "config", "Look at the settings."),
    "doctor": Entry("doctor", "doctor", "Check this machine and say what to do about what is wrong."),
}
"""Command name → its module (of `ig_pipeline.cli` where only a name is given), in the order of `--help`."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use, and whose errors end as one clear line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        entry = COMMANDS[cmd_name]
        name = entry.module if "." in entry.module else f"ig_pipeline.cli.{entry.module}"
        is_new = name not in sys.modules
        command = getattr(importlib.import_module(name), entry.attribute)
        if is_new:
            # What it loads stays: going through that again and again took the collector 8 % of a media backfill.
            gc.freeze()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; whatever it raises becomes a `CommandError`."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # A token given as an argument would be repeated here.
            raise click.UsageError(redact(error.format_message()), ctx=error.ctx) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - here every error meets the person
            from ig_pipeline.cli.failures import command_error  # noqa: PLC0415 - a second that `--help` can do without

            raise command_error(error, with_traceback=ctx.params.get("traceback", False)) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show what the engine does, line by line, on standard error.")
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
@click.version_option(package_name="ig-pipeline")
def cli(verbose: bool, traceback: bool) -> None:
    """Instagram insights and media in your own database.

    \b
    Start here:
      ig-pipeline demo                 everything, against a simulated Instagram
      ig-pipeline up                   the real thing: Dagster's UI, daemon and code location
      ig-pipeline doctor               what is missing on this machine
    """
    from ig_pipeline.cli.console import configure_logging, replace_what_cannot_be_shown  # noqa: PLC0415 - as above

    replace_what_cannot_be_shown()
    configure_logging(verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    # Ours are made private one by one; this is for what others write in this process and in those it starts, Dagster's
    # files above all. No thread runs yet.
    os.umask(0o077)
    cli.main(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="ig-pipeline")
