"""Where commands print: results to standard output, everything else, logs included, to standard error.

With `--json` standard output carries one JSON document or nothing. Colour only where a person looks: not in a pipe,
not with NO_COLOR. Logs are redacted and do not break a progress bar; Dagster configures its own.
"""

import json
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from ig_pipeline.redaction import RedactingFormatter, quiet_chatty_loggers

# A pipe has no width. Wide enough that no table is cut, for `grep`.
_PIPE_WIDTH = 160
# JSON itself escapes only what is below U+0020: the rest of the control characters, those that turn writing round, and
# those of no width, behind which one address looks like another.
_OBEYED = re.compile("[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")
# Control and format characters, lone surrogates, private and unassigned ones, separators of lines and paragraphs.
_UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def out() -> Console:
    """Standard output, for results."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error, for progress, notices and logs."""
    return _console(stderr=True)


def chart_width(console: Console) -> int:
    """Columns for a chart: the terminal's, 80 in a pipe; wider than 120 only stretches it."""
    return min(console.width, 120) if console.is_terminal or "COLUMNS" in os.environ else 80


def print_json(document: object) -> None:
    """One JSON document on standard output; dates and times in ISO 8601.

    What a terminal would obey or show backwards (in the captions of an export) is written as its escape.
    """
    click.echo(_OBEYED.sub(_escape, json.dumps(document, indent=2, ensure_ascii=False, default=_plain)))


def print_json_pieces(pieces: Iterable[str]) -> None:
    """The same for a document that comes in pieces, and may be larger than memory."""
    for piece in pieces:
        click.echo(_OBEYED.sub(_escape, piece), nl=False)


def shown(text: str) -> str:
    """`text` from outside, safe to print: what a terminal would obey, or hide, is written as its escape."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _UNSHOWN else _escaped(character)
        for character in text
    )


def shown_in_colour(line: str) -> str:
    """The same for a line of a process that `up` started: its colours stay."""
    return "".join(part if _COLOUR.fullmatch(part) else shown(part) for part in _COLOUR.split(line))


def replace_what_cannot_be_shown() -> None:
    """A terminal without Unicode gets question marks instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def _escape(found: re.Match[str]) -> str:
    return _escaped(found[0])


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _plain(value: object) -> str | float:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Path():
            return str(value)
        case Decimal():
            return float(value)
        case _:
            raise TypeError(f"{type(value).__name__} does not go into JSON")


# "The key file was made, back it up" is news for the person, whatever the level.
_NEWS = ("ig_pipeline.vault.cipher",)


class ConsoleHandler(logging.Handler):
    """Prints records through a rich console, which puts them above a live progress bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.setFormatter(RedactingFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; a failure to print must not end the work."""
        try:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            self.console.print(f"[{style}]{escape(shown(self.format(record)))}[/]", soft_wrap=True)
        except Exception:  # noqa: BLE001 - the rule of logging handlers: report and go on
            self.handleError(record)


def configure_logging(*, verbose: bool) -> None:
    """Show warnings, and with `verbose` what the engine does; every line redacted."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, ConsoleHandler)]:
        root.removeHandler(handler)
    root.addHandler(ConsoleHandler(err()))
    root.setLevel(logging.WARNING)
    logging.getLogger("ig_pipeline").setLevel(logging.INFO if verbose else logging.WARNING)
    for name in _NEWS:
        logging.getLogger(name).setLevel(logging.INFO)
    quiet_chatty_loggers()


class Group(click.Group):
    """`click.Group`, with help for reading."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their first sentences, wrapped instead of cut."""
        rows = [(name, command.get_short_help_str(limit=500)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
