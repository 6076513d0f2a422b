"""The simulator's clock: a given one, set off by a control request. The world itself has none."""

from datetime import datetime, timedelta

from ig_pipeline.clock import Clock


class OffsetClock:
    """`base` plus an offset that can be changed while running."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self.offset = timedelta()

    def __call__(self) -> datetime:
        """The simulated instant, UTC."""
        return self._base() + self.offset

    def set(self, instant: datetime) -> None:
        """Make it `instant` now (zone-aware); it runs on from there."""
        self.offset = instant - self._base()
