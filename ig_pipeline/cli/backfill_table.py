"""How backfills and the library are shown: tables of counts, the first errors, what was left out and why."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.console import out
from ig_pipeline.storage.media_backfills import MediaBackfill
from ig_pipeline.sync.media_files.results import BackfillResult

# Errors of which the table shows the details; the number of all of them is a column.
_SHOWN = 20


def print_results(results: Sequence[BackfillResult], *, dry_run: bool) -> None:
    """One row an account."""
    table = _table("Account", "Would download" if dry_run else "Downloaded", "Duplicates", "Unsupported", "Failed",
                   "API items", "MB", "Calls", "Status")  # fmt: skip
    for result in results:
        counts = result.tally.as_dict()
        table.add_row(
            result.account_key,
            f"{counts['would_download' if dry_run else 'downloaded']:,}",
            f"{counts['skipped_duplicate']:,}",
            f"{counts['skipped_unsupported']:,}",
            Text(f"{counts['failed']:,}", style="red" if counts["failed"] else "dim"),
            f"{counts['total_items']:,}",
            f"{counts['bytes'] / 1e6:,.1f}",
            f"{result.calls:,}",
            result.status,
        )
    console = out()
    console.print(table)
    shown: set[str] = set()  # a fault of the app is the same sentence for every account
    for result in results:
        if same := result.tally.files["same_bytes"]:
            console.print(f"{same:,} of {result.account_key}'s files have bytes that were there: stored once.")
        for reason, count in result.tally.reasons.items():
            console.print(Text(f"{count:,} left out: {reason}", style="yellow"), soft_wrap=True)
        for error in [*([result.error] if result.error else []), *result.tally.errors[:_SHOWN]]:
            if error not in shown:
                console.print(Text(error, style="red"), soft_wrap=True)
            shown.add(error)


def print_runs(runs: Sequence[MediaBackfill]) -> None:
    """The last backfills, newest first."""
    table = _table("Started (UTC)", "Account", "By", "Status", "Downloaded", "Duplicates", "Failed")
    for run in runs:
        table.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M}",
            run.account_key,
            run.triggered_by,
            run.status,
            *(f"{run.counts.get(name, 0):,}" for name in ("downloaded", "skipped_duplicate", "failed")),
        )
    out().print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    words = {"Account", "Status", "Started (UTC)", "By"}
    for heading in headings:
        table.add_column(heading, justify="left" if heading in words else "right", overflow="fold")
    return table
