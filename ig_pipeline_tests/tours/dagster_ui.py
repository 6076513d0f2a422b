"""Dagster's UI as an operator uses it: the grid, a backfill of five cells, a month of files with their pictures in the
cells, a failed cell's reason, its retry, the checks.

Run by `make tour`. Fails with what was different; the pictures are in the folder it names at the end.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from playwright.sync_api import Locator, Page, expect

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import open_engine
from ig_pipeline_tests.cli.test_up import connect, environment, settings_for, thirty_days
from ig_pipeline_tests.cli.up_process import UpProcess, up_process, wait_for
from ig_pipeline_tests.tours.browser import PATIENCE, Album, chromium, new_page

INSIGHTS = "account_insights"
FILES = "media_files"


class Tour:
    """What the stops of the tour share."""

    def __init__(
        self,
        up: UpProcess,
        page: Page,
        album: Album,
        simulator: RunningSimulator,
        settings: Settings,
        engine: sa.Engine,
    ) -> None:
        self.up = up
        self.page = page
        self.album = album
        self.simulator = simulator
        self.settings = settings
        self.engine = engine
        self.names = [account.username for account in simulator.world.accounts]
        self.today = instagram_day(datetime.now(UTC))

    def day(self, ago: int) -> date:
        return self.today - timedelta(days=ago)

    def green(self, name: str, asset: str = INSIGHTS) -> set[date]:
        """The account's green cells, from Dagster's own books."""
        with dg.DagsterInstance.from_config(str(self.up.home)) as instance:
            cells = [cell.split("|") for cell in instance.get_materialized_partitions(dg.AssetKey(asset))]
        return {date.fromisoformat(day) for key, day in cells if key == name}

    def open(self, path: str) -> None:
        self.page.goto(f"http://127.0.0.1:{self.up.port}{path}")

    def open_grid(self, cell: str = "", *, asset: str = INSIGHTS) -> None:
        selected = f"&partition={cell.replace('|', '%7C')}" if cell else ""
        self.open(f"/assets/{asset}?view=partitions{selected}")
        expect(self.page.get_by_text("Missing (").first).to_be_visible()
        for name in self.names:
            expect(self.page.locator("span", has_text=name).first).to_be_visible()

    def row(self, name: str) -> Locator:
        """The value of a cell's metadata."""
        return self.page.locator("tr", has=self.page.locator("td", has_text=name).first).locator("td").nth(1)

    def ask(self, first: date, last: date, picture: str, *, only_missing: bool = False, account: str = "") -> None:
        """Fill in and send the open dialog. `account`: chosen in it; else the one of the cell that was open."""
        dialog = self.page.get_by_role("dialog")
        days = dialog.get_by_placeholder("ex: ")
        days.wait_for()
        if account:
            dialog.get_by_text("Select a partition or create one").first.click()
            self.page.get_by_text(account, exact=True).filter(visible=True).last.click()
            dialog.get_by_text("Launch runs to materialize").click()  # closes the list
        days.fill(f"[{first}...{last}]")
        days.press("Enter")
        expect(dialog.get_by_text(f"{(last - first).days + 1} partitions").first).to_be_visible()
        if only_missing:
            dialog.get_by_text("Backfill only failed and missing partitions").click()
        self.album.take(self.page, picture)
        dialog.get_by_role("button", name="Launch").click()
        expect(self.page.get_by_text("Created backfill").first).to_be_visible()

    def launch(self, name: str, first: date, last: date, picture: str, *, only_missing: bool = False) -> None:
        """A backfill of insights from a cell's page."""
        self.open_grid(f"{name}|{last}")
        self.page.get_by_role("button", name="Materialize").first.click()
        self.ask(first, last, picture, only_missing=only_missing)


def grid_shows_accounts_and_days(tour: Tour) -> None:
    tour.open_grid()
    expect(tour.page.locator("span", has_text=str(tour.day(1))).first).to_be_visible()
    tour.open_grid(f"{tour.names[0]}|{tour.day(2)}")
    expect(tour.page.get_by_text("reach", exact=True).first).to_be_visible()
    tour.album.take(tour.page, "grid")


def backfill_of_five_days_fills_exactly_those(tour: Tour) -> None:
    name, first, last = tour.names[0], tour.day(40), tour.day(36)
    before, runs = tour.green(name), len(tour.up.runs())
    others = {other: tour.green(other) for other in tour.names[1:]}
    tour.launch(name, first, last, "backfill-dialog")
    tour.up.finished_runs(runs + 1)
    expected = before | {tour.day(ago) for ago in range(36, 41)}
    assert tour.green(name) == expected, "other cells than the five were filled"
    assert {other: tour.green(other) for other in tour.names[1:]} == others
    tour.open_grid(f"{name}|{first}")
    tour.album.take(tour.page, "five-filled")


def month_of_files_shows_its_pictures(tour: Tour) -> None:
    name, runs = tour.names[0], len(tour.up.runs())
    month = {tour.day(ago) for ago in range(1, 31)}
    tour.open(f"/assets/{FILES}")
    expect(tour.page.get_by_text("Never materialized").first).to_be_visible()
    tour.album.take(tour.page, "files-asset")
    tour.page.get_by_role("button", name="Materialize").first.click()
    tour.ask(min(month), max(month), "files-dialog", account=name)
    tour.up.finished_runs(runs + 1)
    assert tour.green(name, FILES) == month
    newest, *_ = days = days_with_files(tour, name)
    assert len(days) > 10, "a busy account posts on most days"
    for day, picture in ((newest, "files-cell"), (min(set(month) - set(days)), "files-cell-of-a-day-without-posts")):
        tour.open_grid(f"{name}|{day}", asset=FILES)
        expect(tour.row("files")).to_have_text(str(files_of(tour, name, day)))
        for key in ("bytes", "duplicates", "failures"):
            expect(tour.row(key)).to_be_visible()
        tour.album.take(tour.page, picture)
    for day in days:
        tour.open_grid(f"{name}|{day}", asset=FILES)
        pictures = tour.page.get_by_alt_text("post")
        expect(pictures.first).to_be_visible()
        widths = [picture.evaluate("e => e.complete && e.naturalWidth") for picture in pictures.all()]
        assert all(widths), f"{day}: a picture is not drawn"
    tour.open_grid(asset=FILES)
    expect(tour.page.get_by_text("Materialized (30)").first).to_be_visible()
    tour.album.take(tour.page, "files-grid")


def files_of(tour: Tour, name: str, day: date) -> int:
    """How many files the library has of the day."""
    table, account_id = tables.media_items, tour.simulator.world.account(name).id
    mine = sa.select(sa.func.count()).where(table.c.account_id == account_id, table.c.date == day)
    with tour.engine.connect() as db:
        return int(db.execute(mine).scalar_one())


def days_with_files(tour: Tour, name: str) -> list[date]:
    """Newest first."""
    return [tour.day(ago) for ago in range(1, 31) if files_of(tour, name, tour.day(ago))]


def failed_cell_shows_its_reason(tour: Tour) -> None:
    name = tour.names[1]
    subject = tour.simulator.simulation.subject_of(name, "facebook")
    tour.simulator.simulation.book.kill("facebook", subject, at=datetime.now(UTC), subcode=458)
    runs = len(tour.up.runs())
    tour.launch(name, tour.day(34), tour.day(32), "dialog-of-a-revoked-account")
    tour.up.finished_runs(runs + 1)
    tour.open_grid(f"{name}|{tour.day(33)}")
    expect(tour.page.get_by_text("failed, and did not materialize").first).to_be_visible()
    tour.album.take(tour.page, "failed-cell")
    tour.page.get_by_text("View all historical events").click()
    tour.page.get_by_role("dialog").get_by_role("button", name="arrow_drop_down").first.click()
    expect(tour.page.get_by_text(f"Access to {name} has ended").first).to_be_visible()
    tour.album.take(tour.page, "its-reason")
    tour.open(f"/runs/{tour.up.runs()[0]['runId']}")
    expect(tour.page.get_by_text("cells failed").first).to_be_visible()
    tour.album.take(tour.page, "its-run")


def missing_and_failed_only_retries_only_those(tour: Tour) -> None:
    name = tour.names[1]
    # Its tokens of the one login are dead for good: the owner connects by the other.
    connect(tour.settings, tour.simulator, tour.engine, name, "instagram")
    before, runs = tour.green(name), len(tour.up.runs())
    tour.launch(name, tour.day(34), tour.day(25), "only-failed-and-missing", only_missing=True)
    wait_for(lambda: len(tour.green(name)) >= len(before) + 4 or None, what="the missing cells")
    (retry, *_) = tour.up.finished_runs(runs + 1)
    asked = [retry["tags"][f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert asked == [f"{name}|{tour.day(34)}", f"{name}|{tour.day(31)}"], asked
    tour.open_grid(f"{name}|{tour.day(33)}")
    tour.album.take(tour.page, "retried")


def checks_can_be_executed(tour: Tour) -> None:
    tour.open("/assets/daily_metrics?view=checks")
    tour.page.get_by_role("button", name="Execute all").click()
    expect(tour.page.get_by_text("Passed").first).to_be_visible(timeout=2 * PATIENCE * 1000)
    tour.album.take(tour.page, "checks")


def other_pages(tour: Tour) -> None:
    for path, text, name in (
        ("/automation", "nightly_sync", "automation"),
        ("/runs", "Success", "runs"),
        ("/asset-groups", "daily_metrics", "lineage"),
        ("/assets/daily_metrics?view=overview", "engagement", "asset"),
        (f"/assets/{FILES}?view=overview", "preview", "files-overview"),
    ):
        tour.open(path)
        expect(tour.page.get_by_text(text).first).to_be_visible()
        tour.album.take(tour.page, name)


@contextmanager
def connected_accounts(album: Album) -> Iterator[Tour]:
    """Three accounts with their thirty days, `ig-pipeline up` behind them, a browser before it."""
    with tempfile.TemporaryDirectory() as folder, running_simulator(World(accounts=3)) as simulator:
        settings = settings_for(simulator, Path(folder) / "data")
        first_day = (instagram_day(datetime.now(UTC)) - timedelta(days=60)).isoformat()
        env = {**environment(settings), "IG_PIPELINE_FIRST_DAY": first_day}
        with up_process(settings.data_dir, "up", env=env) as up, chromium() as browser:
            up.says("Dagster's UI")
            engine = open_engine(settings.effective_database_url)
            for account in simulator.world.accounts:
                thirty_days(engine, connect(settings, simulator, engine, account.username))
            up.finished_runs(len(simulator.world.accounts))
            yield Tour(up, new_page(browser, width=1400, height=900), album, simulator, settings, engine)
            engine.dispose()


def main(folder: Path) -> None:
    with connected_accounts(Album(folder)) as tour:
        for stop in (
            grid_shows_accounts_and_days,
            backfill_of_five_days_fills_exactly_those,
            month_of_files_shows_its_pictures,
            failed_cell_shows_its_reason,
            missing_and_failed_only_retries_only_those,
            checks_can_be_executed,
            other_pages,
        ):
            stop(tour)
            print(f"ok  {stop.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print(f"Pictures: {sys.argv[1]}")
