"""`connections`: a token from stdin or the environment becomes a connection; nothing is guessed, nothing is shown."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ig_pipeline.cli.connections import choose
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.storage import meta_people, sync_requests
from ig_pipeline.storage.connections import by_account_key
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.token_rows import read
from ig_pipeline_tests.cli.accounts import EMAIL, connect, database_url, environment
from ig_pipeline_tests.cli.conftest import Run


def listed(run: Run) -> list[dict[str, Any]]:
    return list(json.loads(run("connections", "list", "--json").stdout))


def test_a_token_on_stdin_connects_the_account_behind_it_and_lasts_sixty_days(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    (row,) = listed(run)
    assert (row["account_key"], row["email"], row["status"]) == ("acme.studio", EMAIL, "connected")
    left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=59) < left <= timedelta(days=60, minutes=1)


def test_from_env_takes_the_developers_secrets(run: Run, meta: RunningSimulator) -> None:
    account = meta.world.account("harbor.bakery")
    secrets = {"IG_LONG_TOKEN": meta.token("harbor.bakery"), "IG_ACCOUNT_ID": account.id}
    result = run("connections", "add", "--from-env", env=environment(meta) | secrets)
    assert result.exit_code == 0, result.output
    assert [row["account_key"] for row in listed(run)] == ["harbor.bakery"]


def test_from_env_reads_the_env_file_too(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"IG_LONG_TOKEN={meta.token('acme.studio')}\n")
    assert run("connections", "add", "--from-env", env=environment(meta)).exit_code == 0


def test_an_account_that_is_not_behind_the_token_is_refused_with_those_that_are(
    run: Run, meta: RunningSimulator
) -> None:
    secrets = {"IG_LONG_TOKEN": meta.token("acme.studio"), "IG_ACCOUNT_ID": "17841499999999999"}
    result = run("connections", "add", "--from-env", env=environment(meta) | secrets)
    assert result.exit_code == ExitCode.USAGE
    assert "acme.studio" in result.stderr
    assert listed(run) == []


TWO = [FoundAccount("17841400000000001", "one", None, None, "facebook"), FoundAccount("2", "two", None, 5, "facebook")]


def test_several_accounts_behind_a_token_have_to_be_told_apart() -> None:
    with pytest.raises(CommandError, match=r"one \(17841400000000001\), two \(2\).*--account"):
        choose(TWO, None, may_ask=False)
    assert choose(TWO, "two", may_ask=False).account_id == "2"
    assert choose(TWO, "@one", may_ask=False).username == "one"
    assert choose(TWO, "17841400000000001", may_ask=False).username == "one"


def test_an_instagram_token_whose_end_nobody_tells_still_gets_one(run: Run, meta: RunningSimulator) -> None:
    token = meta.token("acme.studio", "instagram")
    result = run("connections", "add", "--email", EMAIL, "--login", "instagram", env=environment(meta), stdin=token)
    assert result.exit_code == 0, result.output
    assert listed(run)[0]["expires_at"]


def test_connecting_again_keeps_the_key_and_the_row(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    run("connections", "disconnect", "--account", "acme.studio", "--yes", env=environment(meta))
    assert listed(run)[0]["status"] == "disconnected"
    connect(run, meta, "acme.studio")
    assert [(row["account_key"], row["status"]) for row in listed(run)] == [("acme.studio", "connected")]


def test_connecting_again_asks_for_the_days_that_were_missed(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    connect(run, meta, "acme.studio")
    assert run("sync", "--account", "acme.studio", "--days", "2", env=environment(meta)).exit_code == 0
    run("connections", "disconnect", "--account", "acme.studio", "--yes", env=environment(meta))
    connect(run, meta, "acme.studio")
    engine = open_engine(database_url(tmp_path))
    with reading(engine) as db:
        request, first = sync_requests.recent(db)
    engine.dispose()
    assert (request.account_key, request.reason) == ("acme.studio", "reconnected")
    assert (first.requested_by, first.status) == ("first_backfill", "queued")


def test_a_disconnected_account_has_no_token_left(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    token = connect(run, meta, "acme.studio")
    command = ("connections", "disconnect", "--account", "acme.studio")
    assert run(*command).exit_code == ExitCode.USAGE
    done = run(*command, "--yes", env=environment(meta))
    assert done.exit_code == 0
    assert "acme.studio: Its token was ended at Meta, too." in done.stdout
    assert httpx.get(f"{meta.url}/me", params={"access_token": token}).status_code == 400
    engine = open_engine(database_url(tmp_path))
    with reading(engine) as db:
        assert read(db, "acme.studio").ciphertext is None
        assert by_account_key(db, "acme.studio").expires_at is None
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("connections", "add"), "t", ExitCode.USAGE, "--email"),
        (("connections", "add", "--email", EMAIL), "", ExitCode.USAGE, "standard input"),
        (("connections", "add", "--email", EMAIL, "--token-env", "NOT_THERE"), "", ExitCode.USAGE, "NOT_THERE"),
        (("connections", "add", "--email", EMAIL), "EAAforged0000000000000000", ExitCode.FAILED, "onnect"),
        (("connections", "disconnect", "--account", "nobody", "--yes"), "", ExitCode.USAGE, "connections list"),
    ],
    ids=["no owner", "no token", "empty variable", "forged token", "unknown account"],
)
def test_what_cannot_be_is_one_line_that_says_what_to_do(
    run: Run, meta: RunningSimulator, arguments: tuple[str, ...], stdin: str, code: ExitCode, says: str
) -> None:
    result = run(*arguments, env=environment(meta), stdin=stdin)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_a_token_given_as_an_argument_is_not_repeated(run: Run, meta: RunningSimulator) -> None:
    token = meta.token("acme.studio")
    result = run("connections", "add", "--email", EMAIL, token)
    assert result.exit_code == ExitCode.USAGE
    assert token not in result.output


def test_a_pasted_token_that_never_ends_is_stored_as_such(run: Run, meta: RunningSimulator) -> None:
    lever = httpx.post(f"{meta.url}/_simulator/tokens/acme.studio/endless")
    result = run("connections", "add", "--email", EMAIL, env=environment(meta), stdin=lever.json()["token"])
    assert result.exit_code == 0, result.output
    assert "its token without an end" in result.stdout
    assert listed(run)[0]["expires_at"] is None
    assert listed(run)[0]["expiry"] == "never"
    assert "never ends" in run("connections", "list").stdout


def test_without_the_app_the_end_of_a_pasted_token_is_called_assumed(run: Run, meta: RunningSimulator) -> None:
    env = {"IG_PIPELINE_GRAPH_URL": meta.url}
    result = run("connections", "add", "--email", EMAIL, env=env, stdin=meta.token("acme.studio"))
    assert result.exit_code == 0, result.output
    assert "Meta did not say" in result.stdout
    assert "IG_PIPELINE_APP_ID" in result.stdout
    assert listed(run)[0]["expiry"] == "assumed"
    assert "(assumed)" in run("connections", "list").stdout
    refreshed = run("tokens", "refresh", env=env)
    assert refreshed.exit_code == 0
    assert "(assumed)" in refreshed.stdout


def test_the_end_of_reading_is_listed_and_looked_at_by_the_doctor(run: Run, meta: RunningSimulator) -> None:
    httpx.post(f"{meta.url}/_simulator/tokens/acme.studio/data-access?in={10 * 86_400 + 60}")
    connect(run, meta, "acme.studio")
    shown = run("connections", "list").stdout
    assert "acme.studio: Meta lets us read this account for 90 days" in shown
    assert "Connect again: that counts as using it." in shown
    assert listed(run)[0]["data_access_expires_at"] is not None
    findings = json.loads(run("doctor", "--json", env=environment(meta)).stdout)["findings"]
    [finding] = [row for row in findings if row["subject"] == "acme.studio"]
    assert finding["status"] == "warn"
    assert f"Ask {EMAIL} to connect again" in finding["advice"]


def test_a_switched_off_app_is_said_in_metas_words(run: Run, meta: RunningSimulator) -> None:
    connect(run, meta, "acme.studio")
    connect(run, meta, "harbor.bakery", email="other@b.example")
    meta.simulation.oddities.app = "switched_off"
    token = meta.token("little.letterpress")
    result = run("connections", "add", "--email", EMAIL, env=environment(meta), stdin=token)
    assert result.exit_code == ExitCode.FAILED
    assert "API access deactivated. To reactivate, go to the app dashboard" in result.stderr
    synced = run("sync", "--all", "--days", "1", env=environment(meta))
    assert synced.exit_code == ExitCode.FAILED
    assert synced.stdout.count("API access deactivated") == 1


def test_an_empty_list_says_what_comes_next(run: Run) -> None:
    assert "connections add" in run("connections", "list").stdout


def test_forgetting_ends_the_token_at_meta_too(run: Run, meta: RunningSimulator) -> None:
    token = connect(run, meta, "acme.studio")
    done = run("connections", "forget", "--email", EMAIL, "--yes", env=environment(meta))
    assert done.exit_code == 0, done.output
    assert "acme.studio: Its token was ended at Meta, too." in done.stdout
    assert httpx.get(f"{meta.url}/me", params={"access_token": token}).status_code == 400


def test_who_gave_a_token_is_known_to_metas_callbacks(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    """Without the app's id and secret Meta does not tell."""
    connect(run, meta, "acme.studio")
    engine = open_engine(database_url(tmp_path))
    with reading(engine) as db:
        found = meta_people.connections_of(db, meta.world.account("acme.studio").user_id)
    engine.dispose()
    assert [connection.account_key for connection in found] == ["acme.studio"]
