"""The one resource: how definitions reach the settings, the clock, the database and the engine.

Assets, sensors and checks get this plain object; nothing is opened or read before they call it.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.sync.results import AccountDayResult, AssetName


class CellSource(Protocol):
    """What fetches cells: the engine, or a stand-in in tests."""

    def __call__(
        self,
        settings: Settings,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[AssetName],
        run_id: str,
    ) -> AsyncIterator[AccountDayResult]:
        """One result per asset and cell, in the order they are finished."""
        ...


@dataclass(frozen=True)
class Pipeline:
    """Factories, not connections: a code server lives for weeks, a run for seconds."""

    fetch: CellSource
    settings_of: Callable[[], Settings] = load_settings
    clock: Clock = utc_now

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.settings_of()
