"""After a deletion a search finds nothing of the account: not in a database file, a media file, a log or Dagster."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionStatus

from ig_pipeline.defs.erasure import carry_out
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.partitions import ACCOUNTS, RANGE_END, RANGE_START, range_tags
from ig_pipeline.defs.reporting import GridReporter
from ig_pipeline.defs.run_requests import BATCH_TAG
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.storage import deletion_requests, leases, oauth_states, sync_requests, tables
from ig_pipeline.storage.deletion_requests import DeletionRequest
from ig_pipeline.storage.scrubbing import ScrubbingWaitsError
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline_tests.defs.deployments import ASSETS, LAST, Deployment, canaries, deployment, words_of
from ig_pipeline_tests.defs.stand_ins import complete
from ig_pipeline_tests.media_store.conftest import s3  # noqa: F401 - a fixture
from ig_pipeline_tests.storage.test_user_data import exported

FIRST, GONE, STAYS = "first.studio", "gone.canary", "stays.studio"
INSIGHTS, MEDIA = ASSETS[:3], ASSETS[3:]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """Three accounts, the second of which will want to be forgotten."""
    accounts = [canaries(name, position=n) for n, name in enumerate((FIRST, GONE, STAYS))]
    with deployment(request, request.param, tmp_path, *accounts) as made:
        made.connect(FIRST, GONE, STAYS)
        yield made


sqlite_alone = pytest.mark.parametrize("world", ["sqlite"], indirect=True)


def ask(world: Deployment, *account_keys: str) -> DeletionRequest:
    chosen = [world.small.connection(key) for key in account_keys]
    with world.small.engine.begin() as db:
        return deletion_requests.request(db, chosen, origin="admin", now=world.small.clock())


def lose_a_file(world: Deployment, username: str) -> None:
    """Instagram's CDN gives a page instead of the newest post's picture, whatever is tried."""
    archive = world.small.world.account(username).archive
    assert archive is not None
    world.small.simulator.cdn.faults[archive[0].id].extend(["html"] * 20)


def test_nothing_of_a_deleted_account_is_found_anywhere(world: Deployment) -> None:
    small, instance = world.small, world.instance
    lose_a_file(world, GONE)
    lose_a_file(world, STAYS)
    ranged = world.run(FIRST, GONE, STAYS, assets=INSIGHTS, days=1)
    files = world.run(FIRST, GONE, STAYS, assets=MEDIA)
    ended = world.run(GONE, STAYS, assets=INSIGHTS[:1], days=1)
    alone = world.run(GONE, assets=INSIGHTS[:1], days=1)
    small.revoke(GONE)
    small.revoke(STAYS)
    refused = world.run(FIRST, GONE, STAYS, assets=INSIGHTS)
    assert not files.success
    assert not refused.success
    beside = world.run_beside("demographics", "access_tokens")
    with small.engine.begin() as db:  # renamed, and connected again since
        db.execute(
            sa.update(tables.user_tokens)
            .where(tables.user_tokens.c.account_key == GONE)
            .values(username="renamed.canary")
        )
        oauth_states.start(
            db, state="s", browser="b", email=f"{GONE}@mail.example", login="facebook", now=small.clock()
        )
    GridReporter(instance).report([complete("account_insights", GONE, LAST - timedelta(days=9))])
    shared = world.add_backfill(GONE, STAYS, status=BulkActionStatus.COMPLETED_FAILED)
    own = world.add_backfill(GONE, status=BulkActionStatus.COMPLETED_SUCCESS)
    world.add_tick(GONE, f"[SYNC] Running initial 30-day IG backfill for {GONE}@mail.example")
    words = [*words_of(small.world.account(GONE), token=small.simulator.token(GONE, "facebook")), "renamed.canary"]
    before = {key: world.grid(key) for key in (FIRST, STAYS)}
    assert len({found.partition(" in ")[0] for found in world.found(*words)}) > 12
    # Red cells of its own, in runs that the account shared.
    assert before[STAYS]["media_files"][1]
    assert before[STAYS]["account_insights"][1]

    code = ask(world, GONE).code
    assert world.tick() == "1 deletions are done, 0 wait for runs of their accounts."

    assert world.found(*words) == []
    assert {key: world.grid(key) for key in (FIRST, STAYS)} == before
    assert list(instance.get_dynamic_partitions(str(ACCOUNTS.name))) == [FIRST, STAYS]
    with small.engine.connect() as db:
        tombstone = deletion_requests.by_code(db, code)
    assert exported(small.engine, f"{GONE}@mail.example") is None
    kept = exported(small.engine, f"{STAYS}@mail.example")
    assert tombstone is not None
    assert (tombstone.status, tombstone.targets) == ("done", ())
    assert tombstone.erased["files"] == 2
    assert kept is not None
    assert len(kept["tables"]["media_items"]) == len({row["file_path"] for row in kept["tables"]["media_items"]}) == 2
    for row in kept["tables"]["media_items"]:
        assert open_store(small.settings).size_of(row["file_path"]) == row["file_size_bytes"]
    # Runs that others shared are there, over these; the account's own are not.
    assert not instance.has_run(alone.run_id)
    assert instance.get_run_by_id(beside.run_id) is not None
    for run_id, keys in ((ranged.run_id, (FIRST, STAYS)), (ended.run_id, (STAYS, STAYS))):
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert (run.tags[RANGE_START].partition("|")[0], run.tags[RANGE_END].partition("|")[0]) == keys
    assert instance.get_backfill(own) is None
    left = instance.get_backfill(shared)
    assert left is not None
    assert left.asset_backfill_data is not None
    assert left.asset_backfill_data.target_subset.num_partitions_and_non_partitioned_assets == 2


@sqlite_alone
@pytest.mark.parametrize(
    ("account_keys", "waits"),
    [((GONE,), True), ((FIRST, STAYS), True), ((STAYS,), False), ((), True)],
    ids=["its own", "one that covers it", "another's", "one over everybody"],
)
def test_a_deletion_waits_for_runs_of_the_account_and_for_no_other(
    world: Deployment, account_keys: tuple[str, ...], waits: bool
) -> None:
    tags = range_tags(Rectangle(account_keys, LAST, LAST)) if account_keys else {}
    assets = {GRID_ASSETS[0]} if account_keys else {dg.AssetKey("demographics")}
    run = dg.DagsterRun("__ASSET_JOB", asset_selection=frozenset(assets), tags=tags)
    world.instance.add_run(run)
    code = ask(world, GONE).code
    assert world.tick().startswith("1 deletions wait for runs" if waits else "1 deletions are done")
    world.instance.delete_run(run.run_id)
    world.tick()
    with world.small.engine.connect() as db:
        done = deletion_requests.by_code(db, code)
    assert done is not None
    assert done.status == "done"


@sqlite_alone
def test_a_deletion_waits_for_a_backfill_that_goes_on_over_the_account(world: Deployment) -> None:
    backfill = world.add_backfill(GONE, STAYS, status=BulkActionStatus.REQUESTED)
    ask(world, GONE)
    assert "1 deletions wait for runs" in world.tick()
    found = world.instance.get_backfill(backfill)
    assert found is not None
    world.instance.update_backfill(found.with_status(BulkActionStatus.CANCELED))  # type: ignore[no-untyped-call]
    assert "1 deletions are done" in world.tick()


@sqlite_alone
def test_a_deletion_that_was_killed_anywhere_is_finished_by_the_next_tick(
    world: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(FIRST, GONE, STAYS, assets=INSIGHTS, days=1)
    words = (GONE, f"{GONE}@mail.example")
    before = world.grid(STAYS)
    ask(world, GONE)
    for place in (
        "ig_pipeline.defs.forgetting._clean_tags",
        "ig_pipeline.dagster_internals.event_log.EventLog.clean",
        "ig_pipeline.dagster_internals.daemon_records.clean_ticks",
        "ig_pipeline.storage.user_data.erase_known",
        "ig_pipeline.defs.erasure.scrub_dagster",
        "ig_pipeline.storage.deletion_requests.done",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, killed)
            with pytest.raises(KilledError):
                world.tick()
    assert "1 deletions are done" in world.tick()
    assert world.found(*words) == []
    assert world.grid(STAYS) == before


@sqlite_alone
def test_a_deletion_whose_runs_file_is_read_is_completed_later(world: Deployment) -> None:
    world.run(GONE, STAYS, assets=INSIGHTS[:1], days=1)
    ask(world, GONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ig_pipeline.dagster_internals.event_log.scrub_file", refuse)
        assert "The rest is done later: The table users is in use" in world.tick()
    world.small.clock.advance(timedelta(minutes=6))
    assert "1 deletions are done" in world.tick()
    assert world.found(GONE) == []


@sqlite_alone
def test_a_deletion_whose_files_are_read_is_completed_later(world: Deployment) -> None:
    code = ask(world, GONE).code
    with pytest.MonkeyPatch.context() as patch:  # a reader would be waited for half a minute
        patch.setattr("ig_pipeline.defs.resources.scrub", refuse)
        assert "The rest is done later" in world.tick()
    with world.small.engine.connect() as db:
        [waiting] = deletion_requests.waiting(db)
    assert (waiting.code, waiting.targets) == (code, ())
    assert "are tried again later" in world.tick()
    world.small.clock.advance(timedelta(minutes=6))
    assert "1 deletions are done" in world.tick()


@sqlite_alone
def test_one_process_at_a_time_deletes(world: Deployment) -> None:
    clock = world.small.clock
    ask(world, GONE)
    with world.small.engine.begin() as db:
        assert leases.take(db, leases.DELETIONS, owner="the command line", now=clock())
    assert world.tick() == "1 deletions are under way."
    assert carry_out(world.pipeline, world.instance, owner="a run") is None
    clock.advance(leases.LIFETIME)  # it was killed
    assert "1 deletions are done" in world.tick()


@sqlite_alone
def test_what_fails_is_tried_again_later(world: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(world, GONE)
    with monkeypatch.context() as patch:
        patch.setattr("ig_pipeline.defs.erasure.erase_files", out_of_reach)
        with pytest.raises(StoreError):
            world.tick()
    assert world.tick() == "1 deletions are tried again later."
    world.small.clock.advance(timedelta(minutes=5))
    assert "1 deletions are done" in world.tick()


@sqlite_alone
def test_who_asks_twice_gets_the_same_code_and_an_unknown_person_one_that_is_done(world: Deployment) -> None:
    first = ask(world, GONE)
    again = ask(world, GONE)
    assert (again.id, again.code) == (first.id, first.code)
    both = ask(world, GONE, STAYS)
    assert [target.account_key for target in both.targets] == [STAYS]
    nobody = ask(world)
    assert (nobody.status, nobody.targets) == ("done", ())
    assert "2 deletions are done" in world.tick()
    assert world.found(GONE, STAYS) == []


def test_what_is_requested_after_a_deletion_is_not_taken_for_what_the_forgotten_account_had_requested(
    world: Deployment,
) -> None:
    """The run of that request was shared with another account: it stays, with the batch of the row that is gone."""
    enqueue(world, FIRST)
    gone = enqueue(world, GONE)
    (shared,) = world.run_what_is_requested()
    assert not world.run_what_is_requested()  # noted with the end of their run
    assert status_of_request(world, gone) == ("done", shared.run_id)
    ask(world, GONE)
    assert "1 deletions are done" in world.tick()
    assert world.instance.has_run(shared.run_id)

    new = enqueue(world, FIRST)

    (own,) = world.run_what_is_requested()
    assert own.dagster_run.tags[BATCH_TAG] != shared.dagster_run.tags[BATCH_TAG]
    assert not world.run_what_is_requested()
    assert status_of_request(world, new) == ("done", own.run_id)


def enqueue(world: Deployment, account_key: str) -> int:
    with world.small.engine.begin() as db:
        return sync_requests.enqueue(
            db,
            kind="insights",
            account_key=account_key,
            first=LAST,
            last=LAST,
            requested_by="admin",
            reason="asked",
            now=world.small.clock(),
        ).id


def status_of_request(world: Deployment, request_id: int) -> tuple[str, str | None]:
    with world.small.engine.connect() as db:
        found = sync_requests.by_id(db, request_id)
    assert found is not None
    return found.status, found.run_id


@sqlite_alone
def test_one_account_of_a_person_goes_and_the_other_keeps_name_and_email(world: Deployment) -> None:
    world.connect(FIRST, email=f"{GONE}@mail.example")
    world.run_beside("access_tokens")
    ask(world, GONE)
    world.tick()
    kept = exported(world.small.engine, f"{GONE}@mail.example")
    assert kept is not None
    assert [row["username"] for row in kept["tables"]["user_tokens"]] == [FIRST]


class KilledError(BaseException):
    """The process ends here."""


def out_of_reach(*_args: object, **_named: object) -> None:
    raise StoreError("The bucket does not answer.")


def killed(*_args: object, **_named: object) -> None:
    raise KilledError


def refuse(*_args: object, **_named: object) -> None:
    raise ScrubbingWaitsError("The table users is in use; it is written anew later.")
