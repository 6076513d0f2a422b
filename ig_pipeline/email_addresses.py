"""What counts as an e-mail address here, wherever one comes in: over HTTP, in a form, on the command line.

Pure. Addresses are printed, logged and shown to people who decide by them: nothing in one may be invisible, turn the
writing round or be obeyed by a terminal.
"""

import re

PATTERN = r"^[^\s@\x00-\x1f\x7f<>\"]{1,64}@[^\s@\x00-\x1f\x7f<>\"]{1,189}$"
"""The shape: one `@`, no space, nothing that would end a quotation or a line."""

LONGEST = 254

RULE = "An e-mail address such as a@b.example, without spaces, control or invisible characters."

# Letters and marks that show nothing, although Unicode counts them as printable: fillers, joiners, variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


class EmailAddressError(ValueError):
    """A text is no e-mail address. The message says what would be, and does not repeat it."""


def normalized(text: str) -> str:
    """The address in `text` as it is stored: trimmed and in lower case. Raises `EmailAddressError`."""
    address = text.strip().lower()
    # Not printable: control and format characters (bidirectional and zero-width ones), spaces of every kind, lone
    # surrogates, and what no version of Unicode has assigned.
    if (
        len(address) > LONGEST
        or not re.match(PATTERN, address)
        or not address.isprintable()
        or _INVISIBLE.search(address)
    ):
        raise EmailAddressError(RULE)
    return address
