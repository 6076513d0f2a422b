"""What stands beside the grid, as Dagster sees it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from ig_pipeline.definitions import build
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.sync.harness import SmallWorld, small_world


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallWorld]:
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with small_world(url, tmp_path / "data") as built:
        yield built


def run(small: SmallWorld, *assets: str, tags: dict[str, str] | None = None) -> dict[str, dict[str, object]]:
    """Asset → metadata of its materialization; raises nothing, a failed run materialized what it could."""
    definitions = build(Pipeline(settings_of=lambda: small.settings, clock=small.clock))
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(name) for name in assets], tags=tags, raise_on_error=False
        )
        shown: dict[str, dict[str, object]] = {"run": {"success": result.success}}
        for name in assets:
            for record in instance.fetch_materializations(dg.AssetKey(name), limit=1).records:
                assert record.asset_materialization is not None
                metadata = record.asset_materialization.metadata
                shown[name] = {key: value.value for key, value in metadata.items()}
    return shown


def test_demographics_followers_online_and_stories_are_materialized_for_every_account(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.connect("little.letterpress")
    shown = run(small, "demographics", "online_followers", "stories")
    assert shown["run"]["success"]
    for name, table in (
        ("demographics", tables.audience_demographics),
        ("online_followers", tables.online_followers),
        ("stories", tables.stories),
    ):
        assert shown[name]["accounts"] == 2
        assert shown[name]["rows"] == len(small.rows(table))
    assert "100 followers" in str(shown["online_followers"]["per account"])


def test_the_daily_schedule_asks_for_demographics_once_a_week(small: SmallWorld) -> None:
    small.connect("acme.studio")
    by_schedule = {"dagster/schedule_name": "audience_refresh"}
    assert run(small, "demographics", tags=by_schedule)["demographics"]["accounts"] == 1
    small.clock.advance(timedelta(days=1))
    assert run(small, "demographics", tags=by_schedule)["demographics"]["accounts"] == 0
    assert run(small, "demographics")["demographics"]["accounts"] == 1
    small.clock.advance(timedelta(days=7))
    assert run(small, "demographics", tags=by_schedule)["demographics"]["accounts"] == 1


def test_a_dead_token_fails_the_run_and_the_others_are_written(small: SmallWorld) -> None:
    small.connect("acme.studio")
    small.connect("harbor.bakery")
    small.revoke("harbor.bakery")
    shown = run(small, "online_followers")
    assert not shown["run"]["success"]
    assert "Access to harbor.bakery has ended" in str(shown["online_followers"]["per account"])
    assert small.rows(tables.online_followers, "acme.studio")


def test_stories_are_not_polled_unless_somebody_switches_it_on(small: SmallWorld) -> None:
    definitions = build(Pipeline(settings_of=lambda: small.settings, clock=small.clock))
    polling = definitions.resolve_schedule_def("story_polling")
    assert polling.default_status == dg.DefaultScheduleStatus.STOPPED
    assert definitions.resolve_schedule_def("audience_refresh").default_status == dg.DefaultScheduleStatus.RUNNING
