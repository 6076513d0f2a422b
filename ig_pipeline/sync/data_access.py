"""Warns before Meta ends an app's reading for a person who has not used the app for 90 days.

The token lives on and renewing it changes nothing: only the person can help, by using the app again.
Reads the database, changes nothing; pages, status, checks and the doctor show these warnings.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage.connections import CONNECTED, Connection, list_connections

WARN_WITHIN = timedelta(days=14)
URGENT_WITHIN = timedelta(days=3)


@dataclass(frozen=True)
class DataAccessWarning:
    """A connected account whose reading ends soon, or has ended. `ends_at` is UTC; `sentence` is for its owner."""

    account_key: str
    ends_at: datetime
    urgent: bool
    """Within three days."""
    sentence: str


def data_access_warning(connection: Connection, *, now: datetime) -> DataAccessWarning | None:
    """The warning for a connection, from 14 days before; None when there is nothing to warn of, or nothing known."""
    ends_at = connection.data_access_expires_at
    if connection.status != CONNECTED or ends_at is None or ends_at - now > WARN_WITHIN:
        return None
    when = f"ends on {ends_at:%Y-%m-%d}" if ends_at > now else f"ended on {ends_at:%Y-%m-%d}"
    return DataAccessWarning(
        connection.account_key,
        ends_at,
        ends_at - now <= URGENT_WITHIN,
        f"Meta lets us read this account for 90 days after its owner last used the app; that {when}. "
        "Connect again: that counts as using it.",
    )


def ending_data_access(db: sa.Connection, *, now: datetime) -> list[DataAccessWarning]:
    """The warnings of all connected accounts, soonest first."""
    found = (data_access_warning(connection, now=now) for connection in list_connections(db, statuses=[CONNECTED]))
    return sorted((warning for warning in found if warning), key=lambda warning: (warning.ends_at, warning.account_key))
