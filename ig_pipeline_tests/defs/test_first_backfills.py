"""A consent's request starts the first backfill of its connection, exactly once."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ig_pipeline.graph_api.errors import BadRequestError
from ig_pipeline.storage import connections, sync_requests
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.sync.failures import lost_cells
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.registry import grid
from ig_pipeline.sync.requests.later import BACKOFF
from ig_pipeline_tests.defs.stand_ins import NOW, World, instance_with


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with instance_with() as instance:
        yield World(tmp_path, instance)


def keys(world: World) -> list[str]:
    return list(world.instance.get_dynamic_partitions("instagram_accounts"))


def first_backfill(world: World, name: str = "ana") -> SyncRequest:
    with world.pipeline.reading() as db:
        (found,) = (request for request in sync_requests.recent(db, limit=100) if request.account_key == name)
    assert found.requested_by == "first_backfill"
    return found


def test_new_connections_get_their_partition_and_one_run_of_thirty_days_each(world: World) -> None:
    world.connect("ana", "bea")
    runs = world.sensor_tick("new_connections")
    assert keys(world) == ["ana", "bea"]
    ana, bea = (first_backfill(world, name) for name in ("ana", "bea"))
    assert [run.run_key for run in runs] == [f"requests/{ana.batch}", f"requests/{bea.batch}"]
    assert runs[0].tags == {
        "dagster/asset_partition_range_start": "ana|2026-10-21",
        "dagster/asset_partition_range_end": "ana|2026-11-19",
        "account": "ana",
        "ig_pipeline/batch": ana.batch,
        "dagster/sensor_name": "new_connections",
    }
    assert {key.to_user_string() for key in runs[0].asset_selection or []} == {
        "account_insights",
        "media_engagement",
        "daily_metrics",
    }


def test_a_tick_marks_the_connection_with_its_window_and_the_next_ones_ask_for_nothing(world: World) -> None:
    world.connect("ana")
    world.now += timedelta(seconds=5)
    assert len(world.sensor_tick("new_connections")) == 1
    ana = world.connection("ana")
    assert (ana.initial_backfill_first, ana.initial_backfill_last) == (date(2026, 10, 21), date(2026, 11, 19))
    assert ana.initial_backfill_requested_at == NOW + timedelta(seconds=5)
    assert not world.sensor_tick("new_connections")
    assert not world.sensor_tick("new_connections")
    assert first_backfill(world).run_id == world.instance.get_runs()[0].run_id
    assert world.instance.get_runs_count() == 1


def test_a_first_backfill_that_waited_is_of_the_days_that_are_newest_when_it_begins(world: World) -> None:
    world.connect("ana")
    world.now += timedelta(days=4)  # Dagster was away
    (run,) = world.sensor_tick("new_connections")
    assert run.tags["dagster/asset_partition_range_end"] == "ana|2026-11-23"
    assert world.connection("ana").initial_backfill_first == date(2026, 10, 25)


def test_a_tick_that_died_between_claim_and_run_is_repeated_with_the_same_run(world: World) -> None:
    world.connect("ana")
    (lost,) = world.sensor_tick("new_connections", launch=False)
    world.now += timedelta(days=1)
    (run,) = world.sensor_tick("new_connections")
    assert (run.run_key, run.tags) == (lost.run_key, lost.tags)
    assert not world.sensor_tick("new_connections")
    assert world.instance.get_runs_count() == 1


def test_an_account_that_lapsed_before_it_had_a_day_begins_anew(world: World) -> None:
    (ana,) = world.connect("ana")
    launched(world)
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(db, ana.id, message="Connect again.", now=NOW)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    world.now += timedelta(days=20)
    assert not world.sensor_tick("new_connections")
    world.connect("ana")
    (run,) = world.sensor_tick("new_connections")
    assert run.tags["dagster/asset_partition_range_end"] == "ana|2026-12-09"
    assert world.connection("ana").initial_backfill_last == date(2026, 12, 9)


def test_a_tick_repeated_after_midnight_launches_no_second_run(world: World) -> None:
    world.connect("ana")
    world.sensor_tick("new_connections")
    world.now += timedelta(days=1)
    world.sensor_tick("new_connections")
    assert world.instance.get_runs_count() == 1
    assert world.connection("ana").initial_backfill_last == date(2026, 11, 19)


def test_accounts_that_need_a_reconnect_or_are_disconnected_get_no_run(world: World) -> None:
    ana, bea = world.connect("ana", "bea")
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(db, ana.id, message="Connect again.", now=NOW)
        connections.disconnect(db, bea.id, now=NOW)
    assert not world.sensor_tick("new_connections")
    assert not keys(world)


def test_a_reconnected_account_is_not_backfilled_from_the_beginning_again(world: World) -> None:
    world.connect("ana")
    world.sensor_tick("new_connections")
    world.sensor_tick("new_connections")
    world.connect("ana")
    assert not world.sensor_tick("new_connections")


def test_a_new_instance_learns_of_accounts_that_had_their_backfill_under_the_old_one(
    world: World, tmp_path: Path
) -> None:
    world.connect("ana")
    world.sensor_tick("new_connections")
    world.sensor_tick("new_connections")
    with instance_with() as other:
        moved = World(tmp_path, other)
        assert not moved.sensor_tick("new_connections")
        assert keys(moved) == ["ana"]


def test_the_window_begins_with_the_grid(world: World, tmp_path: Path) -> None:
    world.settings = world.settings.model_copy(update={"first_day": date(2026, 11, 15)})
    world.connect("ana")
    (run,) = world.sensor_tick("new_connections")
    assert run.tags["dagster/asset_partition_range_start"] == "ana|2026-11-15"


def test_many_connections_at_once_are_spread_over_ticks(world: World) -> None:
    world.connect(*(f"account{n:03}" for n in range(70)))
    assert len(world.sensor_tick("new_connections")) == 50
    assert len(keys(world)) == 70
    assert len(world.sensor_tick("new_connections")) == 20
    assert not world.sensor_tick("new_connections")


def test_the_run_of_a_first_backfill_tells_whose_it_is(world: World) -> None:
    world.connect("ana")
    sensor = world.definitions.get_repository_def().get_sensor_def("new_connections")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 1


def launched(world: World) -> None:
    """Ana's first backfill has its run, and its request knows it."""
    world.sensor_tick("new_connections")
    world.sensor_tick("new_connections")


def test_a_first_backfill_whose_run_died_for_good_is_tried_again_after_a_pause(world: World) -> None:
    world.connect("ana")
    launched(world)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    for _ in range(2):  # once, however often the sensor looks
        assert not world.sensor_tick("new_connections")
    request = first_backfill(world)
    assert (request.status, request.not_before) == ("queued", NOW + BACKOFF[0])
    world.now = request.not_before + timedelta(days=1)
    (run,) = world.sensor_tick("new_connections")
    assert run.tags["dagster/asset_partition_range_start"] == "ana|2026-10-21", "the days it began with"
    assert first_backfill(world).batch != request.batch


def test_a_first_backfill_that_dies_every_time_is_given_up(world: World) -> None:
    world.connect("ana")
    launched(world)
    pauses = []
    for _ in BACKOFF:
        world.end_run(dg.DagsterRunStatus.FAILURE)
        world.sensor_tick("new_connections")
        request = first_backfill(world)
        pauses.append(request.not_before - world.now)
        world.now = request.not_before
        assert len(world.sensor_tick("new_connections")) == 1
    world.end_run(dg.DagsterRunStatus.FAILURE)
    assert not world.sensor_tick("new_connections")
    assert tuple(pauses) == BACKOFF
    assert first_backfill(world).status == "failed"


@pytest.mark.parametrize(
    ("status", "tags", "expected"),
    [
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}, "launched"),
        (dg.DagsterRunStatus.CANCELED, {}, "failed"),
    ],
)
def test_a_run_that_starts_again_or_was_cancelled_is_not_asked_for_anew(
    world: World, status: dg.DagsterRunStatus, tags: dict[str, str], expected: str
) -> None:
    world.connect("ana")
    launched(world)
    world.end_run(status, **tags)
    world.sensor_tick("new_connections")
    assert first_backfill(world).status == expected


def test_a_first_backfill_that_failed_with_reasons_is_left_to_them(world: World) -> None:
    world.connect("ana")
    launched(world)
    ana = world.connection("ana")
    assert ana.initial_backfill_first is not None
    days = [ana.initial_backfill_first + timedelta(days=n) for n in range(30)]
    refused = BadRequestError("no such metric")
    with world.pipeline.writing() as db:
        for asset in grid():
            lost = lost_cells(refused, asset=asset, account_key="ana", connection=ana, days=days)
            record(db, lost, run_id="a run", started_at=NOW, finished_at=NOW)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    world.sensor_tick("new_connections")
    assert first_backfill(world).status == "failed"
