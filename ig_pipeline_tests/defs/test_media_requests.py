"""From a request over HTTP through the sensor to files in the library, with the flags of the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from ig_pipeline.definitions import build
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS, range_tags
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import OPTIONS_TAG
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline_tests.defs.stand_ins import status_of
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account
from ig_pipeline_tests.web.front_door import ADMIN, FrontDoor, front_door

KEY, EMAIL = "acme.library", "acme.library@b.example"
LAST = NEWEST.date()
DAYS = [LAST - timedelta(days=n) for n in range(4)]


@dataclass
class Deployment:
    """The web service and Dagster, on one database."""

    door: FrontDoor
    instance: dg.DagsterInstance
    pipeline: Pipeline
    definitions: dg.Definitions

    @property
    def small(self) -> SmallWorld:
        return self.door.small

    def ask(self, **flags: Any) -> str:
        """Ask for a backfill; where to follow it."""
        answer = self.door.client.post("/v1/media/backfill", params={"email": EMAIL, **flags}, headers=ADMIN)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["requests"][0]["url"])

    def follow(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = self.door.client.get(url, headers=ADMIN).json()
        return found

    def tick(self) -> list[dg.RunRequest]:
        sensor = self.definitions.get_repository_def().get_sensor_def("requested_syncs")
        with dg.build_sensor_context(
            instance=self.instance, instance_ref=None, definitions=self.definitions,
            resources={"pipeline": self.pipeline},
        ) as context:  # fmt: skip
            return list(sensor.evaluate_tick(context).run_requests or [])

    def run(self, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance, asset_selection=[MEDIA_FILES], tags=tags, raise_on_error=False
        )

    def answer(self) -> list[dg.ExecuteInProcessResult]:
        """What the daemon does of it: a run for each of the sensor's requests, and two ticks that note their ends."""
        runs = [self.run(dict(request.tags)) for request in self.tick()]
        assert self.tick() == self.tick() == []
        return runs

    def cells(self) -> tuple[set[date], set[date]]:
        """Green and red days."""
        green, red = status_of(self.instance, self.definitions, "media_files")
        day = len(KEY) + 1
        return {date.fromisoformat(cell[day:]) for cell in green}, {date.fromisoformat(cell[day:]) for cell in red}

    def files(self) -> list[date]:
        return sorted(row["date"] for row in self.small.rows(tables.media_items))


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """An account with nine pictures a day for six days, of which the grid knows four."""
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    world = World(given=[archive_account(["image"] * 54)])
    with (
        small_world(url, tmp_path / "data", world=world, first_day=DAYS[-1]) as small,
        front_door(small) as door,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        small.connect_all()
        instance.add_dynamic_partitions(str(ACCOUNTS.name), [KEY])
        pipeline = Pipeline(settings_of=lambda: small.settings, clock=small.clock)
        yield Deployment(door, instance, pipeline, build(pipeline))


def test_everything_ever_posted_comes_and_the_days_of_the_grid_turn_green(deployment: Deployment) -> None:
    url = deployment.ask()
    assert deployment.follow(url)["status"] == "queued"
    (run,) = deployment.answer()
    assert run.success
    answer = deployment.follow(url)
    assert (answer["status"], answer["counts"]["downloaded"], answer["run_id"]) == ("done", 54, run.run_id)
    assert len(deployment.files()) == 54
    assert deployment.cells() == (set(DAYS), set())


def test_a_dry_run_counts_writes_nothing_and_leaves_no_cell_green(deployment: Deployment) -> None:
    url = deployment.ask(dry_run=True, limit=20)
    (run,) = deployment.answer()
    assert run.success
    answer = deployment.follow(url)
    assert (answer["status"], answer["counts"]["would_download"], answer["detail"]) == ("done", 20, None)
    assert (deployment.files(), deployment.cells()) == ([], (set(), set()))
    assert not (deployment.small.settings.home / "media").exists()
    for table in (tables.media_backfills, tables.instagram_sync_logs):
        assert deployment.small.rows(table) == []
    (told,) = run.asset_observations_for_node("instagram_media_files")
    assert (told.partition, told.metadata["would_download"].value) == (None, 20)


def test_a_limit_brings_so_many_files_and_colours_the_days_it_got_through(deployment: Deployment) -> None:
    deployment.ask(limit=5, media_type="feed")
    deployment.answer()
    assert deployment.files() == [LAST] * 5
    assert deployment.cells() == (set(), set())
    url = deployment.ask(limit=5)
    deployment.answer()
    assert deployment.follow(url)["counts"]["downloaded"] == 5
    assert deployment.files() == [DAYS[1], *[LAST] * 9]
    assert deployment.cells() == ({LAST}, set())


def test_requests_with_other_flags_do_not_share_a_run(deployment: Deployment) -> None:
    urls = [deployment.ask(limit=2), deployment.ask(limit=3), deployment.ask(limit=3)]
    assert urls[1] == urls[2]
    assert len(deployment.answer()) == 2
    assert [deployment.follow(url)["counts"]["downloaded"] for url in urls[:2]] == [2, 3]
    assert len(deployment.files()) == 5


def test_stories_alone_are_fetched_without_a_colour(deployment: Deployment) -> None:
    url = deployment.ask(media_type="stories")
    deployment.answer()
    assert deployment.follow(url)["status"] == "done"
    assert (deployment.files(), deployment.cells()) == ([], (set(), set()))


def test_since_bounds_what_is_fetched_and_which_days_are_settled(deployment: Deployment) -> None:
    deployment.ask(since=DAYS[1].isoformat())
    deployment.answer()
    assert deployment.files() == [DAYS[1]] * 9 + [LAST] * 9
    assert deployment.cells() == ({DAYS[1], LAST}, set())


def test_days_settled_beyond_the_range_of_the_run_turn_green_too(deployment: Deployment) -> None:
    run = deployment.run({**range_tags(Rectangle((KEY,), LAST, LAST)), OPTIONS_TAG: "{}"})
    assert run.success
    assert deployment.cells() == (set(DAYS), set())


def test_a_lost_file_makes_its_day_red_and_fails_the_request_with_the_reason(deployment: Deployment) -> None:
    bad = (deployment.small.world.accounts[0].archive or ())[12]
    deployment.small.simulator.cdn.faults[bad.id].extend(["html"] * 5)
    url = deployment.ask()
    (run,) = deployment.answer()
    assert not run.success
    answer = deployment.follow(url)
    assert (answer["status"], answer["counts"]["failed"]) == ("failed", 1)
    assert bad.id in answer["detail"]
    assert deployment.cells() == (set(DAYS) - {bad.day}, {bad.day})


def test_a_file_the_cdn_did_not_deliver_comes_an_hour_later_without_a_person(deployment: Deployment) -> None:
    bad = (deployment.small.world.accounts[0].archive or ())[12]
    deployment.small.simulator.cdn.faults[bad.id].extend(["status 503"] * 4)
    deployment.ask()
    deployment.answer()
    assert deployment.cells() == (set(DAYS) - {bad.day}, {bad.day})
    deployment.small.clock.advance(timedelta(hours=1))
    (run,) = deployment.answer()
    assert run.success
    assert len(deployment.files()) == 54
    assert deployment.cells() == (set(DAYS), set())


def test_a_limited_request_that_fails_says_so_and_turns_no_day_red(deployment: Deployment) -> None:
    deployment.small.revoke(KEY)
    urls = [deployment.ask(limit=5), deployment.ask(dry_run=True)]
    deployment.answer()
    for url in urls:
        answer = deployment.follow(url)
        assert answer["status"] == "failed"
        assert "Please connect Instagram again." in answer["detail"]
    assert deployment.cells() == (set(), set())


def test_what_a_rate_limit_put_off_is_fetched_by_a_request_of_its_own(deployment: Deployment) -> None:
    deployment.small.throttle(KEY, after=1, lasting=timedelta(minutes=30))
    url = deployment.ask(since="2026-01-01")
    deployment.answer()
    answer = deployment.follow(url)
    assert (answer["status"], deployment.files()) == ("done", [])
    assert "the rest is due at" in answer["detail"]
    deployment.small.clock.advance(timedelta(hours=1))
    deployment.answer()
    assert len(deployment.files()) == 54
    assert deployment.cells() == (set(DAYS), set())


@pytest.mark.parametrize(
    "flags", ["{", "[]", "5", '{"limit": 0}', '{"limit": true}', '{"media_type": "reels"}', '{"since": "soon"}',
              '{"since": 5}', '{"dry_run": "no"}', '{"stories": true}'],
)  # fmt: skip
def test_a_tag_that_cannot_be_used_is_refused_in_words(deployment: Deployment, flags: str) -> None:
    tags = {**range_tags(Rectangle((KEY,), LAST, LAST)), OPTIONS_TAG: flags}
    run = deployment.run(tags)
    assert not run.success
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert f"The tag {OPTIONS_TAG} cannot be used" in str(failure.step_failure_data)
    assert deployment.files() == []
