"""Text that strangers wrote, as the rest of the house can bear it: made so once, where an answer is read.

What a caption means, and how it is escaped where it is shown, is not decided here.
"""

import unicodedata
from typing import Annotated

from pydantic import BeforeValidator

# Captions end at 2,200 characters, addresses at some 1,500; whatever else comes is cut, not refused.
_LONGEST_TEXT = 10_000
_LONGEST_NAME = 100


def storable(value: object) -> object:
    """Text a database takes: PostgreSQL refuses NUL, UTF-8 knows no half of a surrogate pair (a cut emoji)."""
    if not isinstance(value, str):
        return value
    return value[:_LONGEST_TEXT].replace("\x00", "").encode("utf-8", "replace").decode()


def one_line(value: object) -> object:
    """A name: without what moves a cursor, turns the writing round or cannot be seen."""
    if not isinstance(value, str):
        return value
    shown = "".join(
        c for c in value[: _LONGEST_NAME * 2] if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    )
    return shown[:_LONGEST_NAME]


def web_address(value: object) -> object:
    """An https address a page may link to; None for `javascript:` and all else."""
    if not isinstance(value, str):
        return value
    address = storable(value)
    return address if str(address).startswith("https://") and str(address).isprintable() else None


Text = Annotated[str, BeforeValidator(storable)]
Name = Annotated[str, BeforeValidator(one_line)]
Permalink = Annotated[str | None, BeforeValidator(web_address)]
