"""The real engine under Dagster, against the simulator: one account's trouble is one account's."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.definitions import build
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant
from ig_pipeline.simulator.world import World as SimulatedWorld
from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.engine import sync_account_days
from ig_pipeline.sync.plan import Rectangle, nightly_rectangles
from ig_pipeline.sync.registry import grid
from ig_pipeline.sync.requests.asking import ask_for_history
from ig_pipeline.sync.requests.later import BACKOFF, SLOT
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncServices
from ig_pipeline_tests.defs.stand_ins import World, run_rectangle, status_of
from ig_pipeline_tests.sync.harness import SmallWorld, small_world

FIVE = 5
DAYS = 5


class RealWorld(World):
    """The definitions with the real engine, on the small world's clock."""

    def __init__(self, small: SmallWorld, instance: dg.DagsterInstance) -> None:
        self.small = small
        self.settings = small.settings
        self.instance = instance
        self.pipeline = Pipeline(settings_of=lambda: self.settings, clock=small.clock)
        self.definitions = build(self.pipeline)

    def run(self, request: dg.RunRequest | None = None, *, tags: Mapping[str, str] | None = None) -> dg.DagsterRun:
        """Execute what a tick asked for, in this process, with its tags."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        asked = dict(request.tags if request else tags or {})
        selection = (request.asset_selection if request else None) or [dg.AssetKey(name) for name in grid()]
        result = job.execute_in_process(
            instance=self.instance, tags=asked, asset_selection=selection, raise_on_error=False
        )
        return result.dagster_run


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealWorld]:
    url = SecretStr(f"sqlite:///{tmp_path / 'small.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with (
        small_world(url, tmp_path, world=SimulatedWorld(accounts=FIVE)) as small,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield RealWorld(small, instance)


def rectangle_of(real: RealWorld, keys: list[str]) -> Rectangle:
    days = real.small.window(DAYS)
    return Rectangle(tuple(keys), days[0], days[-1])


def cells(real: RealWorld, *keys: str) -> set[str]:
    return {f"{key}|{day}" for key in keys for day in real.small.window(DAYS)}


def test_of_five_one_revoked_is_red_one_throttled_completes_itself_later_three_are_green(real: RealWorld) -> None:
    small = real.small
    keys = small.connect_all()
    real.add_to_grid(*keys)
    revoked, throttled, *fine = keys
    small.revoke(revoked)
    small.throttle(throttled, after=3)
    run = run_rectangle(real.definitions, real.instance, rectangle_of(real, keys))
    assert not run.success

    done, failed = status_of(real.instance, real.definitions, "daily_metrics")
    assert cells(real, *fine) <= done
    assert cells(real, revoked) <= failed
    assert not cells(real, revoked) & done
    assert not cells(real, throttled) <= done

    failure = next(event for event in run.all_events if event.is_step_failure).step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description is not None
    assert f"Access to {revoked} has ended" in failure.description
    assert throttled in str(failure.metadata["deferred, continued by itself"].value)

    assert small.connection(revoked).status == "reconnect_required"
    with real.pipeline.reading() as db:
        planned = [connection.account_key for connection in list_connections(db, statuses=["connected"])]
    assert set(planned) == {throttled, *fine}  # what every plan begins with

    assert not real.sensor_tick("requested_syncs")  # not before its time
    small.clock.advance(timedelta(minutes=65))
    again = real.sensor_tick("requested_syncs", launch=False)
    assert [request.tags["account"] for request in again] == [throttled]
    for request in again:
        assert real.run(request).status == dg.DagsterRunStatus.SUCCESS
    done, failed = status_of(real.instance, real.definitions, "daily_metrics")
    assert done == cells(real, throttled, *fine)
    assert failed == cells(real, revoked)
    for key in (throttled, *fine):
        assert small.daily(key) == small.truth(key, small.window(DAYS), at=small.clock())


def token_after_a_login(small: SmallWorld, key: str) -> str:
    """What the owner's next consent brings after all earlier tokens were revoked."""
    book, subject = small.simulator.simulation.book, small.world.account(key).user_id
    generation, scopes = book.generation_of("facebook", subject), frozenset(USUAL_SCOPES["facebook"])
    return book.issue(Grant("facebook", "user", subject, generation, small.clock(), None, scopes))


def test_days_deferred_before_the_token_died_are_there_after_a_reconnect(real: RealWorld) -> None:
    small, key = real.small, real.small.world.accounts[0].username
    small.connect(key)
    real.add_to_grid(key)
    days, limits = small.window(DAYS * 2), small.simulator.simulation.limits
    night, before = Rectangle((key,), days[-3], days[-1]), Rectangle((key,), days[0], days[-4])
    assert run_rectangle(real.definitions, real.instance, night).success
    small.throttle(key, after=3)
    run_rectangle(real.definitions, real.instance, before)
    limits.release(small.world.account(key).id)
    deferred = set(days) - set(small.daily(key))
    small.revoke(key)
    assert not run_rectangle(real.definitions, real.instance, night).success
    lapsed = small.connection(key)
    assert lapsed.status == "reconnect_required"
    small.clock.advance(timedelta(hours=5))
    assert not real.sensor_tick("requested_syncs", launch=False)

    connection = small.connect(key, token=token_after_a_login(small, key))
    with real.pipeline.writing() as db:
        ask_for_history(db, connection, before=lapsed, settings=real.settings, now=small.clock())
    assert deferred, "and a reconnect alone brings the days of the night"
    for request in real.sensor_tick("requested_syncs", launch=False):
        assert real.run(request).is_success
    assert small.daily(key) == small.truth(key, days)


@dataclass
class Line:
    """The way to Meta."""

    is_up: bool = False


def over_a_line(real: RealWorld) -> Line:
    """From now on every call of `real` goes over the line that is returned, which is down."""
    line = Line()

    def disturb(request: httpx.Request) -> httpx.Response | None:
        return None if line.is_up else httpx.Response(502, text="<html>Bad Gateway</html>")

    async def fetch(
        services: SyncServices,
        cells: Mapping[str, Sequence[date]],
        *,
        assets: Collection[str],
        run_id: str,
        asks_everything: bool,
    ) -> AsyncIterator[AccountDayResult]:
        async with real.small.services_over(disturb) as services:
            results = sync_account_days(services, cells, assets=assets, run_id=run_id, asks_everything=asks_everything)
            async for result in results:
                yield result

    real.pipeline = Pipeline(settings_of=lambda: real.settings, clock=real.small.clock, fetch=fetch)
    real.definitions = build(real.pipeline)
    return line


def test_an_attempt_whose_days_somebody_has_filled_meanwhile_is_done_without_a_run(real: RealWorld) -> None:
    small, key = real.small, real.small.world.accounts[0].username
    small.connect(key)
    real.add_to_grid(key)
    line = over_a_line(real)
    assert not run_rectangle(real.definitions, real.instance, rectangle_of(real, [key]), assets=grid()).success
    line.is_up = True
    small.clock.advance(timedelta(minutes=1))
    assert run_rectangle(real.definitions, real.instance, rectangle_of(real, [key]), assets=grid()).success
    small.clock.advance(BACKOFF[0] + SLOT)
    assert not real.sensor_tick("requested_syncs", launch=False)
    with real.pipeline.reading() as db:
        (request,) = sync_requests.recent(db)
    assert (request.status, request.run_id) == ("done", None)


def test_a_first_backfill_that_met_an_outage_is_green_after_it_without_a_person(real: RealWorld) -> None:
    small, key = real.small, real.small.world.accounts[0].username
    real.settings = real.settings.model_copy(update={"initial_backfill_days": DAYS})
    connection = small.connect(key)
    with real.pipeline.writing() as db:
        ask_for_history(db, connection, before=None, settings=real.settings, now=small.clock())
    line = over_a_line(real)
    (first,) = real.sensor_tick("new_connections", launch=False)
    assert real.run(first).status == dg.DagsterRunStatus.FAILURE
    everything = cells(real, key)
    assert status_of(real.instance, real.definitions, "daily_metrics") == (set(), everything)
    assert not real.sensor_tick("requested_syncs", launch=False)  # Meta is given a pause

    for pause, answers in ((BACKOFF[0], False), (BACKOFF[1], True)):
        small.clock.advance(pause + SLOT)
        line.is_up = answers
        (again,) = real.sensor_tick("requested_syncs", launch=False)
        assert real.run(again).is_success == answers
        assert not real.sensor_tick("requested_syncs", launch=False)  # noted as ended
    assert status_of(real.instance, real.definitions, "daily_metrics") == (everything, set())
    assert small.daily(key) == small.truth(key, small.window(DAYS))
    with real.pipeline.reading() as db:
        assert [request.status for request in sync_requests.recent(db)] == ["done", "failed", "launched"]
    assert not real.sensor_tick("new_connections", launch=False)
    with real.pipeline.reading() as db:
        assert sync_requests.recent(db)[-1].status == "failed", "its days had requests of their own"


def test_after_the_nights_runs_every_account_has_the_three_days(real: RealWorld) -> None:
    """What 250 accounts at 100 a run are in small: five accounts at two a run, three runs."""
    small = real.small
    keys = small.connect_all()
    real.add_to_grid(*keys)
    planned = nightly_rectangles(keys, connected=keys, today=small.today, window_days=3, per_run=2)
    assert len(planned) == 3
    for rectangle in planned:
        assert run_rectangle(real.definitions, real.instance, rectangle, assets=grid()).success
    for key in keys:
        assert small.daily(key) == small.truth(key, small.window(3))
    assert status_of(real.instance, real.definitions, "daily_metrics")[0] == {
        f"{key}|{day}" for key in keys for day in small.window(3)
    }


def test_two_runs_over_the_same_cells_end_in_the_same_rows(real: RealWorld) -> None:
    small = real.small
    keys = small.connect_all()[:2]
    real.add_to_grid(*keys)
    runs = [run_rectangle(real.definitions, real.instance, rectangle_of(real, keys)) for _ in range(2)]
    assert all(run.success for run in runs)
    for key in keys:
        assert len(small.daily(key)) == DAYS
        assert small.daily(key) == small.truth(key, small.window(DAYS))


def test_a_token_six_days_from_its_end_is_refreshed_by_the_schedules_run_and_one_of_eight_is_not(
    real: RealWorld,
) -> None:
    small = real.small
    six, eight = (account.username for account in small.world.accounts[:2])
    small.connect(six, expires_in=timedelta(days=6))
    small.connect(eight, expires_in=timedelta(days=8))
    before = small.connection(eight).expires_at
    job = real.definitions.resolve_implicit_global_asset_job_def()
    run = job.execute_in_process(instance=real.instance, asset_selection=[dg.AssetKey("access_tokens")])
    assert run.success
    renewed = small.connection(six).expires_at
    assert renewed is not None
    assert renewed - small.clock() > timedelta(days=50)
    assert small.connection(eight).expires_at == before
    evaluations = run.get_asset_check_evaluations()
    assert {evaluation.check_name for evaluation in evaluations} == {
        "every_token_outlives_the_week",
        "every_account_can_be_read",
        "every_connection_works",
    }
    assert all(evaluation.passed for evaluation in evaluations)


def test_no_token_reaches_an_event_or_a_tag(real: RealWorld) -> None:
    small = real.small
    (key, *_) = small.connect_all()
    real.add_to_grid(key)
    small.revoke(key)
    run_rectangle(real.definitions, real.instance, rectangle_of(real, [key]))
    token = small.simulator.token(key)
    for run in real.instance.get_runs():
        assert token not in str(run.tags)
        for record in real.instance.all_logs(run.run_id):
            assert token not in str(record)
