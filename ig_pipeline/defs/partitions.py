"""The grid's two dimensions and how a rectangle of it is written into a run's tags.

Which rectangles are asked for is `sync.plan`'s; nothing here knows the database.
"""

from collections.abc import Iterable
from datetime import date

import dagster as dg

from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline.sync.plan import Rectangle

ACCOUNT, DATE = "account", "date"
"""Names of the dimensions. Dagster orders them by name: keys read `account|date`."""

ACCOUNTS = dg.DynamicPartitionsDefinition(name="instagram_accounts")
"""One key per connection, in the order of their first appearance."""

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Tags that make one run cover a rectangle. Not exported by dagster 1.13; a test compares them with its constants."""

ACCOUNT_TAG = "account"
"""Our own tag on runs of one account: the queue lets one of them run at a time (dagster.yaml)."""


def grid_from(first_day: date) -> dg.MultiPartitionsDefinition:
    """The grid: accounts by Instagram days (America/Los_Angeles), `first_day` to the last complete day."""
    days = dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone=PACIFIC.key)
    return dg.MultiPartitionsDefinition({ACCOUNT: ACCOUNTS, DATE: days})


def cell_key(account_key: str, day: date) -> dg.MultiPartitionKey:
    """The key of one cell; as a string `account|2026-01-31`."""
    return dg.MultiPartitionKey({ACCOUNT: account_key, DATE: day.isoformat()})


def cells_by_account(keys: Iterable[str]) -> dict[str, list[date]]:
    """Cell keys as account → days, in the given order. An account key may not contain `|`; days never do."""
    cells: dict[str, list[date]] = {}
    for key in keys:
        account_key, _, day = str(key).rpartition("|")
        cells.setdefault(account_key, []).append(date.fromisoformat(day))
    return cells


def range_tags(rectangle: Rectangle) -> dict[str, str]:
    """Tags of the run that covers `rectangle`, with the account's own tag when there is but one."""
    keys = rectangle.account_keys
    tags = {
        RANGE_START: str(cell_key(keys[0], rectangle.first)),
        RANGE_END: str(cell_key(keys[-1], rectangle.last)),
    }
    return {**tags, ACCOUNT_TAG: keys[0]} if len(keys) == 1 else tags
