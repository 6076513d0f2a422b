"""Rows of `sync_requests` become runs, once each, and learn how they ended."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from ig_pipeline.storage import connections, sync_requests, tables
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.storage.tables import metrics
from ig_pipeline.sync.ledger import record
from ig_pipeline.sync.requests.ending import KEPT_FOR
from ig_pipeline.sync.requests.later import BACKOFF
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.defs.stand_ins import NOW, World, instance_with

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with instance_with("ana", "bea", "cid") as instance:
        world = World(tmp_path, instance)
        world.connect("ana", "bea", "cid")
        yield world


def ask(world: World, key: str, *, not_before: datetime | None = None, **more: Any) -> int:
    values: dict[str, Any] = {"kind": "insights", "first": FIRST, "last": LAST, "requested_by": "admin", **more}
    with world.pipeline.writing() as db:
        request = sync_requests.enqueue(
            db, account_key=key, reason="asked", not_before=not_before, now=world.now, **values
        )
    return request.id


def request(world: World, request_id: int) -> SyncRequest:
    with world.pipeline.reading() as db:
        found = sync_requests.by_id(db, request_id)
    assert found is not None
    return found


def test_requests_of_neighbours_for_the_same_days_share_a_run(world: World) -> None:
    ids = [ask(world, key) for key in ("ana", "bea")]
    (run,) = world.sensor_tick("requested_syncs")
    assert run.tags["dagster/asset_partition_range_start"] == "ana|2026-11-01"
    assert run.tags["dagster/asset_partition_range_end"] == "bea|2026-11-05"
    assert {request(world, n).batch for n in ids} == {run.tags["ig_pipeline/batch"]}
    assert "account" not in run.tags


def test_a_persons_request_is_told_from_the_pipelines_own(world: World) -> None:
    ask(world, "ana")
    ask(world, "bea", requested_by="rate_limit")
    asked = {run.tags["dagster/asset_partition_range_start"]: run for run in world.sensor_tick("requested_syncs")}
    assert {cell: "ig_pipeline/asked_by_a_person" in run.tags for cell, run in asked.items()} == {
        "ana|2026-11-01": True,
        "bea|2026-11-01": False,
    }


def test_a_request_is_launched_once_and_marked_with_its_run(world: World) -> None:
    request_id = ask(world, "ana")
    assert len(world.sensor_tick("requested_syncs")) == 1
    claimed = request(world, request_id)
    assert (claimed.status, claimed.run_id) == ("launched", None)
    assert not world.sensor_tick("requested_syncs")
    launched = request(world, request_id)
    assert (launched.status, launched.run_id) == ("launched", world.instance.get_runs()[0].run_id)
    assert not world.sensor_tick("requested_syncs")
    assert world.instance.get_runs_count() == 1


def test_a_row_that_joins_after_a_crash_does_not_launch_its_neighbour_twice(world: World) -> None:
    ask(world, "ana")
    world.sensor_tick("requested_syncs")  # and the daemon died before the next tick
    ask(world, "bea")
    (run,) = world.sensor_tick("requested_syncs")
    assert run.tags["account"] == "bea"
    assert world.instance.get_runs_count() == 2


class KilledError(BaseException):
    """As if the process were gone."""


def test_a_daemon_killed_between_claim_and_run_asks_for_the_same_run_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [ask(world, key) for key in ("ana", "bea")]

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("ig_pipeline.defs.requested_syncs._run_of", killed)
        world.sensor_tick("requested_syncs")
    (batch,) = {request(world, n).batch for n in ids}
    assert batch is not None, "the claim is committed"
    ask(world, "cid")  # a neighbour, for the same days: it does not change what was claimed
    runs = {run.run_key: run.tags["dagster/asset_partition_range_end"] for run in world.sensor_tick("requested_syncs")}
    assert runs.pop(f"requests/{batch}") == "bea|2026-11-05"
    assert len(runs) == 1
    assert not world.sensor_tick("requested_syncs")
    assert world.instance.get_runs_count() == 2


def test_a_run_that_was_asked_for_and_not_seen_is_not_launched_twice(world: World) -> None:
    ask(world, "ana")
    (lost,) = world.sensor_tick("requested_syncs", launch=False)
    again = world.sensor_tick("requested_syncs", launch=False)
    assert [run.run_key for run in again] == [lost.run_key]
    assert len(world.launch([lost, *again], by="requested_syncs")) == 1
    assert not world.sensor_tick("requested_syncs", launch=False)


def test_what_a_rate_limit_deferred_waits_for_its_time(world: World) -> None:
    ask(world, "ana", not_before=NOW + timedelta(hours=1))
    assert not world.sensor_tick("requested_syncs")
    world.now += timedelta(hours=1)
    assert len(world.sensor_tick("requested_syncs")) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(dg.DagsterRunStatus.SUCCESS, "done"), (dg.DagsterRunStatus.FAILURE, "failed")]
)
def test_the_end_of_the_run_is_the_end_of_its_requests(
    world: World, status: dg.DagsterRunStatus, expected: str
) -> None:
    request_id = ask(world, "ana")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.end_run(status)
    world.sensor_tick("requested_syncs")
    settled = request(world, request_id)
    assert settled.status == expected
    assert (settled.detail is None) == (expected == "done")


def test_a_crashed_run_that_starts_again_does_not_end_its_request(world: World) -> None:
    request_id = ask(world, "ana")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.end_run(dg.DagsterRunStatus.FAILURE, **{"dagster/will_retry": "true"})
    world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "launched"


def test_a_request_for_an_account_that_is_not_connected_fails_with_a_sentence(world: World) -> None:
    with world.pipeline.writing() as db:
        connections.disconnect(db, world.connection("bea").id, now=NOW)
    request_id = ask(world, "bea")
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).detail == "bea is not connected. Connect it again, then ask again."


@pytest.mark.parametrize("asked_by", ["rate_limit", "retry", "consent"])
def test_days_that_were_due_while_the_account_was_not_connected_are_asked_for_after_a_reconnect(
    world: World, asked_by: str
) -> None:
    bea = world.connection("bea")
    with world.pipeline.writing() as db:  # it has numbers, so that a reconnect does not begin anew
        db.execute(
            sa.insert(metrics).values(
                u_id=bea.u_id, account_id=bea.account_id, date=LAST, source="instagram", observed_at=NOW
            )
        )
        connections.mark_reconnect_required(db, bea.id, message="Connect again.", now=NOW)
    request_id = ask(world, "bea", requested_by=asked_by, options={"assets": ["account_insights"]})
    with world.pipeline.writing() as db:
        record(db, [failed_cell(bea)], run_id="a run", started_at=NOW, finished_at=NOW)
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "queued"
    world.connect("bea")
    runs = {run.tags["dagster/asset_partition_range_start"] for run in world.sensor_tick("requested_syncs")}
    assert f"bea|{FIRST}" in runs
    assert request(world, request_id).status == "launched"


def failed_cell(connection: connections.Connection) -> AccountDayResult:
    return AccountDayResult(
        "account_insights",
        connection.account_key,
        FIRST,
        "failed",
        error="gone",
        u_id=connection.u_id,
        account_id=connection.account_id,
    )


def test_a_deferred_request_whose_run_met_a_dead_token_waits_for_the_reconnect(world: World) -> None:
    request_id = ask(world, "bea", requested_by="rate_limit")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(db, world.connection("bea").id, message="Connect again.", now=NOW)
    world.end_run(dg.DagsterRunStatus.FAILURE)
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "queued"


def test_a_deferred_request_whose_run_died_is_tried_again_after_a_pause(world: World) -> None:
    request_id = ask(world, "ana", requested_by="rate_limit")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.end_run(dg.DagsterRunStatus.FAILURE)
    assert not world.sensor_tick("requested_syncs")
    assert (request(world, request_id).status, request(world, request_id).not_before) == ("queued", NOW + BACKOFF[0])


def test_a_request_from_before_an_upgrade_ends_with_its_run(world: World) -> None:
    request_id = ask(world, "ana")
    world.sensor_tick("requested_syncs")
    (run,) = world.instance.get_runs()
    with world.pipeline.writing() as db:  # as the migration leaves it
        sync_requests.note_run(db, str(request(world, request_id).batch), run_id=run.run_id)
        db.execute(sa.update(tables.sync_requests).values(batch=run.run_id))
    world.end_run(dg.DagsterRunStatus.SUCCESS)
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "done"


def test_a_run_that_was_deleted_ends_its_request(world: World) -> None:
    request_id = ask(world, "ana")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.instance.delete_run(world.instance.get_runs()[0].run_id)
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).detail == "Its run was deleted in Dagster. Ask again."


def test_requests_that_ended_ninety_days_ago_go_when_another_ends(world: World) -> None:
    old = ask(world, "ana")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.end_run(dg.DagsterRunStatus.SUCCESS)
    world.sensor_tick("requested_syncs")
    world.now += KEPT_FOR + timedelta(days=1)
    ask(world, "bea")
    for _ in range(2):
        world.sensor_tick("requested_syncs")
    world.end_run(dg.DagsterRunStatus.SUCCESS)
    world.sensor_tick("requested_syncs")
    with world.pipeline.reading() as db:
        assert sync_requests.by_id(db, old) is None


def test_a_request_that_comes_before_its_account_is_in_the_grid_waits_for_the_other_sensor(world: World) -> None:
    world.connect("dan")
    request_id = ask(world, "dan")
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "queued"
    world.sensor_tick("new_connections")
    assert len(world.sensor_tick("requested_syncs")) == 1


def test_a_request_for_days_outside_the_grid_is_refused_with_the_reason(world: World) -> None:
    request_id = ask(world, "ana", first=date(2020, 1, 1), last=date(2020, 1, 5))
    assert not world.sensor_tick("requested_syncs")
    assert request(world, request_id).status == "failed"
    assert "2026-09-01" in (request(world, request_id).detail or "")


def test_a_kind_that_no_asset_fills_is_refused(world: World) -> None:
    request_id = ask(world, "ana", kind="horoscopes")
    assert not world.sensor_tick("requested_syncs")
    assert "horoscopes" in (request(world, request_id).detail or "")


def test_a_request_for_some_of_the_assets_gets_those(world: World) -> None:
    ask(world, "ana", options={"assets": ["account_insights", "daily_metrics"]})
    (run,) = world.sensor_tick("requested_syncs")
    assert [key.to_user_string() for key in run.asset_selection or []] == ["account_insights", "daily_metrics"]
    assert "ig_pipeline/options" not in run.tags


def test_options_travel_with_the_run_and_requests_with_others_do_not_share_it(world: World) -> None:
    ask(world, "ana", options={"stories": True})
    ask(world, "bea")
    runs = world.sensor_tick("requested_syncs")
    assert len(runs) == 2
    assert sorted(run.tags.get("ig_pipeline/options", "") for run in runs) == ["", '{"stories": true}']


def test_accounts_that_an_outage_struck_are_tried_again_in_few_runs(tmp_path: Path) -> None:
    """What a thousand are at a hundred a run, in small."""
    keys = [f"account{n:03}" for n in range(120)]
    with instance_with(*keys) as instance:
        world = World(tmp_path, instance)
        world.settings = world.settings.model_copy(update={"accounts_per_run": 12})
        world.connect(*keys)
        for key in sorted(keys, key=hash):  # in whatever order they failed
            ask(world, key)
        runs = world.sensor_tick("requested_syncs")
        assert len(runs) == 10
        assert all(len(run.run_key or "") < 50 for run in runs)
        assert not world.sensor_tick("requested_syncs")
        with world.pipeline.reading() as db:
            assert len(sync_requests.launched(db, first_backfills=False)) == len(keys)
