"""`doctor`: finds what is wrong, says what to do, changes nothing."""

import json
import socket
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.cli.checks import check_keys, check_ports, check_web, existing_engine
from ig_pipeline.cli.checks_meta import check_clock, check_connections, check_version
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.storage.connections import connect, mark_reconnect_required
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.vault.cipher import KeyRing, new_key
from ig_pipeline_tests.cli.conftest import Run

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path / "data")}, env_file=None)


def store_a_token(settings: Settings, *, expires_at: datetime | None = None) -> None:
    keys = KeyRing.from_settings(settings)
    engine = open_engine(settings.effective_database_url)
    migrate(engine)
    with engine.begin() as db:
        connect(
            db,
            email="a@b.example",
            login="facebook",
            account_id="17841400000000001",
            username="acme",
            encrypt=lambda number: keys.encrypt(SecretStr("t"), bound_to=f"user_tokens:{number}"),
            expires_at=expires_at,
            scopes="",
            now=NOW,
        )
    engine.dispose()


def test_a_fresh_folder_with_meta_in_reach_fails_nothing_and_stays_fresh(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    result = run("doctor", "--json", env={"IG_PIPELINE_GRAPH_URL": meta.url})
    document = json.loads(result.stdout)
    assert document["ok"], document
    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []
    assert {"Graph API", "clock", "keys", "database"} <= {row["subject"] for row in document["findings"]}


def test_whatever_is_not_ok_comes_with_advice(run: Run) -> None:
    result = run("doctor", "--json", env={"IG_PIPELINE_GRAPH_URL": "http://127.0.0.1:1"})
    assert result.exit_code == 1
    assert all(row["advice"] for row in json.loads(result.stdout)["findings"] if row["status"] != "ok")


def test_a_wrong_setting_is_a_finding_of_its_own(run: Run) -> None:
    result = run("doctor", env={"IG_PIPELINE_ACCOUNTS_PER_RUN": "0"})
    assert result.exit_code == 1
    assert "IG_PIPELINE_ACCOUNTS_PER_RUN" in result.stdout


def test_an_unreachable_database_is_named_without_its_password(run: Run, meta: RunningSimulator) -> None:
    url = "postgresql://me:canary-password@127.0.0.1:1/app"
    env = {"IG_PIPELINE_GRAPH_URL": meta.url, "IG_PIPELINE_DATABASE_URL": url, "IG_PIPELINE_DAGSTER_DATABASE_URL": url}
    result = run("doctor", env=env)
    assert result.exit_code == 1
    assert "canary-password" not in result.output
    assert "IG_PIPELINE_DAGSTER_DATABASE_URL" in result.output


def test_a_lost_key_file_is_found(settings: Settings) -> None:
    store_a_token(settings)
    (settings.home / "keys" / "token.key").unlink()
    engine = existing_engine(settings)
    assert check_keys(settings, engine).status == "fail"
    assert engine is not None
    engine.dispose()


def test_a_key_that_does_not_open_the_tokens_is_found(settings: Settings) -> None:
    store_a_token(settings)
    (settings.home / "keys" / "token.key").unlink()
    other = settings.model_copy(update={"encryption_keys": (new_key(),)})
    engine = existing_engine(other)
    assert check_keys(other, engine).status == "fail"
    assert engine is not None
    engine.dispose()


def test_a_key_file_that_others_can_read_is_found(settings: Settings) -> None:
    store_a_token(settings)
    (settings.home / "keys" / "token.key").chmod(0o644)
    assert check_keys(settings, None).status == "warn"


def test_a_key_file_beside_a_database_that_hosts_share_is_found(tmp_path: Path, postgres_url: str) -> None:
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(postgres_url))
    engine = existing_engine(settings)
    assert engine is not None
    before_the_first = check_keys(settings, engine)
    assert before_the_first.status == "warn"
    assert not (settings.home / "keys").exists()
    store_a_token(settings)
    with_a_file = check_keys(settings, engine)
    assert with_a_file.status == "warn"
    assert "IG_PIPELINE_ENCRYPTION_KEYS" in before_the_first.advice
    assert "IG_PIPELINE_ENCRYPTION_KEYS" in with_a_file.advice
    # What the advice says, done: the same ring, wherever it runs.
    keys = (settings.home / "keys" / "token.key").read_text().split()
    shared = settings.model_copy(update={"encryption_keys": tuple(SecretStr(key) for key in keys)})
    assert check_keys(shared, engine).status == "ok"
    engine.dispose()


@pytest.mark.parametrize(
    ("ahead_s", "status"), [(0.4, "ok"), (-20, "ok"), (31, "warn"), (-301, "fail"), (86_400, "fail"), (None, "warn")]
)
def test_the_clock_is_judged_by_metas(ahead_s: float | None, status: str) -> None:
    assert check_clock(ahead_s).status == status


@pytest.mark.parametrize(
    ("version", "today", "status"),
    [
        ("v25.0", date(2026, 11, 20), "ok"),
        ("v21.0", date(2026, 11, 20), "warn"),
        ("v20.0", date(2026, 11, 20), "fail"),
        ("v12.0", date(2026, 11, 20), "fail"),
    ],
)
def test_a_version_about_to_be_switched_off_is_told_with_its_date(version: str, today: date, status: str) -> None:
    settings = load_settings({"IG_PIPELINE_GRAPH_VERSION": version}, env_file=None)
    finding = check_version(settings, lambda: datetime(today.year, today.month, today.day, tzinfo=UTC))
    assert finding.status == status
    if version == "v21.0":
        assert "2027-01-21" in finding.detail
        assert "IG_PIPELINE_GRAPH_VERSION" in finding.advice


def version_finding(run: Run, url: str, version: str, *, code: int) -> dict[str, str]:
    result = run("doctor", "--json", env={"IG_PIPELINE_GRAPH_URL": url, "IG_PIPELINE_GRAPH_VERSION": version})
    assert result.exit_code == code, result.output
    [found] = [row for row in json.loads(result.stdout)["findings"] if row["subject"] == "Graph version"]
    assert isinstance(found, dict)
    return found


def test_meta_itself_is_asked_whether_it_serves_the_version(run: Run, meta: RunningSimulator) -> None:
    served = version_finding(run, meta.url, "v27.0", code=0)
    assert (served["status"], served["detail"]) == ("ok", "v27.0 is served, says Meta")
    unknown = version_finding(run, meta.url, "v99.0", code=1)
    assert unknown["status"] == "fail"
    assert "does not serve v99.0" in unknown["detail"]
    assert "Set IG_PIPELINE_GRAPH_VERSION to v27.0" in unknown["advice"]
    dead = version_finding(run, meta.url, "v12.0", code=1)
    assert dead["status"] == "fail"
    assert "Set IG_PIPELINE_GRAPH_VERSION to v27.0" in dead["advice"]


@pytest.mark.parametrize(
    ("version", "status"), [("v25.0", "ok"), ("v27.0", "ok"), ("v99.0", "warn"), ("v12.0", "fail")]
)
def test_without_meta_the_version_is_judged_by_what_was_announced(run: Run, version: str, status: str) -> None:
    found = version_finding(run, "http://127.0.0.1:1", version, code=1)
    assert found["status"] == status
    if status != "fail":
        assert "did not say" in found["detail"]


def test_a_port_in_use_is_named_with_another(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (finding,) = check_ports({taken.getsockname()[1]: ("the simulator", "ig-pipeline simulator --port 8991")})
    assert finding.status == "warn"
    assert "--port 8991" in finding.advice


def test_connections_that_need_their_owner_are_listed_by_name(settings: Settings) -> None:
    store_a_token(settings, expires_at=NOW + timedelta(days=2))
    engine = existing_engine(settings)
    assert engine is not None
    soon = {finding.subject: finding for finding in check_connections(engine, lambda: NOW, window_days=3)}
    assert "tokens refresh --account acme" in soon["acme"].advice
    with engine.begin() as db:
        mark_reconnect_required(db, 1, message="The password was changed.", now=NOW)
    gone = {finding.subject: finding for finding in check_connections(engine, utc_now, window_days=3)}
    assert gone["acme"].detail == "The password was changed."
    engine.dispose()


def web_findings(**given: str) -> dict[tuple[str, str], str]:
    """Subject and status → detail and advice."""
    settings = load_settings({f"IG_PIPELINE_{name.upper()}": value for name, value in given.items()}, env_file=None)
    return {(found.subject, found.status): f"{found.detail} {found.advice}" for found in check_web(settings)}


def test_what_would_not_start_or_be_open_to_all_is_said() -> None:
    assert set(web_findings()) == {("web service", "ok"), ("Dagster's UI", "ok")}
    public = "https://insights.example.com"
    exposed = web_findings(public_url=public, ui_url="https://dagster.example.com")
    assert "IG_PIPELINE_API_TOKEN" in exposed["web service", "fail"]
    assert "IG_PIPELINE_ADMIN_TOKEN" in exposed["Dagster's UI", "fail"]
    tokens = {"api_token": "a" * 40, "admin_token": "b" * 40}
    unnamed = web_findings(public_url=public, **tokens)
    assert "IG_PIPELINE_PROXY_ADDRESSES" in unnamed["reverse proxy", "warn"]
    assert "IG_PIPELINE_START_LINK_KEY" in unnamed["start links", "warn"]
    whole = web_findings(public_url=public, proxy_addresses="10.0.0.1", start_link_key="c" * 40, **tokens)
    assert {status for _, status in whole} == {"ok"}
    assert ("web service", "warn") in web_findings(public_url="http://insights.example.com", **tokens)
