"""Tells Dagster's grid of cells that were filled outside Dagster, by the command line.

Runless materializations: the cell turns green with its metadata, no run is made up. Without an instance nothing
happens.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg

from ig_pipeline.defs.cell_events import event_of
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.settings import Settings
from ig_pipeline.sync.results import AccountDayResult


class GridReporter:
    """Reports results to one instance, as they come."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._known: set[str] = set()

    def report(self, results: Iterable[AccountDayResult]) -> int:
        """Show `results` in the grid: written cells green, the others with the reason. Returns how many were green."""
        green = 0
        for result in results:
            self._add_account(result.account_key)
            self._instance.report_runless_asset_event(event_of(result))
            green += result.written
        return green

    def _add_account(self, account_key: str) -> None:
        if account_key not in self._known:
            self._instance.add_dynamic_partitions(str(ACCOUNTS.name), [account_key])
            self._known.add(account_key)


@contextmanager
def grid_reporter(settings: Settings) -> Iterator[GridReporter | None]:
    """A reporter to the instance in the data folder; None when `ig-pipeline up` has never made one."""
    with dagster_instance(settings) as instance:
        yield GridReporter(instance) if instance else None


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
