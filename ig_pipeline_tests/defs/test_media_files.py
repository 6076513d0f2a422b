"""The month of an account as files: cells green one by one, pictures in them, nothing that starts by itself."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from ig_pipeline.definitions import build
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS, RANGE_END, RANGE_START
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import OPTIONS_TAG
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account

LAST = NEWEST.date()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallWorld]:
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    world = World(given=[archive_account(["image"] * 9 + ["video"] * 9 + ["image", "album 2"] * 9)])
    with small_world(url, tmp_path / "data", world=world, first_day=date(2026, 9, 1)) as small:
        small.connect_all()
        yield small


def run(small: SmallWorld, days: int, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    definitions = build(Pipeline(settings_of=lambda: small.settings, clock=small.clock))
    key = small.world.accounts[0].username
    instance.add_dynamic_partitions(str(ACCOUNTS.name), [key])
    first = LAST - timedelta(days=days - 1)
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[MEDIA_FILES],
        tags={RANGE_START: f"{key}|{first}", RANGE_END: f"{key}|{LAST}"},
        raise_on_error=False,
    )


def cells(instance: dg.DagsterInstance) -> dict[str, dg.AssetMaterialization]:
    records = instance.fetch_materializations(MEDIA_FILES, limit=100).records
    found = [record.asset_materialization for record in records]
    return {str(cell.partition).partition("|")[2]: cell for cell in found if cell is not None}


def test_a_month_of_an_account_is_backfilled_in_one_run_and_shows_its_pictures(small: SmallWorld) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(small, 30, instance).success
        shown = cells(instance)
    assert len(shown) == 30
    newest = shown[LAST.isoformat()].metadata
    assert newest["files"].value == 9
    assert newest["bytes"].value == sum(
        row["file_size_bytes"] for row in small.rows(tables.media_items) if row["date"] == LAST
    )
    for day in (LAST, LAST - timedelta(days=1)):  # a day of pictures, a day of videos
        preview = str(shown[day.isoformat()].metadata["preview"].value)
        assert preview.count("![post](data:image/webp;base64,") == 2
        assert len(preview) < 1_000
    assert "preview" not in shown[(LAST - timedelta(days=20)).isoformat()].metadata
    assert "http" not in str(newest)


def test_a_day_with_a_lost_file_is_red_and_the_others_green(small: SmallWorld) -> None:
    archive = small.world.accounts[0].archive
    assert archive is not None
    small.simulator.cdn.faults[archive[0].id].extend(["html"] * 5)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(small, 3, instance)
        shown = cells(instance)
    assert not result.success
    assert set(shown) == {(LAST - timedelta(days=n)).isoformat() for n in (1, 2)}


def test_the_nightly_schedule_is_shipped_stopped(small: SmallWorld) -> None:
    definitions = build(Pipeline(settings_of=lambda: small.settings))
    schedule = definitions.resolve_schedule_def("nightly_media_files")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert f"`{OPTIONS_TAG}`" in (definitions.resolve_asset_graph().get(MEDIA_FILES).description or "")
