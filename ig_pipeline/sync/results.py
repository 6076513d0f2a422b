"""What a sync says about its work: one result per account-day, one summary per account.

Pages, logs, Dagster's metadata and the command line show these and nothing else.
No database, no HTTP, no Dagster here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from ig_pipeline.graph_api.errors import Actor

CellStatus = Literal["complete", "partial", "failed", "deferred"]


@dataclass(frozen=True)
class AccountDayResult:
    """What became of one cell of the grid: one asset, one account, one Instagram day (America/Los_Angeles).

    `complete`: everything asked for is in the database or was refused by a rule, which then stands in `absences`.
    `partial`: written, but it lacks what no rule explains (`lacking`); asked for again by itself after `retry_at`
    (UTC), while the numbers can still be had.
    `failed`: nothing written; `error` is a sentence for an operator, `error_type` the name of its class. With
    `is_retryable` the failure was of the moment; the cell is asked for again by itself after `retry_at`, if that is
    not None.
    `deferred`: not attempted because of a rate limit; asked for again by itself after `retry_at`.
    """

    asset: str
    """The stream's name."""
    account_key: str
    date: date
    status: CellStatus
    rows: int = 0
    """Rows written for this cell."""
    calls: int = 0
    """Graph API calls spent for this cell alone; calls shared by a range are booked on its first day."""
    values: Mapping[str, int | float | None] = field(default_factory=dict)
    absences: Mapping[str, str] = field(default_factory=dict)
    """Metric → why the API does not give it."""
    lacking: tuple[str, ...] = ()
    """Metrics among the absences that no rule explains: a cell that has some is `partial`."""
    error: str | None = None
    error_type: str | None = None
    is_retryable: bool = False
    actor: Actor | None = None
    """Who must act before it can succeed: the app's operator, the account's owner, no one; None without an error."""
    retry_at: datetime | None = None
    account_id: str | None = None
    u_id: int | None = None

    @property
    def written(self) -> bool:
        """Whether the cell's rows are in the database, all of them or some."""
        return self.status in ("complete", "partial")

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be had, so that its grid cell may turn green."""
        return self.status == "complete"

    @property
    def unchanged(self) -> bool:
        """Whether it was found complete with nothing new: a cell that is green already need not be told again."""
        return self.status == "complete" and not self.rows


@dataclass(frozen=True)
class FetchResult:
    """One account's sync in one concise summary. Deferred and partial cells are no errors: both complete themselves."""

    success: bool
    total_inserted: int
    total_errors: int
    metrics_inserted: dict[str, int]
    """Metric → days for which a value was written."""
    errors: list[str]
    """Distinct sentences, in order of appearance."""
    account_id: str | None
    user_id: int | None
    account_key: str
    deferred: int = 0
    """Cells that wait for a rate limit to pass."""
    partial: int = 0
    """Cells that lack something no rule explains; they are asked for again by themselves."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and metadata."""
        return asdict(self)


def summarise(results: Iterable[AccountDayResult]) -> list[FetchResult]:
    """One `FetchResult` per account, in order of first appearance."""
    by_account: dict[str, list[AccountDayResult]] = {}
    for result in results:
        by_account.setdefault(result.account_key, []).append(result)
    return [_summarise_account(key, cells) for key, cells in by_account.items()]


def _summarise_account(account_key: str, cells: list[AccountDayResult]) -> FetchResult:
    failed = [cell for cell in cells if cell.status == "failed"]
    deferred = sum(cell.status == "deferred" for cell in cells)
    partial = sum(cell.status == "partial" for cell in cells)
    # media_engagement's values are a day's roll-up and daily_metrics' are derived: counting them again would
    # report reach twice.
    inserted = Counter(
        metric
        for cell in cells
        if cell.asset == "account_insights" and cell.written
        for metric, value in cell.values.items()
        if value is not None
    )
    return FetchResult(
        success=not failed and not deferred and not partial,
        total_inserted=sum(cell.rows for cell in cells),
        total_errors=len(failed),
        metrics_inserted=dict(sorted(inserted.items())),
        errors=list(dict.fromkeys(cell.error or "unknown error" for cell in failed)),
        account_id=cells[0].account_id,
        user_id=cells[0].u_id,
        account_key=account_key,
        deferred=deferred,
        partial=partial,
    )
