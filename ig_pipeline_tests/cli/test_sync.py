"""`sync`, `timeline`, `tokens` and `keys` from beginning to end, against a simulated Instagram."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.cli.sync import exit_code
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.errors import AppFaultError, GraphError, MalformedAnswerError, UnreachableError
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.storage import sync_requests, tables
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.overview import standings
from ig_pipeline.storage.token_rows import read
from ig_pipeline.sync.failures import lost_cells
from ig_pipeline.sync.results import AccountDayResult, CellStatus
from ig_pipeline_tests.cli.accounts import EMAIL, connect, database_url, environment
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.cli.truth import assert_day

DAYS = 4


def test_what_sync_writes_timeline_shows_and_both_are_the_truth(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    since = datetime.now(UTC)
    done = run("sync", "--account", "acme.studio", "--days", str(DAYS), "--json", env=environment(meta))
    assert done.exit_code == ExitCode.OK, done.output
    (summary,) = json.loads(done.stdout)
    assert (summary["success"], summary["total_errors"]) == (True, 0)
    assert summary["metrics_inserted"]["reach"] == DAYS
    document = json.loads(run("timeline", "--email", EMAIL, "--days", str(DAYS), "--json").stdout)
    days = document["accounts"][0]["days"]
    account, last = meta.world.account("acme.studio"), datetime.fromisoformat(days[-1]["date"]).date()
    assert last in [last_complete_day(at) for at in (since, datetime.now(UTC))]
    assert [row["date"] for row in days] == [(last - timedelta(days=n)).isoformat() for n in range(DAYS)][::-1]
    settled = [row for row in days if row["date"] < (last - timedelta(days=2)).isoformat()]
    assert settled
    for row in settled:
        day = datetime.fromisoformat(row["date"]).date()
        assert_day(account, day, (row["reach"], row["engagement"]), since=since)


def test_without_dagster_sync_all_fetches_the_first_days_of_an_account_that_is_new(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    connect(run, meta, "acme.studio")
    assert first_backfill(tmp_path) == ("queued", 0)
    given = environment(meta) | {"IG_PIPELINE_INITIAL_BACKFILL_DAYS": str(DAYS)}
    first = run("sync", "--all", "--days", "1", "--json", env=given)
    assert first.exit_code == ExitCode.OK, first.output
    assert json.loads(first.stdout)[0]["metrics_inserted"]["reach"] == DAYS
    assert first_backfill(tmp_path) == ("done", DAYS)
    second = run("sync", "--all", "--days", "1", "--json", env=given)
    assert json.loads(second.stdout)[0]["metrics_inserted"]["reach"] == 1


def test_first_days_that_were_fetched_across_midnight_need_not_be_fetched_again(
    run: Run, meta: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(run, meta, "acme.studio")
    looks = itertools.count()
    # Each look at the clock is a day after the one before.
    monkeypatch.setattr("ig_pipeline.cli.sync.utc_now", lambda: datetime.now(UTC) + timedelta(days=next(looks)))
    given = environment(meta) | {"IG_PIPELINE_INITIAL_BACKFILL_DAYS": str(DAYS)}
    assert run("sync", "--all", "--days", "1", env=given).exit_code == ExitCode.OK
    assert first_backfill(tmp_path) == ("done", DAYS)


def test_a_sync_of_fewer_days_leaves_the_first_backfill_to_be_done(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    connect(run, meta, "acme.studio")
    given = environment(meta) | {"IG_PIPELINE_INITIAL_BACKFILL_DAYS": str(DAYS)}
    run("sync", "--account", "acme.studio", "--days", "1", env=given)
    assert first_backfill(tmp_path) == ("queued", 0)


def test_without_dagster_sync_all_fetches_what_a_rate_limit_put_off_and_sync_says_so(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    connect(run, meta, "acme.studio")
    throttle = f"{meta.url}/_simulator/throttle/acme.studio"
    httpx.post(throttle, params={"after": 3}).raise_for_status()
    put_off = run("sync", "--account", "acme.studio", "--days", str(DAYS), env=environment(meta))
    assert put_off.exit_code in (ExitCode.PARTIAL, ExitCode.UNAVAILABLE), put_off.output
    assert "by itself" not in put_off.stdout, "nothing does without Dagster"
    assert "by the next `ig-pipeline sync --all`" in put_off.stdout
    httpx.delete(throttle).raise_for_status()
    assert not statuses(tmp_path, "rate_limit") & {"done"}
    its_time_has_come(tmp_path)
    done = run("sync", "--all", "--days", "1", "--json", env=environment(meta))
    assert done.exit_code == ExitCode.OK, done.output
    assert statuses(tmp_path, "rate_limit") == {"done"}
    document = json.loads(run("timeline", "--email", EMAIL, "--days", str(DAYS), "--json").stdout)
    assert [row for row in document["accounts"][0]["days"] if row["reach"] is None] == []


def test_a_sync_that_was_stopped_leaves_what_is_due_in_the_queue(
    run: Run, meta: RunningSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(run, meta, "acme.studio")

    async def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ig_pipeline.cli.sync._sync", stopped)
        assert run("sync", "--all", env=environment(meta)).exit_code != ExitCode.OK
    assert statuses(tmp_path, "first_backfill") == {"queued"}


def statuses(folder: Path, requested_by: str) -> set[str]:
    """Of the requests that are of this origin."""
    engine = open_engine(database_url(folder))
    with reading(engine) as db:
        found = {request.status for request in sync_requests.recent(db) if request.requested_by == requested_by}
    engine.dispose()
    return found


def its_time_has_come(folder: Path) -> None:
    """Of everything that is asked for."""
    engine = open_engine(database_url(folder))
    with engine.begin() as db:
        db.execute(sa.update(tables.sync_requests).values(not_before=tables.sync_requests.c.created_at))
    engine.dispose()


def first_backfill(folder: Path) -> tuple[str, int]:
    """State and days of the one account's first backfill."""
    engine = open_engine(database_url(folder))
    with reading(engine) as db:
        (standing,) = standings(db, initial_days=DAYS)
    engine.dispose()
    return standing.backfill.state, standing.backfill.done


def test_the_timeline_for_people_fits_eighty_columns_and_names_every_day(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    run("sync", "--account", "acme.studio", "--days", str(DAYS), env=environment(meta))
    shown = run("timeline", "--account", "acme.studio", "--days", str(DAYS), env={"COLUMNS": "80"})
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "Reach" in shown.stdout
    assert f"{DAYS} of {DAYS} days" in shown.stdout
    assert "\x1b[" not in shown.stdout


def test_without_a_value_yet_the_timeline_says_how_to_get_one(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    shown = run("timeline", "--account", "acme.studio")
    assert shown.exit_code == 0
    assert "ig-pipeline sync --account acme.studio" in shown.stdout


def test_one_revoked_account_makes_the_sync_partial_and_names_what_to_do(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    connect(run, meta, "harbor.bakery", email="b@b.example")
    httpx.post(f"{meta.url}/_simulator/tokens/harbor.bakery/revoke").raise_for_status()
    done = run("sync", "--all", "--days", "1", env=environment(meta))
    assert done.exit_code == ExitCode.PARTIAL, done.output
    assert "harbor.bakery" in done.stdout
    assert "onnect" in done.stdout
    alone = run("sync", "--account", "harbor.bakery", "--days", "1", env=environment(meta))
    assert alone.exit_code == ExitCode.FAILED
    assert "Traceback" not in alone.output
    rows = {row["account_key"]: row["status"] for row in json.loads(run("connections", "list", "--json").stdout)}
    assert rows == {"acme.studio": "connected", "harbor.bakery": "reconnect_required"}


def test_json_is_the_only_thing_on_standard_output(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    done = run("-v", "sync", "--account", "acme.studio", "--days", "1", "--json", env=environment(meta))
    assert json.loads(done.stdout)
    assert "[SYNC]" in done.stderr


@pytest.mark.parametrize("arguments", [("sync",), ("sync", "--all", "--account", "x"), ("timeline",)])
def test_a_command_that_does_not_know_whose_days_asks(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync", "--account", "nobody"),
        ("timeline", "--account", "nobody"),
        ("timeline", "--email", "nobody@b.example"),
        ("tokens", "refresh", "--account", "nobody"),
    ],
)
def test_somebody_unknown_is_told_where_the_known_ones_are(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == ExitCode.USAGE
    assert "connections list" in result.stderr


def cell(status: CellStatus, error: GraphError | None = None) -> AccountDayResult:
    day = datetime(2026, 11, 1, tzinfo=UTC).date()
    if error is not None:
        [lost] = lost_cells(error, asset="daily_metrics", account_key="a", connection=None, days=[day])
        return lost
    return AccountDayResult("daily_metrics", "a", day, status)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([cell("complete")], ExitCode.OK),
        ([cell("complete"), cell("failed")], ExitCode.PARTIAL),
        ([cell("partial")], ExitCode.PARTIAL),
        ([cell("complete"), cell("deferred")], ExitCode.PARTIAL),
        ([cell("failed"), cell("deferred")], ExitCode.FAILED),
        ([cell("deferred"), cell("deferred")], ExitCode.UNAVAILABLE),
        ([cell("failed", UnreachableError("away"))], ExitCode.UNAVAILABLE),
        ([cell("failed", MalformedAnswerError("a page of HTML"))], ExitCode.UNAVAILABLE),
        ([cell("failed", AppFaultError("switched off", cause="switched_off"))], ExitCode.FAILED),
        ([cell("failed", UnreachableError("away")), cell("failed")], ExitCode.FAILED),
    ],
)
def test_exit_codes_tell_complete_partial_and_failed_apart(cells: list[AccountDayResult], code: ExitCode) -> None:
    assert exit_code(cells) == code


def test_tokens_far_from_their_end_are_left_alone_and_others_refreshed(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    idle = json.loads(run("tokens", "refresh", "--json", env=environment(meta)).stdout)
    assert [row["outcome"] for row in idle] == ["not_due"]
    forced = run("tokens", "refresh", "--within", "90", "--json", env=environment(meta))
    assert [row["outcome"] for row in json.loads(forced.stdout)] == ["refreshed"]


def test_a_refused_token_is_a_failure_with_its_reason(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    httpx.post(f"{meta.url}/_simulator/tokens/acme.studio/revoke").raise_for_status()
    refused = run("tokens", "refresh", "--within", "90", env=environment(meta))
    assert refused.exit_code == ExitCode.FAILED
    assert "connect again" in refused.stdout


def test_rotating_the_key_file_moves_every_token_and_the_old_key_still_opens_what_is_under_way(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    connect(run, meta, "acme.studio")
    file = tmp_path / ".ig_pipeline" / "keys" / "token.key"
    before, old = file.read_text().split(), ciphertext(tmp_path)
    assert "\nTokens encrypted with the first key: 1." in run("keys", "rotate").stdout
    assert ciphertext(tmp_path) != old
    assert file.read_text().split()[1:] == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("sync", "--account", "acme.studio", "--days", "1", env=environment(meta)).exit_code == ExitCode.OK
    assert run("keys", "rotate").exit_code == 0
    assert file.read_text().split()[-1:] == before, "until `keys prune` takes it off"


def ciphertext(folder: Path) -> str | None:
    engine = open_engine(database_url(folder))
    try:
        with reading(engine) as db:
            return read(db, "acme.studio").ciphertext
    finally:
        engine.dispose()


def test_a_new_key_can_be_used_at_once(run: Run) -> None:
    key = run("keys", "new").stdout.strip()
    assert run("doctor", "--json", env={"IG_PIPELINE_ENCRYPTION_KEYS": key}).stdout.count(key) == 0
    assert run("keys", "rotate", env={"IG_PIPELINE_ENCRYPTION_KEYS": key}).exit_code == 0
