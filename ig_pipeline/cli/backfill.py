"""`ig-pipeline backfill-instagram` and `backfill-status`: media files into the library, and what is in it.

What is fetched, kept and counted is decided in `sync.media_files`; here are options, a live bar, tables and sentences.
"""

import asyncio
import getpass
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Self, get_args

import click
import sqlalchemy as sa
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.console import err, out, print_json, shown
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database, tell_grid
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage import media_backfills, media_items
from ig_pipeline.storage.connections import CONNECTED, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.media_backfills import UNFINISHED, MediaBackfill
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.failures import NotConnectedError
from ig_pipeline.sync.media_files.results import (
    STORIES_NOTE,
    BackfillOptions,
    BackfillResult,
    FileResult,
    MediaTypes,
    Watcher,
)
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncRun


class BackfillBar(Watcher):
    """Counts, and draws what it counts on standard error."""

    def __init__(self, account_key: str, *, dry_run: bool) -> None:
        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            _Bytes(),
            TimeRemainingColumn(),
            console=err(),
            disable=not err().is_terminal,
        )
        verb = "counting" if dry_run else "saving"
        self._bar = self._progress.add_task(f"{verb} {account_key}", total=0, received=0)
        self._files = self._received = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def listed(self, files: list[WantedFile]) -> None:
        """More files are known."""
        super().listed(files)
        self._files += len(files)
        self._progress.update(self._bar, total=self._files)

    def received(self, count: int) -> None:
        """Bytes arrived."""
        self._received += count
        self._progress.update(self._bar, received=self._received)

    def finished(self, result: FileResult) -> None:
        """A file is complete, skipped or failed."""
        super().finished(result)
        self._progress.advance(self._bar)


class _Bytes(ProgressColumn):
    """`123.4 MB  12.3 MB/s`, over the whole backfill."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        received = float(task.fields.get("received", 0))
        elapsed = task.elapsed or 0
        rate = received / elapsed if elapsed > 0 else 0
        return Text(f"{received / 1e6:,.1f} MB  {rate / 1e6:,.1f} MB/s", style="cyan")


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


@click.command("backfill-instagram")
@click.option("--account", "account_key", metavar="KEY", help="Account key. Default: every connected account.")
@click.option("--account-id", metavar="ID", help="The account by its Instagram id instead.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many new files.")
@click.option(
    "--media-type", type=click.Choice(get_args(MediaTypes)), default="both", show_default=True, help="What to fetch."
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Posts of this Pacific day and later.")
@click.option("--dry-run", is_flag=True, help="Read and count; download nothing, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backfill_instagram(
    *,
    account_key: str | None,
    account_id: str | None,
    limit: int | None,
    media_type: MediaTypes,
    since: datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Save posts, reels and live stories as files.

    \b
    They go to the media library (IG_PIPELINE_MEDIA_URL), the pictures of a carousel each as a file of its own.
    What the library has is skipped, so the command may be run again at any time, also after an interruption.
    Days of which everything is there are shown in Dagster's grid too, where `ig-pipeline up` has made an instance.
    Stories older than 24 hours cannot be had from the API; those alive now are fetched.
    Exits with 0 when everything asked for is there, 3 when some of it is missing, 1 when nothing could be had,
    4 when a rate limit stopped it: `ig-pipeline up` goes on with it when the limit has passed, or run it again then.

    \b
    Examples:
      ig-pipeline backfill-instagram --dry-run
      ig-pipeline backfill-instagram --account acme.studio --since 2026-01-01
      ig-pipeline backfill-instagram --limit 5 --media-type feed
      ig-pipeline backfill-instagram --json | jq '.[].downloaded'
    """
    if account_key and account_id:
        raise CommandError("Name the account with --account or with --account-id, not with both.", ExitCode.USAGE)
    settings = load_settings()
    with open_database(settings) as engine:
        keys = _chosen(engine, account_key, account_id)
    if not keys:
        raise CommandError("No account is connected. `ig-pipeline connections add` connects one.", ExitCode.USAGE)
    options = BackfillOptions(media_type, limit, since.date() if since else None, None, dry_run)
    if options.stories and not as_json:
        err().print(STORIES_NOTE, style="dim")
    days: list[AccountDayResult] = []
    try:
        results = asyncio.run(_backfill(settings, keys, options, days.append))
    except (StoreError, NotConnectedError) as error:
        raise CommandError(str(error)) from error
    finally:
        # Stopped or not: what was written is in the grid too.
        tell_grid(settings, days)
    if as_json:
        print_json([result.as_dict() for result in results])
    else:
        print_results(results, dry_run=dry_run)
    sys.exit(exit_code(results))


def exit_code(results: Sequence[BackfillResult]) -> ExitCode:
    """What the accounts' backfills amount to."""
    statuses = {result.status for result in results}
    if statuses == {"complete"}:
        return ExitCode.OK
    if statuses == {"failed"}:
        return ExitCode.FAILED
    gained = any(result.tally.new or result.status == "complete" for result in results)
    return ExitCode.UNAVAILABLE if "deferred" in statuses and not gained else ExitCode.PARTIAL


def _chosen(engine: sa.Engine, account_key: str | None, account_id: str | None) -> list[str]:
    with reading(engine) as db:
        if account_key:
            return [by_account_key(db, account_key).account_key]
        connected = list_connections(db, statuses=[CONNECTED])
    found = [item.account_key for item in connected if account_id in (None, item.account_id)]
    if account_id and not found:
        raise CommandError(
            f"No connected account has the id {account_id}. `ig-pipeline connections list` shows them.", ExitCode.USAGE
        )
    return found


async def _backfill(
    settings: Settings, keys: Sequence[str], options: BackfillOptions, emit: Emit
) -> list[BackfillResult]:
    """One account after the other: a limit counts over all of them."""
    results: list[BackfillResult] = []
    async with open_services(settings) as services, open_media(settings) as media:
        run = SyncRun(services, f"cli-{uuid.uuid4()}", timeout=media.timeout)
        for key in keys:
            if (left := options.left_after(results)) is None:
                break
            with BackfillBar(key, dry_run=options.dry_run) as bar:
                by = f"cli:{_user()}"
                results.append(await backfill_account(run, media, key, left, bar, triggered_by=by, emit=emit))
    return results


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


_UNFINISHED_NOTE = (
    "running: under way, or its process died. interrupted: it broke off. The account's next backfill cleans up after "
    "either and continues from there; nothing needs to be repaired by hand."
)


@click.command("backfill-status")
@click.option("--account", "account_key", metavar="KEY", help="One account's backfills alone.")
@click.option("--runs", "limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="Backfills to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backfill_status(*, account_key: str | None, limit: int, as_json: bool) -> None:
    """Show the media library and the last backfills.

    \b
    How much there is; of each backfill when it began, who asked for it and what became of it.

    \b
    Stories older than 24 hours cannot be had from the API; those alive now are fetched.

    \b
    Examples:
      ig-pipeline backfill-status
      ig-pipeline backfill-status --account acme.studio --json
    """
    with open_database(load_settings()) as engine, reading(engine) as db:
        connection = by_account_key(db, account_key) if account_key else None
        size = media_items.size(
            db, u_id=connection.u_id if connection else None, account_id=connection.account_id if connection else None
        )
        runs = media_backfills.recent(db, account_key=account_key, limit=limit)
    if as_json:
        print_json({"library": asdict(size), "runs": [asdict(run) for run in runs]})
        return
    console = out()
    console.print(f"{size.items:,} media items in the library: {size.files:,} files, {size.bytes / 1e6:,.1f} MB.")
    if runs:
        print_runs(runs)
        for error in runs[0].errors:
            console.print(f"  {shown(str(error))}", style="red", markup=False, soft_wrap=True)
        if any(run.status in UNFINISHED for run in runs):
            console.print(_UNFINISHED_NOTE, style="yellow", soft_wrap=True)
    else:
        console.print("No backfill yet. `ig-pipeline backfill-instagram` makes one.")
    console.print(STORIES_NOTE, style="dim")
