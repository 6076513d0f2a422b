"""A connection's row in the database starts its first backfill, exactly once."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ig_pipeline.graph_api.errors import TokenDeadError
from ig_pipeline.storage import connections, sync_requests
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.sync.failures import lost_cells
from ig_pipeline.sync.ledger import BACKOFF, record
from ig_pipeline_tests.defs.stand_ins import NOW, World, instance_with


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with instance_with() as instance:
        yield World(tmp_path, instance)


def keys(world: World) -> list[str]:
    return list(world.instance.get_dynamic_partitions("instagram_accounts"))


def test_new_connections_get_their_partition_and_one_run_of_thirty_days_each(world: World) -> None:
    world.connect("ana", "bea")
    runs = world.sensor_tick("new_connections")
    assert keys(world) == ["ana", "bea"]
    assert [run.run_key for run in runs] == ["initial/1", "initial/2"]
    assert runs[0].tags == {
        "dagster/asset_partition_range_start": "ana|2026-10-21",
        "dagster/asset_partition_range_end": "ana|2026-11-19",
        "account": "ana",
        "ig_pipeline/connection": "1",
        "dagster/sensor_name": "new_connections",
    }
    assert {key.to_user_string() for key in runs[0].asset_selection or []} == {
        "account_insights",
        "media_engagement",
        "daily_metrics",
    }


def test_the_next_ticks_ask_for_nothing_and_mark_the_connection_with_its_window(world: World) -> None:
    world.connect("ana")
    assert len(world.sensor_tick("new_connections")) == 1
    world.now += timedelta(seconds=5)
    assert not world.sensor_tick("new_connections")
    assert not world.sensor_tick("new_connections")
    ana = world.connection("ana")
    assert (ana.initial_backfill_first, ana.initial_backfill_last) == (date(2026, 10, 21), date(2026, 11, 19))
    assert ana.initial_backfill_requested_at == NOW + timedelta(seconds=5)
    assert world.instance.get_runs_count() == 1


def test_a_tick_that_died_before_its_run_was_made_is_asked_again(world: World) -> None:
    world.connect("ana")
    world.sensor_tick("new_connections", launch=False)
    assert len(world.sensor_tick("new_connections")) == 1


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
    assert not world.sensor_tick("new_connections")
    assert len(world.sensor_tick("new_connections")) == 20


def test_the_run_of_a_first_backfill_tells_whose_it_is(world: World) -> None:
    world.connect("ana")
    sensor = world.definitions.get_repository_def().get_sensor_def("new_connections")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 1


def launched(world: World) -> None:
    """Ana's first backfill has its run, and the connection its mark."""
    world.connect("ana")
    world.sensor_tick("new_connections")
    world.sensor_tick("new_connections")


def asked(world: World) -> list[SyncRequest]:
    """Ana's requests, oldest first."""
    with world.pipeline.reading() as db:
        return sync_requests.asked_since(db, "ana", kind="insights", since=NOW)


def test_a_first_backfill_whose_run_died_for_good_is_asked_for_again_after_a_pause(world: World) -> None:
    launched(world)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    for _ in range(2):  # once, however often the sensor looks
        world.sensor_tick("new_connections")
    (request,) = asked(world)
    assert (request.first, request.last) == (date(2026, 10, 21), date(2026, 11, 19))
    assert request.not_before == NOW + BACKOFF[0]
    assert not world.sensor_tick("requested_syncs")
    world.now = request.not_before
    (run,) = world.sensor_tick("requested_syncs")
    assert run.tags["dagster/asset_partition_range_start"] == "ana|2026-10-21"


def test_a_first_backfill_that_dies_every_time_is_given_up(world: World) -> None:
    launched(world)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    pauses = []
    for _ in BACKOFF:
        world.sensor_tick("new_connections")
        request = asked(world)[-1]
        pauses.append(request.not_before - world.now)
        world.now = request.not_before
        world.sensor_tick("requested_syncs")
        world.end_run(dg.DagsterRunStatus.FAILURE)
        world.sensor_tick("requested_syncs")  # marks it launched
        world.sensor_tick("requested_syncs")  # and failed
    world.sensor_tick("new_connections")
    assert tuple(pauses) == BACKOFF
    assert [request.status for request in asked(world)] == ["failed"] * len(BACKOFF)


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}),
        (dg.DagsterRunStatus.CANCELED, {}),
    ],
)
def test_a_run_that_starts_again_or_was_cancelled_is_not_asked_for_anew(
    world: World, status: dg.DagsterRunStatus, tags: dict[str, str]
) -> None:
    launched(world)
    world.end_run(status, **tags)
    world.sensor_tick("new_connections")
    assert not asked(world)


def test_a_first_backfill_that_failed_with_reasons_is_left_to_them(world: World) -> None:
    launched(world)
    ana = world.connection("ana")
    assert ana.initial_backfill_first is not None
    days = [ana.initial_backfill_first + timedelta(days=n) for n in range(30)]
    lost = lost_cells(
        TokenDeadError("gone", cause="invalid", advice="Connect again."),
        asset="account_insights",
        account_key="ana",
        connection=ana,
        days=days,
    )
    with world.pipeline.writing() as db:
        record(db, lost, run_id="a run", started_at=NOW, finished_at=NOW)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    world.sensor_tick("new_connections")
    assert not asked(world)
