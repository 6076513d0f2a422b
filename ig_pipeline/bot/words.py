"""Backfills in words, the same as the command line's: downloaded, duplicates, unsupported, failed, API items."""

from collections.abc import Sequence

from ig_pipeline.redaction import redact
from ig_pipeline.storage.media_backfills import MediaBackfill
from ig_pipeline.storage.media_items import LibrarySize
from ig_pipeline.sync.media_files.results import STORIES_NOTE, BackfillResult, Tally

# Telegram takes 4,096 characters; a message is for reading, not for everything that can be told.
_LONGEST = 3_500
_ERRORS = 5


def progress(account_key: str, tally: Tally, *, dry_run: bool) -> str:
    """One account's line while its backfill goes on."""
    return f"{'Counting' if dry_run else 'Saving'} {account_key} …\n{_counts(tally, dry_run=dry_run)}"


def outcome(results: Sequence[BackfillResult], *, dry_run: bool) -> str:
    """What became of each account, why things were left out, the first errors."""
    lines: list[str] = []
    for result in results:
        lines += [f"{result.account_key}: {result.status}", _counts(result.tally, dry_run=dry_run)]
        lines += [f"{count:,} left out: {reason}" for reason, count in result.tally.reasons.items()]
        # A fault of the app is the same sentence for every account.
        lines += [result.error] if result.error and result.error not in lines else []
        lines += result.tally.errors[:_ERRORS]
    return _fitting([*lines, STORIES_NOTE])


def library(size: LibrarySize, runs: Sequence[MediaBackfill]) -> str:
    """How large the library is, and the last backfills, newest first."""
    lines = [f"{size.items:,} media items in the library: {size.files:,} files, {size.bytes / 1e6:,.1f} MB."]
    for run in runs:
        counts = run.counts
        lines.append(
            f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.account_key}  by {run.triggered_by}: {run.status}, "
            f"downloaded {counts.get('downloaded', 0):,}, failed {counts.get('failed', 0):,}"
        )
    if not runs:
        lines.append("No backfill yet. /backfill makes one.")
    return _fitting([*lines, STORIES_NOTE])


def _counts(tally: Tally, *, dry_run: bool) -> str:
    counts = tally.as_dict()
    first = ("Would download", "would_download") if dry_run else ("Downloaded", "downloaded")
    named = (first, ("duplicates", "skipped_duplicate"), ("unsupported", "skipped_unsupported"), ("failed", "failed"))
    parts = [f"{name} {counts[field]:,}" for name, field in named]
    return " · ".join([*parts, f"API items {counts['total_items']:,}", f"{counts['bytes'] / 1e6:,.1f} MB"])


def _fitting(lines: Sequence[str]) -> str:
    text = redact("\n".join(lines))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
