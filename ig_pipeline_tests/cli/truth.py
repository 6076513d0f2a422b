"""Whether the days of a real `up` are those of the simulated world, though midnight may have struck meanwhile."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.storage.connections import Connection

Days = Mapping[date, tuple[int | None, int | None]]
"""Day → (reach, engagement)."""


def assert_true(account: Account, connection: Connection, days: Days, *, since: datetime) -> None:
    """`days` are the thirty of the connection's first backfill, as the API gave them between `since` and now.

    Which thirty they are was settled when the backfill was asked for, not now; and at midnight a number may change.
    """
    first, last = connection.initial_backfill_first, connection.initial_backfill_last
    assert first is not None
    assert last == first + timedelta(days=29)
    assert sorted(days) == [first + timedelta(days=n) for n in range(30)]
    for day, numbers in days.items():
        assert_day(account, day, numbers, since=since)


def assert_day(account: Account, day: date, numbers: tuple[int | None, int | None], *, since: datetime) -> None:
    """`numbers` are (reach, engagement) of `day` as the API gave them between `since` and now."""
    reach, engagement = numbers
    moments = since, datetime.now(UTC)
    assert reach in [account.reach(day, at) for at in moments], day
    assert engagement in [account.engagement(day, at) for at in moments], day
