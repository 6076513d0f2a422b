"""A stand-in for the engine, and runs of the real definitions on an ephemeral instance."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from ig_pipeline.defs.partitions import ACCOUNTS, range_tags
from ig_pipeline.settings import Settings
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline.sync.results import AccountDayResult, AssetName

FIRST = date(2026, 10, 1)

Fate = Callable[[AssetName, str, date], AccountDayResult]


def complete(asset: AssetName, account_key: str, day: date) -> AccountDayResult:
    return AccountDayResult(
        asset, account_key, day, "complete", rows=2, calls=1, values={"reach": 10, "views": 20}, absences={}
    )


@dataclass
class FakeEngine:
    """Gives each cell the result `fate` decides, and remembers what it was asked."""

    fate: Fate = complete
    asked: list[tuple[dict[str, list[date]], tuple[AssetName, ...], str]] = field(default_factory=list)
    dies_after: int | None = None

    async def __call__(
        self, settings: Settings, cells: Mapping[str, Sequence[date]], *, assets: Collection[AssetName], run_id: str
    ) -> AsyncIterator[AccountDayResult]:
        self.asked.append(({key: list(days) for key, days in cells.items()}, tuple(assets), run_id))
        for n, (key, day) in enumerate((key, day) for key, days in cells.items() for day in days):
            if n == self.dies_after:
                raise RuntimeError("the engine broke")
            for asset in assets:
                yield self.fate(asset, key, day)


@contextmanager
def instance_with(*accounts: str) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        if accounts:
            instance.add_dynamic_partitions(str(ACCOUNTS.name), list(accounts))
        yield instance


def rectangle(*accounts: str, days: int = 3, first: date = FIRST) -> Rectangle:
    return Rectangle(accounts, first, first + timedelta(days=days - 1))


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=folder, first_day=date(2026, 9, 1))


def run_rectangle(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    asked: Rectangle,
    *,
    assets: Sequence[str] = ("account_insights", "media_engagement", "daily_metrics"),
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """One run of the asset job over a rectangle, in this process, with a real run record."""
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        tags={**range_tags(asked), **(tags or {})},
        asset_selection=[dg.AssetKey(name) for name in assets],
        raise_on_error=False,
    )


def green(instance: dg.DagsterInstance, asset: str) -> set[str]:
    return instance.get_materialized_partitions(dg.AssetKey(asset))


def status_of(instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str) -> tuple[set[str], set[str]]:
    """(green, red) cells as Dagster's grid paints them."""
    key = dg.AssetKey(asset)
    partitions = definitions.resolve_asset_graph().get(key).partitions_def
    cached = get_and_update_asset_status_cache_value(instance, key, partitions, instance)
    if cached is None or partitions is None:
        return set(), set()
    done = cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
    failed = cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()
    return set(map(str, done)), set(map(str, failed))
