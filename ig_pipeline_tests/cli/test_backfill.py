"""`backfill-instagram` and `backfill-status`: the names, the numbers and the exit codes that scripts rely on."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.cli.backfill import exit_code
from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import media_backfills, tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.results import BackfillResult, Status, Tally
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.media_grid import Grid
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account

LAST = NEWEST.date()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallWorld]:
    """One account with twelve files: nine pictures, a video, an album of two; and one withheld."""
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    world = World(given=[archive_account(["image"] * 9 + ["video", "album 2", "gone"])])
    with small_world(url, tmp_path / "data", world=world) as small:
        small.connect_all()
        yield small


def environment(small: SmallWorld) -> Mapping[str, str]:
    settings = small.settings
    assert settings.database_url is not None
    return {
        "IG_PIPELINE_DATA_DIR": str(settings.data_dir),
        "IG_PIPELINE_DATABASE_URL": settings.database_url.get_secret_value(),
        "IG_PIPELINE_GRAPH_URL": settings.graph_url or "",
    }


def test_a_backfill_from_the_command_line_fills_the_library_and_says_so(run: Run, small: SmallWorld) -> None:
    result = run("backfill-instagram", "--json", env=environment(small))
    assert result.exit_code == ExitCode.OK, result.stderr
    (account,) = json.loads(result.stdout)
    assert (account["status"], account["downloaded"], account["skipped_unsupported"], account["total_items"]) == (
        "complete", 12, 1, 12,
    )  # fmt: skip
    assert len(list((small.settings.home / "media").rglob("*.*"))) == 12
    again = run("backfill-instagram", env=environment(small))
    assert again.exit_code == ExitCode.OK
    assert "Duplicates" in again.stdout
    assert "24 hours" in again.stderr


def test_a_dry_run_writes_nothing_and_counts_what_would_come(run: Run, small: SmallWorld) -> None:
    result = run("backfill-instagram", "--dry-run", env=environment(small))
    assert result.exit_code == ExitCode.OK
    assert "Would download" in result.stdout and "12" in result.stdout
    assert not (small.settings.home / "media").exists()
    assert not small.rows(tables.media_backfills)


def test_limit_media_type_and_since_are_obeyed(run: Run, small: SmallWorld) -> None:
    arguments = ("--limit", "5", "--media-type", "feed", "--since", "2026-11-01", "--json")
    result = run("backfill-instagram", "--account-id", small.world.accounts[0].id, *arguments, env=environment(small))
    assert json.loads(result.stdout)[0]["downloaded"] == 5
    assert len(small.rows(tables.media_items)) == 5


def test_files_that_cannot_be_had_make_it_partial(run: Run, small: SmallWorld) -> None:
    archive = small.world.accounts[0].archive
    assert archive is not None
    small.simulator.cdn.faults[archive[0].id].extend(["html"] * 9)
    result = run("backfill-instagram", env=environment(small))
    assert result.exit_code == ExitCode.PARTIAL
    assert archive[0].id in result.stdout


def test_a_dead_token_is_a_failure_with_its_advice(run: Run, small: SmallWorld) -> None:
    small.revoke(small.world.accounts[0].username)
    result = run("backfill-instagram", env=environment(small))
    assert result.exit_code == ExitCode.FAILED
    assert "Access to acme.library has ended" in result.stdout


@pytest.fixture
def grid(small: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> Grid:
    """Dagster's instance, as `ig-pipeline up` makes it; and the command's clock is the small world's."""
    monkeypatch.setattr("ig_pipeline.cli.backfill.open_services", partial(open_services, clock=small.clock))
    prepare_home(small.settings)
    return Grid(small)


def test_dagsters_grid_shows_what_the_command_line_filled(run: Run, small: SmallWorld, grid: Grid) -> None:
    days = [LAST - timedelta(days=n) for n in range(3)]
    env = {**environment(small), "IG_PIPELINE_FIRST_DAY": days[-1].isoformat()}
    assert run("backfill-instagram", "--limit", "5", env=env).exit_code == ExitCode.OK
    assert run("backfill-instagram", "--media-type", "stories", env=env).exit_code == ExitCode.OK
    assert run("backfill-instagram", "--dry-run", env=env).exit_code == ExitCode.OK
    assert grid.files() == {}
    assert run("backfill-instagram", env=env).exit_code == ExitCode.OK
    assert grid.files() == {days[0]: 4, days[1]: 3, days[2]: 0}
    assert run("backfill-instagram", env=env).exit_code == ExitCode.OK
    assert grid.files() == {days[0]: 4, days[1]: 3, days[2]: 0}  # what is there already keeps its event


def test_a_day_that_lacks_a_file_stays_without_colour_and_says_why(run: Run, small: SmallWorld, grid: Grid) -> None:
    archive = small.world.accounts[0].archive
    assert archive is not None
    small.simulator.cdn.faults[archive[0].id].extend(["html"] * 9)
    env = {**environment(small), "IG_PIPELINE_FIRST_DAY": (LAST - timedelta(days=1)).isoformat()}
    assert run("backfill-instagram", env=env).exit_code == ExitCode.PARTIAL
    assert grid.files() == {LAST - timedelta(days=1): 3}
    assert archive[0].id in grid.observed()[f"acme.library|{LAST}"]
    small.simulator.cdn.faults.clear()
    assert run("backfill-instagram", env=env).exit_code == ExitCode.OK
    assert grid.files() == {LAST: 1, LAST - timedelta(days=1): 3}


@pytest.mark.parametrize("arguments", [("--account", "nobody"), ("--account-id", "1"), ("--limit", "0"),
                                       ("--account", "a", "--account-id", "1"), ("--since", "yesterday")])  # fmt: skip
def test_wrong_arguments_are_refused_in_words(run: Run, small: SmallWorld, arguments: tuple[str, ...]) -> None:
    result = run("backfill-instagram", *arguments, env=environment(small))
    assert result.exit_code == ExitCode.USAGE
    assert "Traceback" not in result.output


def test_the_status_tells_the_librarys_size_and_who_asked(run: Run, small: SmallWorld) -> None:
    before = run("backfill-status", env=environment(small))
    assert "No backfill yet" in before.stdout and "24 hours" in before.stdout
    run("backfill-instagram", env=environment(small))
    shown = run("backfill-status", env=environment(small))
    assert "12 media items in the library: 12 files" in shown.stdout
    assert "cli:" in shown.stdout and "complete" in shown.stdout
    status = json.loads(run("backfill-status", "--account", "acme.library", "--json", env=environment(small)).stdout)
    assert status["library"]["items"] == 12
    assert status["runs"][0]["counts"]["downloaded"] == 12


def test_the_status_says_what_becomes_of_a_backfill_that_never_ended(run: Run, small: SmallWorld) -> None:
    connection = small.connection("acme.library")
    with small.engine.begin() as db:
        media_backfills.begin(db, connection, run_id="dead", triggered_by="cli:x", options={}, now=small.clock())
    shown = run("backfill-status", env=environment(small))
    assert "running" in shown.stdout and "nothing needs to be repaired by hand" in shown.stdout
    run("backfill-instagram", env=environment(small))
    after = run("backfill-status", env=environment(small))
    assert "recovered" in after.stdout and "nothing needs to be repaired" not in after.stdout


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["complete"], ExitCode.OK),
        (["complete", "failed"], ExitCode.PARTIAL),
        (["partial"], ExitCode.PARTIAL),
        (["failed"], ExitCode.FAILED),
        (["deferred"], ExitCode.UNAVAILABLE),
        (["complete", "deferred"], ExitCode.PARTIAL),
    ],
)
def test_exit_codes_tell_complete_partial_and_failed_apart(statuses: list[Status], code: ExitCode) -> None:
    assert exit_code([BackfillResult("a", status, Tally(), 0, 0.0) for status in statuses]) == code
