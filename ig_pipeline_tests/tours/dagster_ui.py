"""Dagster's UI as an operator uses it: the grid, a backfill of five cells, a failed cell's reason, its retry.

Run by `make tour`. Fails with what was different; the pictures are in the folder it names at the end.
"""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.database import open_engine
from ig_pipeline_tests.cli.test_up import connect, environment, settings_for, thirty_days
from ig_pipeline_tests.cli.up_process import UpProcess, up_process, wait_for
from ig_pipeline_tests.tours.browser import Album, browser_page

ASSET = "account_insights"
PICTURES = Path(".ig_pipeline/tour")


class Tour:
    """What the stops of the tour share."""

    def __init__(self, up: UpProcess, page: Page, album: Album, simulator: RunningSimulator) -> None:
        self.up = up
        self.page = page
        self.album = album
        self.simulator = simulator
        self.names = [account.username for account in simulator.world.accounts]
        self.today = instagram_day(datetime.now(UTC))

    def day(self, ago: int) -> date:
        return self.today - timedelta(days=ago)

    def green(self, name: str) -> set[date]:
        """The account's green cells, from Dagster's own books."""
        with dg.DagsterInstance.from_config(str(self.up.home)) as instance:
            cells = [cell.split("|") for cell in instance.get_materialized_partitions(dg.AssetKey(ASSET))]
        return {date.fromisoformat(day) for key, day in cells if key == name}

    def open_grid(self, cell: str = "") -> None:
        selected = f"&partition={cell.replace('|', '%7C')}" if cell else ""
        self.page.goto(f"http://127.0.0.1:{self.up.port}/assets/{ASSET}?view=partitions{selected}")
        expect(self.page.get_by_text("Missing (").first).to_be_visible()
        for name in self.names:
            expect(self.page.locator("span", has_text=name).first).to_be_visible()
        self.page.wait_for_timeout(1_500)  # the bars are drawn on a canvas that tells nobody when it is done

    def launch(self, name: str, first: date, last: date, picture: str, *, only_missing: bool = False) -> None:
        """A backfill from the UI's own dialog."""
        self.open_grid(f"{name}|{last}")
        self.page.get_by_role("button", name="Materialize").first.click()
        dialog = self.page.get_by_role("dialog")
        days = dialog.locator("input[type=text]").last
        days.fill(f"[{first}...{last}]")
        days.press("Enter")
        if only_missing:
            dialog.get_by_text("Backfill only failed and missing partitions").click()
        expect(dialog.get_by_text("partitions", exact=False).first).to_be_visible()
        self.page.wait_for_timeout(1_000)
        self.album.take(self.page, picture)
        dialog.get_by_role("button", name="Launch").click()
        expect(self.page.get_by_text("Created backfill").first).to_be_visible()


def grid_shows_accounts_and_days(tour: Tour) -> None:
    tour.open_grid()
    for name in tour.names:
        expect(tour.page.locator("span", has_text=name).first).to_be_visible()
    expect(tour.page.locator("span", has_text=str(tour.day(1))).first).to_be_visible()
    tour.open_grid(f"{tour.names[0]}|{tour.day(2)}")
    expect(tour.page.get_by_text("reach", exact=True).first).to_be_visible()
    tour.album.take(tour.page, "grid")


def backfill_of_five_days_fills_exactly_those(tour: Tour) -> None:
    name, first, last = tour.names[0], tour.day(40), tour.day(36)
    before = tour.green(name)
    others = {other: tour.green(other) for other in tour.names[1:]}
    tour.launch(name, first, last, "backfill-dialog")
    wait_for(lambda: len(tour.green(name)) > len(before) + 4 or None, what="five cells")
    tour.up.finished_runs(len(tour.names) + 1)
    expected = before | {tour.day(ago) for ago in range(36, 41)}
    assert tour.green(name) == expected, "other cells than the five were filled"
    assert {other: tour.green(other) for other in tour.names[1:]} == others
    tour.open_grid(f"{name}|{first}")
    tour.album.take(tour.page, "five-filled")


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
    tour.page.goto(f"http://127.0.0.1:{tour.up.port}/runs/{tour.up.runs()[0]['runId']}")
    expect(tour.page.get_by_text("cells failed").first).to_be_visible()
    tour.album.take(tour.page, "its-run")


def missing_and_failed_only_retries_only_those(tour: Tour, settings: Settings, engine: sa.Engine) -> None:
    name = tour.names[1]
    # Its tokens of the one login are dead for good: the owner connects by the other.
    connect(settings, tour.simulator, engine, name, "instagram")
    before, runs = tour.green(name), len(tour.up.runs())
    tour.launch(name, tour.day(34), tour.day(25), "only-failed-and-missing", only_missing=True)
    wait_for(lambda: len(tour.green(name)) >= len(before) + 4 or None, what="the missing cells")
    (retry, *_) = tour.up.finished_runs(runs + 1)
    asked = [retry["tags"][f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert asked == [f"{name}|{tour.day(34)}", f"{name}|{tour.day(31)}"], asked
    tour.open_grid(f"{name}|{tour.day(33)}")
    tour.album.take(tour.page, "retried")


def other_pages(tour: Tour) -> None:
    base = f"http://127.0.0.1:{tour.up.port}"
    for path, text, name in (
        ("/automation", "nightly_sync", "automation"),
        ("/runs", "Success", "runs"),
        ("/asset-groups", "daily_metrics", "lineage"),
        ("/assets/daily_metrics?view=overview", "engagement", "asset"),
    ):
        tour.page.goto(base + path)
        expect(tour.page.get_by_text(text).first).to_be_visible()
        tour.page.wait_for_timeout(1_500)
        tour.album.take(tour.page, name)


def checks_can_be_executed(tour: Tour) -> None:
    tour.page.goto(f"http://127.0.0.1:{tour.up.port}/assets/daily_metrics?view=checks")
    tour.page.get_by_role("button", name="Execute all").click()
    expect(tour.page.get_by_text("Passed").first).to_be_visible(timeout=120_000)
    tour.album.take(tour.page, "checks")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_simulator(World(accounts=3)) as simulator,
    ):
        settings = settings_for(simulator, Path(folder) / "data")
        first_day = (instagram_day(datetime.now(UTC)) - timedelta(days=60)).isoformat()
        env = {**environment(settings), "IG_PIPELINE_FIRST_DAY": first_day}
        with up_process(settings.data_dir, "up", env=env) as up, browser_page() as page:
            up.says("Dagster's UI")
            engine = open_engine(settings.effective_database_url)
            for name in [account.username for account in simulator.world.accounts]:
                connect(settings, simulator, engine, name)
            tour = Tour(up, page, Album(PICTURES), simulator)
            for account in simulator.world.accounts:
                thirty_days(engine, connect(settings, simulator, engine, account.username))
            up.finished_runs(len(tour.names))
            for stop in (grid_shows_accounts_and_days, backfill_of_five_days_fills_exactly_those):
                stop(tour)
                print(f"ok  {stop.__name__.replace('_', ' ')}", flush=True)
            failed_cell_shows_its_reason(tour)
            print("ok  failed cell shows its reason", flush=True)
            missing_and_failed_only_retries_only_those(tour, settings, engine)
            print("ok  missing and failed only retries only those", flush=True)
            checks_can_be_executed(tour)
            print("ok  checks can be executed", flush=True)
            other_pages(tour)
            engine.dispose()
    print(f"Pictures: {PICTURES.resolve()}")


if __name__ == "__main__":
    main()
