"""What Dagster's grid shows of media files, read from the instance in a small world's data folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import dagster as dg

from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.reporting import dagster_instance
from ig_pipeline_tests.sync.harness import SmallWorld


@dataclass
class Grid:
    """The cells of `media_files`."""

    small: SmallWorld

    def files(self) -> dict[date, object]:
        """Day → new files of the newest event of each green cell."""
        with self._instance() as instance:
            records = instance.fetch_materializations(MEDIA_FILES, limit=1000).records
        events = [record.asset_materialization for record in reversed(records)]
        return {_day(event.partition): event.metadata["files"].value for event in events if event is not None}

    def observed(self) -> dict[str, str]:
        """Cell → why it stayed empty, for those that say so."""
        with self._instance() as instance:
            records = instance.fetch_observations(MEDIA_FILES, limit=1000).records
        events = [record.asset_observation for record in reversed(records)]
        return {event.partition or "": event.description or "" for event in events if event is not None}

    @contextmanager
    def _instance(self) -> Iterator[dg.DagsterInstance]:
        with dagster_instance(self.small.settings) as instance:
            assert instance is not None
            yield instance


def _day(cell: str | None) -> date:
    return date.fromisoformat((cell or "").partition("|")[2])
