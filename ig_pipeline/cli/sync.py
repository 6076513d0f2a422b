"""`ig-pipeline sync`: the engine without Dagster, with a progress bar and a summary.

What is fetched and written is the engine's; Dagster's grid is told when there is an instance.
"""

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import click
import sqlalchemy as sa
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ig_pipeline.cli.console import err, out, print_json
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database, tell_grid
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.errors import UnreachableError
from ig_pipeline.graph_api.reachability import look
from ig_pipeline.meta import hosts, sentence_of
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.storage.connections import CONNECTED, Connection, by_account_key, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.sync import registry
from ig_pipeline.sync.engine import open_services, sync_account_days, take_snapshots
from ig_pipeline.sync.plan import initial_window
from ig_pipeline.sync.requests.claiming import Due, due_of
from ig_pipeline.sync.requests.ending import answer
from ig_pipeline.sync.results import AccountDayResult, FetchResult, summarise


@click.command("sync")
@click.option("--account", "accounts", multiple=True, metavar="KEY", help="Account key; may be repeated.")
@click.option("--all", "everyone", is_flag=True, help="Every connected account.")
@click.option("--days", default=3, show_default=True, type=click.IntRange(1, 365), help="Newest complete days.")
@click.option(
    "--asset",
    "assets",
    multiple=True,
    type=click.Choice([stream.name for stream in registry.streams() if stream.fetch]),
    default=registry.grid(),
    help=f"What to fetch; may be repeated. Default: {', '.join(registry.grid())}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync(accounts: tuple[str, ...], everyone: bool, days: int, assets: tuple[str, ...], as_json: bool) -> None:
    """Fetch the newest complete days of an account, without Dagster.

    \b
    Days that are there already are fetched again and updated. --all takes what is due in the queue too, whatever
    --days says: the first days of accounts that are new (IG_PIPELINE_INITIAL_BACKFILL_DAYS), and what was put off by
    a rate limit or failed temporarily. `ig-pipeline up` does that by itself; where it does not run, let cron run
    `ig-pipeline sync --all`. Where `ig-pipeline up` has made a Dagster instance, its grid shows the cells too.
    Exits with 0 when every day is complete, 3 when some are, 1 when none is, 4 when a rate limit or the network
    stopped all of it.

    \b
    Examples:
      ig-pipeline sync --account acme.studio --days 30
      ig-pipeline sync --all
      ig-pipeline sync --all --asset stories
      ig-pipeline sync --account acme.studio --json | jq '.[].total_inserted'
    """
    if bool(accounts) == everyone:
        raise CommandError("Which accounts? Name them with --account, or take --all.", ExitCode.USAGE)
    settings = load_settings()
    began = utc_now()  # midnight may strike before the end
    with open_database(settings) as engine, reading(engine) as db:
        chosen = _chosen(db, accounts)
        due = due_of(db, chosen, settings=settings, now=began)
    cells = _cells(settings, chosen, days, due if everyone else (), now=began)
    if not any(cells.values()):
        click.echo("Nothing to do: no connected account, or no day since IG_PIPELINE_FIRST_DAY.", err=True)
        return
    results: list[AccountDayResult] = []
    run_id = f"cli-{uuid.uuid4()}"
    _warn_if_unreachable(settings)
    try:
        # Whoever names an account wants all of it; --all is the night's work.
        asyncio.run(_sync(settings, cells, results, run_id=run_id, assets=assets, asks_everything=not everyone))
    finally:
        # Stopped or not: what was written is in the grid too.
        tell_grid(settings, results)
    with open_database(settings) as engine, engine.begin() as db:
        answer(db, due, results, run_id=run_id, began=began, now=utc_now())
    summaries = summarise(results)
    if as_json:
        print_json([summary.as_dict() for summary in summaries])
    else:
        _print(summaries, results, asset=registry.chosen(assets)[-1].name)
    sys.exit(exit_code(results))


def _warn_if_unreachable(settings: Settings) -> None:
    """The engine is patient with a Meta that does not answer; who watches should know why nothing moves."""
    try:
        look(hosts(settings), settings.login, clock=utc_now)
    except UnreachableError as error:
        click.echo(f"{sentence_of(error)} Trying on for some minutes; Ctrl-C stops it.", err=True)


def exit_code(results: Sequence[AccountDayResult]) -> ExitCode:
    """What the cells amount to."""
    count = Counter(result.status for result in results)
    if count["complete"] == len(results):
        return ExitCode.OK
    if count["complete"] or count["partial"]:
        return ExitCode.PARTIAL
    return ExitCode.UNAVAILABLE if not count["failed"] or _only_unreachable(results) else ExitCode.FAILED


def _only_unreachable(results: Sequence[AccountDayResult]) -> bool:
    return all(result.status == "deferred" or (result.is_retryable and result.actor == "no_one") for result in results)


def _chosen(db: sa.Connection, accounts: tuple[str, ...]) -> list[Connection]:
    if accounts:
        return [by_account_key(db, account) for account in dict.fromkeys(accounts)]
    return list_connections(db, statuses=[CONNECTED])


def _cells(
    settings: Settings, chosen: Sequence[Connection], days: int, due: Sequence[Due], *, now: datetime
) -> dict[str, list[date]]:
    """The days of each account, those of `due` included, oldest first; none where no complete day lies in the grid."""
    window = initial_window(instagram_day(now), days, first_day=settings.first_day)
    cells = {connection.account_key: set(window.days if window else ()) for connection in chosen}
    for one in due:
        cells[one.request.account_key].update(one.window.days)
    return {account_key: sorted(wanted) for account_key, wanted in cells.items()}


async def _sync(
    settings: Settings,
    cells: Mapping[str, Sequence[date]],
    results: list[AccountDayResult],
    *,
    run_id: str,
    assets: Sequence[str],
    asks_everything: bool,
) -> None:
    """Fill `results` as cells are settled, with a bar for each account."""
    moments = [stream.name for stream in registry.snapshots() if stream.name in assets]
    of_days = [name for name in assets if name not in moments]
    left = {(key, day): len(of_days) for key, days in cells.items() for day in days}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"))
    with Progress(*columns, TimeElapsedColumn(), console=err(), transient=False) as progress:
        bars: dict[str, TaskID] = {
            key: progress.add_task(key, total=len(days)) for key, days in cells.items() if of_days
        }
        async with open_services(settings) as services:
            for asset in moments:
                async for result in take_snapshots(services, cells, asset=asset, run_id=run_id):
                    results.append(result)
            filling = sync_account_days(
                services, cells if of_days else {}, assets=of_days, run_id=run_id, asks_everything=asks_everything
            )
            async for result in filling:
                results.append(result)
                left[result.account_key, result.date] -= 1
                if left[result.account_key, result.date] == 0:
                    progress.advance(bars[result.account_key])


def _print(summaries: Sequence[FetchResult], results: Sequence[AccountDayResult], *, asset: str) -> None:
    """`asset`: the one whose days are counted, made of the others."""
    days = Counter(result.account_key for result in results if result.asset == asset)
    complete = Counter(
        result.account_key for result in results if result.asset == asset and result.status == "complete"
    )
    calls = Counter[str]()
    for result in results:
        calls[result.account_key] += result.calls
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Account", "Complete", "Rows", "Calls", "Errors", "Deferred"):
        table.add_column(heading, justify="left" if heading == "Account" else "right", overflow="fold")
    for summary in summaries:
        table.add_row(
            summary.account_key,
            f"{complete[summary.account_key]}/{days[summary.account_key]} days",
            f"{summary.total_inserted:,}",
            f"{calls[summary.account_key]:,}",
            Text(str(summary.total_errors), style="red" if summary.total_errors else "dim"),
            Text(str(summary.deferred), style="yellow" if summary.deferred else "dim"),
        )
    console = out()
    console.print(table)
    # A fault of the app is the same sentence for every account.
    for error in dict.fromkeys(error for summary in summaries for error in summary.errors[:5]):
        console.print(Text(error, style="red"), soft_wrap=True)
    for sentence in _partial_sentences(results):
        console.print(Text(sentence, style="yellow"), soft_wrap=True)
    for sentence in dict.fromkeys(result.error for result in results if result.status == "deferred" and result.error):
        console.print(Text(sentence, style="yellow"), soft_wrap=True)
    if later := [result.retry_at for result in results if result.retry_at is not None]:
        console.print(
            f"What is due from {min(later):%Y-%m-%d %H:%M} UTC on is fetched by `ig-pipeline up` while it runs, or "
            f"else by the next `ig-pipeline sync --all` after that.",
            soft_wrap=True,
        )


def _partial_sentences(results: Sequence[AccountDayResult]) -> list[str]:
    """A line per account and what its days lack, though Instagram named no reason."""
    days: dict[tuple[str, tuple[str, ...]], set[date]] = {}
    for result in results:
        if result.status == "partial":
            days.setdefault((result.account_key, result.lacking), set()).add(result.date)
    return [
        f"{key}: {len(of)} days lack {', '.join(lacking)}: Instagram left it out without a reason."
        for (key, lacking), of in days.items()
    ]
