"""Tells Dagster's grid of cells that were filled outside Dagster, by the command line or over Telegram.

Runless materializations: the cell turns green with its metadata, no run is made up. Without an instance nothing
happens.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from ig_pipeline.defs.cell_events import event_of
from ig_pipeline.defs.partitions import ACCOUNTS, cell_key, grid_from
from ig_pipeline.settings import Settings
from ig_pipeline.sync.results import AccountDayResult


class GridReporter:
    """Reports results to one instance, as they come.

    With a `grid`, a green cell is not told again that nothing is new in it: a whole history of media files is a cell a
    day.
    """

    def __init__(self, instance: dg.DagsterInstance, grid: dg.MultiPartitionsDefinition | None = None) -> None:
        self._instance, self._grid = instance, grid
        self._known: set[str] = set()

    def report(self, results: Iterable[AccountDayResult]) -> int:
        """Show `results` in the grid: complete cells green, the others with the reason. Returns how many are green."""
        results = list(results)
        for key in dict.fromkeys(result.account_key for result in results):
            self._add_account(key)
        shown = self._green([result for result in results if result.unchanged])
        for result in results:
            if (result.asset, _cell(result)) not in shown:
                self._instance.report_runless_asset_event(event_of(result))
        return sum(result.is_complete for result in results)

    def _green(self, results: Sequence[AccountDayResult]) -> set[tuple[str, str]]:
        """Asset and cell of those of `results` that are green now."""
        if self._grid is None:
            return set()
        green: set[tuple[str, str]] = set()
        for asset in dict.fromkeys(result.asset for result in results):
            cells = [_cell(result) for result in results if result.asset == asset]
            found = self._instance.get_status_by_partition(dg.AssetKey(asset), cells, self._grid) or {}
            green |= {(asset, cell) for cell, status in found.items() if status == dg.AssetPartitionStatus.MATERIALIZED}
        return green

    def _add_account(self, account_key: str) -> None:
        if account_key not in self._known:
            self._instance.add_dynamic_partitions(str(ACCOUNTS.name), [account_key])
            self._known.add(account_key)


@contextmanager
def grid_reporter(settings: Settings) -> Iterator[GridReporter | None]:
    """A reporter to the instance in the data folder; None when `ig-pipeline up` has never made one."""
    with dagster_instance(settings) as instance:
        yield GridReporter(instance, grid_from(settings.first_day)) if instance else None


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance | None]:
    """The instance in the data folder; None when `ig-pipeline up` has never made one."""
    if not (settings.dagster_home / "dagster.yaml").is_file():
        yield None
        return
    with _dagster_database(settings), dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


@contextmanager
def _dagster_database(settings: Settings) -> Iterator[None]:
    """The URL where deploy/dagster.yaml looks for it, also when it came from .env alone."""
    url, name = settings.dagster_storage_url, "IG_PIPELINE_DAGSTER_DATABASE_URL"
    before = os.environ.get(name)
    if url is not None:
        os.environ[name] = url.get_secret_value()
    try:
        yield
    finally:
        if url is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def _cell(result: AccountDayResult) -> str:
    return str(cell_key(result.account_key, result.date))
