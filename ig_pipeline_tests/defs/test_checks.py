"""The checks find what is missing, impossible or about to end, and say what to do."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from ig_pipeline.storage import connections, daily_metrics, sync_logs, tables
from ig_pipeline.sync.token_refresh import TokenResult
from ig_pipeline_tests.defs.stand_ins import World, instance_with, rectangle, run_rectangle


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with instance_with() as instance:
        yield World(tmp_path, instance)


def check(world: World, name: str) -> dg.AssetCheckEvaluation:
    """One run of the check alone, as the schedule asks for it."""
    job = world.definitions.resolve_implicit_global_asset_job_def()
    key = next(key for key in world.definitions.resolve_asset_graph().asset_check_keys if key.name == name)
    run = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(instance=world.instance)
    (evaluation,) = run.get_asset_check_evaluations()
    return evaluation


def give_days(world: World, name: str, days: int, *, last: date = date(2026, 11, 19), reach: int = 5) -> None:
    connection = world.connection(name)
    with world.pipeline.writing() as db:
        connections.mark_initial_backfill_requested(
            db, connection.id, first=date(2026, 10, 21), last=date(2026, 11, 19), now=world.now - timedelta(days=2)
        )
        for day in (last - timedelta(days=n) for n in range(days)):
            owner = {"u_id": connection.u_id, "account_id": connection.account_id, "date": day}
            values = {"source": "instagram", "reach": reach, "engagement": 1, "observed_at": world.now}
            daily_metrics.save(db, [{**owner, **values}])
            ledger = {"account_key": name, "asset": "daily_metrics", "run_id": "r", "status": "complete", "rows": 1}
            times = {"calls": 0, "absences": {}, "started_at": world.now, "finished_at": world.now}
            sync_logs.record(db, [{**owner, **ledger, **times, "error_type": None, "error_message": None}])


def test_a_complete_window_passes_and_a_gap_is_named(world: World) -> None:
    world.connect("ana")
    give_days(world, "ana", 30)
    assert check(world, "every_window_is_complete").passed
    world.connect("bea")
    give_days(world, "bea", 28)
    found = check(world, "every_window_is_complete")
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["which"].value == "- **bea**: 2 days, 2026-10-21 to 2026-10-22"


def test_an_account_whose_first_backfill_may_still_run_is_not_missed_yet(world: World) -> None:
    world.connect("ana")
    assert check(world, "every_window_is_complete").passed
    world.now += timedelta(hours=2)
    assert not check(world, "every_window_is_complete").passed


def test_yesterday_is_not_missed_before_the_night_had_its_time(world: World) -> None:
    world.connect("ana")
    give_days(world, "ana", 29, last=date(2026, 11, 18))
    world.now = datetime(2026, 11, 20, 11, tzinfo=UTC)  # 03:00 in Los Angeles
    assert check(world, "every_window_is_complete").passed
    world.now = datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert not check(world, "every_window_is_complete").passed


def test_disconnected_accounts_owe_nothing(world: World) -> None:
    (ana,) = world.connect("ana")
    give_days(world, "ana", 3)
    with world.pipeline.writing() as db:
        connections.disconnect(db, ana.id, now=world.now)
    assert check(world, "every_window_is_complete").passed


def test_a_negative_number_and_a_future_day_fail(world: World) -> None:
    world.connect("ana")
    give_days(world, "ana", 3)
    assert check(world, "every_number_is_possible").passed
    give_days(world, "ana", 1, reach=-5)
    give_days(world, "ana", 1, last=date(2026, 11, 20))
    found = check(world, "every_number_is_possible")
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert found.metadata["which"].value == (
        "- 1 rows of metrics have a negative reach.\n"
        "- 1 rows of metrics are of days that have not ended (from 2026-11-20)."
    )


def test_a_token_that_ends_within_seven_days_warns(world: World) -> None:
    world.connect("ana", expires_in=timedelta(days=8))
    world.connect("cid", expires_in=None)
    assert check(world, "every_token_outlives_the_week").passed
    world.connect("bea", expires_in=timedelta(days=6))
    found = check(world, "every_token_outlives_the_week")
    assert not found.passed
    assert found.metadata["which"].value == "- **bea**: until 2026-11-26 18:00 UTC"


def test_a_token_whose_end_was_not_told_warns_before_it_may_end(world: World) -> None:
    world.connect("ana", expires_in=None)
    assert check(world, "every_token_outlives_the_week").passed
    world.now += timedelta(days=54)
    found = check(world, "every_token_outlives_the_week")
    assert not found.passed
    assert found.metadata["which"].value == "- **ana**: until 2027-01-19 18:00 UTC, assumed: Meta did not say"


def test_reading_that_ends_within_fourteen_days_warns(world: World) -> None:
    world.connect("ana", "bea", "cid")
    ends = {"ana": timedelta(days=15), "bea": timedelta(days=10), "cid": timedelta(days=2)}
    for name, left in ends.items():
        read_until(world, name, world.now + left)
    found = check(world, "every_account_can_be_read")
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "2 accounts cannot be read after the day named here, 1 of them within three days" in str(found.description)
    assert found.metadata["which"].value == (
        "- **cid**: until 2026-11-22 18:00 UTC\n- **bea**: until 2026-11-30 18:00 UTC"
    )
    for name in ("bea", "cid"):
        read_until(world, name, world.now + timedelta(days=90))
    assert check(world, "every_account_can_be_read").passed


def read_until(world: World, name: str, instant: datetime) -> None:
    with world.pipeline.writing() as db:
        row = tables.user_tokens
        db.execute(sa.update(row).where(row.c.account_key == name).values(data_access_expires_at=instant))


def test_a_version_about_to_be_switched_off_warns_with_the_date(world: World) -> None:
    assert check(world, "graph_version_is_served").passed
    world.settings = world.settings.model_copy(update={"graph_version": "v21.0"})
    found = check(world, "graph_version_is_served")
    assert not found.passed
    assert "2027-01-21" in (found.description or "")


def test_ranged_runs_leave_no_check_planned_for_ever(world: World) -> None:
    """A ranged run of assets with partitioned checks leaves a "planned" row for each cell.

    See docs/dagster.md#asset-checks.

    Runs launched in the UI take the checks along; those of sensors and schedules do not.
    """
    world.connect("ana")
    world.add_to_grid("ana")
    (request,) = world.sensor_tick("new_connections")
    assert request.asset_check_keys == []
    assert run_rectangle(world.definitions, world.instance, rectangle("ana")).success
    planned = sa.text("select count(*) from asset_check_executions where execution_status = 'PLANNED'")
    with world.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]  # SQL storages
        assert connection.execute(planned).scalar_one() == 0


def test_the_tokens_asset_tells_what_became_of_each_account(world: World) -> None:
    async def refresh(*_: object) -> list[TokenResult]:
        return [
            TokenResult("ana", "refreshed", datetime(2027, 1, 19, tzinfo=UTC)),
            TokenResult("bea", "not_due", None),
            TokenResult("dan", "refreshed", datetime(2027, 1, 20, tzinfo=UTC), assumed=True),
            TokenResult(
                "eve",
                "too_young",
                datetime(2027, 1, 21, tzinfo=UTC),
                data_access_expires_at=datetime(2027, 2, 1, tzinfo=UTC),
            ),
            TokenResult("cid", None, None, "Meta did not answer."),
        ]

    object.__setattr__(world.pipeline, "refresh", refresh)
    job = world.definitions.resolve_implicit_global_asset_job_def()
    run = job.execute_in_process(instance=world.instance, asset_selection=[dg.AssetKey("access_tokens")])
    (event,) = run.asset_materializations_for_node("access_tokens")
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert metadata.pop("what happened") == (
        "| account | outcome | valid until |\n|---|---|---|\n"
        "| ana | refreshed | 2027-01-19 00:00:00+00:00 |\n| dan | refreshed | 2027-01-20 00:00:00+00:00 (assumed) |\n"
        "| eve | too_young | 2027-01-21 00:00:00+00:00; reads until 2027-02-01 00:00:00+00:00 |\n"
        "| cid | Meta did not answer. | no end |"
    )
    assert metadata == {"accounts": 5, "refreshed": 2, "not due": 1, "too young": 1, "failed": 1}


def a_failed_night(world: World, name: str, *, actor: str, error: str) -> None:
    connection = world.connection(name)
    with world.pipeline.writing() as db:
        for asset in ("account_insights", "media_engagement", "daily_metrics"):
            for day in (date(2026, 11, 19) - timedelta(days=n) for n in range(3)):
                sync_logs.record(
                    db,
                    [
                        {
                            "u_id": connection.u_id,
                            "account_id": connection.account_id,
                            "account_key": name,
                            "asset": asset,
                            "date": day,
                            "run_id": "night",
                            "status": "failed",
                            "rows": 0,
                            "calls": 0,
                            "absences": {},
                            "error_type": "AnError",
                            "error_message": error,
                            "actor": actor,
                            "started_at": world.now,
                            "finished_at": world.now,
                        }
                    ],
                )


def test_a_dead_connection_and_a_refused_one_are_not_called_valid(world: World) -> None:
    world.connect("ana", "bea", "cid")
    world.now += timedelta(hours=2)
    assert check(world, "every_connection_works").description == "All 3 connections work."
    with world.pipeline.writing() as db:
        connections.mark_reconnect_required(
            db, world.connection("ana").id, message="The password was changed.", now=world.now
        )
    a_failed_night(world, "bea", actor="owner", error="bea has not granted instagram_manage_insights. Grant it.")
    a_failed_night(world, "cid", actor="operator", error="Meta refuses the app itself: API access deactivated.")
    found = check(world, "every_connection_works")
    assert not found.passed
    assert str(found.description).startswith("3 of 3 connections wait for their owner or for the app's operator")
    lines = str(found.metadata["which"].value).splitlines()
    assert [line.split("**")[1] for line in lines] == ["ana", "bea", "cid"]
    assert ["owner must act" in line for line in lines] == [True, True, False]
    tokens = check(world, "every_token_outlives_the_week")
    assert tokens.description == "The tokens of all 2 connected accounts are valid for more than seven days."


def test_a_night_with_failed_cells_is_not_whole(world: World) -> None:
    world.connect("ana")
    world.now += timedelta(hours=2)
    a_failed_night(world, "ana", actor="owner", error="ana has not granted instagram_manage_insights. Grant it.")
    found = check(world, "the_last_night_is_whole")
    assert not found.passed
    assert str(found.description).startswith("9 of 9 cells of 2026-11-17 to 2026-11-19 are not complete, in 1 accounts")
    row = str(found.metadata["which"].value).splitlines()[-1]
    assert row.startswith("| ana | 9 of 9 | ana has not granted instagram_manage_insights. Grant it. |")
    assert row.endswith("| The account's owner must act. |")
