"""What a chat may say, `/backfill [limit] [dry]`, `/status`, `/help`, and what it is told: text, pure.

Backfills are told with the command line's words: downloaded, duplicates, unsupported, failed, API items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ig_pipeline.redaction import redact
from ig_pipeline.storage.media_backfills import MediaBackfill
from ig_pipeline.storage.media_items import LibrarySize
from ig_pipeline.sync.media_files.results import STORIES_NOTE, BackfillResult, Tally

HELP = """I look after the media library of the connected Instagram accounts.

/backfill - save every post, reel and live story that is not there yet
/backfill 20 - at most twenty new files
/backfill dry - count only: nothing is downloaded, nothing written
/status - how large the library is, and the last backfills
/help - this"""


@dataclass(frozen=True)
class Backfill:
    """`/backfill [limit] [dry]`."""

    limit: int | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Status:
    """`/status`."""


@dataclass(frozen=True)
class Help:
    """`/help`, `/start`, or something that is not understood: `why` says what."""

    why: str | None = None


Command = Backfill | Status | Help


def read_command(text: str) -> Command | None:
    """The command in a message; None for talk that is not meant for a bot."""
    name, *words = text.split() or [""]
    if not name.startswith("/"):
        return None
    # In groups commands carry the bot's name: /status@some_bot.
    match name.partition("@")[0].lower():
        case "/backfill":
            return _read_backfill(words)
        case "/status":
            return Status()
        case "/help" | "/start":
            return Help()
        case _:
            return Help(why="I don't know that command.")


def _read_backfill(words: list[str]) -> Backfill | Help:
    limit: int | None = None
    dry_run = False
    for word in words:
        if word.lower() in ("dry", "--dry-run"):
            dry_run = True
        elif word.isascii() and word.isdigit() and len(word) <= 6 and int(word) >= 1 and limit is None:
            limit = int(word)
        else:
            return Help(why="After /backfill comes a number of files, the word dry, both or nothing.")
    return Backfill(limit, dry_run)


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
