"""Where commands print: results to standard output, everything else to standard error.

With `--json` standard output carries one JSON document or nothing. Colour only where a person looks: not in a pipe,
not with NO_COLOR. What is printed is the commands'.
"""

import json
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

# A pipe has no width. Wide enough that no table of ours is cut, for whoever greps in it.
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
    """`text` from outside as a terminal may get it: what it would obey, or hide, is written as its escape."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _UNSHOWN else _escaped(character)
        for character in text
    )


def shown_in_colour(line: str) -> str:
    """The same for a line of a process of ours: its colours stay."""
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
