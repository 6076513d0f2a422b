"""Hides secrets in URLs, messages and logs.

Pure string work and one logging filter; knows no setting and no database.
What must never be written at all (tokens in exceptions, run config, metadata) is kept out where it is made;
this is the second line of defence, for text that other libraries write.
"""

import logging
import re

MASK = "***"

# Query parameters and form fields of Meta's endpoints that carry a secret (docs/graph_api.md#facebook-login), and our
# own bearer tokens.
_PARAMETERS = (
    "access_token|client_secret|fb_exchange_token|input_token|appsecret_proof|code|signed_request|state|"
    "app_secret|password|token"
)
_PATTERNS = (
    re.compile(
        rf"(?P<keep>(?:^|[?&\s\"'{{,(])[\"']?(?:{_PARAMETERS})[\"']?\s*[=:]\s*[\"']?)[^\s&\"',}})]{{6,}}",
        re.I,
    ),
    re.compile(r"(?P<keep>\bBearer\s+)[^\s\"',]+", re.I),
    # Telegram takes its bot's token in the path, and libraries print paths.
    re.compile(r"(?P<keep>/bot)\d+:[A-Za-z0-9_-]+"),
    # Meta's tokens by their own prefix (EAA… Facebook Login, IG… Instagram Login): any real one is longer.
    re.compile(r"(?P<keep>\b)(?:EAA|IGAA|IGQ)[A-Za-z0-9_\-.]{17,}"),
)
# A URL's password. What turns out to have no `@` is taken too, and kept: looked at again from each `://` in it, a text
# full of them would take the square of its length.
_PASSWORD = re.compile(r"(?P<keep>://[^\s/:@]*:)[^\s@]+(?P<end>@)?")


def redact(text: str) -> str:
    """`text` with every recognised secret replaced by `***`: token parameters, bearer tokens, URL passwords.

    The time it takes grows with the length of the text and with nothing else: strangers write such texts.
    """
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: f"{match['keep']}{MASK}", text)
    return _PASSWORD.sub(lambda match: f"{match['keep']}{MASK}@" if match["end"] else match[0], text)


class RedactingFormatter(logging.Formatter):
    """Redacts the finished text, traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text without secrets."""
        return redact(super().format(record))


def quiet_chatty_loggers() -> None:
    """Keep httpx and httpcore below WARNING: at INFO they log whole URLs, tokens included.

    See docs/architecture.md#secrets.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
