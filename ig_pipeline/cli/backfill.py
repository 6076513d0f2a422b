"""`ig-pipeline backfill-instagram`: media files into the library, with a live bar and a table at the end.

What is fetched, kept and counted is `sync.media_files`'; here are options, progress and words.
"""

import asyncio
import getpass
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import click
import sqlalchemy as sa

from ig_pipeline.cli.backfill_progress import BackfillBar
from ig_pipeline.cli.backfill_table import print_results
from ig_pipeline.cli.console import err, print_json
from ig_pipeline.cli.exit_codes import ExitCode
from ig_pipeline.cli.failures import CommandError
from ig_pipeline.cli.grid import tell_grid
from ig_pipeline.cli.opening import open_database
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.connections import CONNECTED, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.sync.account_sync import Emit
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.failures import NotConnectedError
from ig_pipeline.sync.media_files.results import STORIES_NOTE, BackfillOptions, BackfillResult, MediaTypes
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncRun


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
        run = SyncRun(services, f"cli-{uuid.uuid4()}", patience=media.patience)
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
