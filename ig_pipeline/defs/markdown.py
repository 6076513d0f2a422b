"""Text of others inside the markdown that Dagster's UI renders: shown as it is, never obeyed."""

import re

# What begins a link, a picture, a tag, code, a table's cell. Underscores within words do nothing.
_OBEYED = re.compile(r"[\\`*\[\]<>|!]")
_BREAKS = re.compile(r"\s+")


def literal(text: str) -> str:
    """`text` on one line, without a meaning of its own."""
    return _OBEYED.sub(r"\\\g<0>", _BREAKS.sub(" ", text))
