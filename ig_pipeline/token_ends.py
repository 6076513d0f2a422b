"""When a token ends, and how that is known: stated by Meta, assumed because Meta did not say, or never.

Pure; "not told" is never taken for "never" (docs/architecture.md#31-not-told-is-not-never).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Expiry = Literal["stated", "assumed", "never"]
NEVER: Expiry = "never"

ASSUMED_LIFE = timedelta(days=60)
"""What a long-lived token lives for, when the answer that brought it does not say."""


@dataclass(frozen=True)
class TokenEnd:
    """The end of a token, UTC; `at` is None only when Meta said that there is none (`expiry` is "never")."""

    at: datetime | None
    expiry: Expiry

    @property
    def assumed(self) -> bool:
        """Whether Meta did not say: the token may live longer, or less."""
        return self.expiry == "assumed"

    def within(self, span: timedelta, *, now: datetime) -> bool:
        """Whether it ends no later than `span` from `now`, or has ended."""
        return self.at is not None and self.at - now <= span


def token_end(expires_at: datetime | None, expiry: Expiry, *, issued_at: datetime) -> TokenEnd:
    """The end of a token issued at `issued_at`; without an end that was told, sixty days later."""
    if expires_at is not None:
        return TokenEnd(expires_at, "stated" if expiry == NEVER else expiry)
    if expiry == NEVER:
        return TokenEnd(None, NEVER)
    return TokenEnd(issued_at + ASSUMED_LIFE, "assumed")
