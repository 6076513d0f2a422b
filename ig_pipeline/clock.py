"""The clock as an argument.

Everything that needs "now" takes a `Clock`; only entry points pass `utc_now`.
Calendar rules of Instagram's day live in `graph_api.days`, not here.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current instant, zone-aware, in UTC."""


def utc_now() -> datetime:
    """The system's clock, zone-aware, in UTC."""
    return datetime.now(UTC)
