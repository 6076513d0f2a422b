"""What a sync tells the log while it runs: days done per account, and one line at the end of each.

Reads results, decides nothing. Names accounts by their key; the owner's email only where the user's own form has it.
"""

import logging
from collections import defaultdict
from datetime import date

from ig_pipeline.sync.results import AccountDayResult, summarise

logger = logging.getLogger("ig_pipeline.sync")

# At most so many lines of progress per account, whatever the range.
_LINES = 10


class Progress:
    """Counts the finished days of one account and logs `[SYNC] acme.studio 12/30 days`."""

    def __init__(self, account_key: str, *, days: int, assets: int) -> None:
        self._key = account_key
        self._days = days
        self._assets = assets
        self._cells: dict[date, int] = defaultdict(int)
        self._done = 0
        self._results: list[AccountDayResult] = []

    def add(self, result: AccountDayResult) -> None:
        """Count one finished cell; a day is done when all its assets are written."""
        self._results.append(result)
        if not result.written:
            return
        self._cells[result.date] += 1
        if self._cells[result.date] == self._assets:
            self._done += 1
            if self._done == self._days or self._done % max(1, self._days // _LINES) == 0:
                logger.info("[SYNC] %s %d/%d days", self._key, self._done, self._days)

    def finish(self, *, calls: int) -> None:
        """The account's summary in one line; a warning when cells failed or were deferred."""
        for summary in summarise(self._results):
            level = logging.INFO if summary.success else logging.WARNING
            logger.log(
                level,
                "[SYNC] %s finished: %d/%d days, %d rows, %d errors, %d deferred, %d calls%s",
                self._key,
                self._done,
                self._days,
                summary.total_inserted,
                summary.total_errors,
                summary.deferred,
                calls,
                "".join(f"; {error}" for error in summary.errors[:3]),
            )
