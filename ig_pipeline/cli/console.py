"""Where commands print: results to standard output, everything else to standard error.

With `--json` standard output carries one JSON document or nothing. Colour only where a person looks: not in a pipe,
not with NO_COLOR. What is printed is the commands'.
"""

import json
import os
import re
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console

# A pipe has no width. Wide enough that no table of ours is cut, for whoever greps in it.
_PIPE_WIDTH = 160
# JSON itself escapes only what is below U+0020: the rest of the control characters, and those that turn writing round.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


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
    return f"\\u{ord(found[0]):04x}"


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
