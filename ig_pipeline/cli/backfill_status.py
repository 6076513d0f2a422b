"""`ig-pipeline backfill-status`: how large the library is, and what the last backfills did.

Reads and shows; the rows are `storage`'s.
"""

from dataclasses import asdict

import click

from ig_pipeline.cli.backfill_table import print_runs
from ig_pipeline.cli.console import out, print_json, shown
from ig_pipeline.cli.opening import open_database
from ig_pipeline.settings import load_settings
from ig_pipeline.storage import media_backfills, media_items
from ig_pipeline.storage.connections import by_account_key
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.media_backfills import UNFINISHED
from ig_pipeline.sync.media_files.results import STORIES_NOTE

_UNFINISHED_NOTE = (
    "running: under way, or its process died. interrupted: it broke off. The account's next backfill looks after what "
    "either left and goes on from there; nothing needs mending by hand."
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
