"""`connections export|forget`: everything about a person, and nothing about them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from ig_pipeline.cli.main import cli
from ig_pipeline.clock import utc_now
from ig_pipeline.storage import deletion_requests, leases, oauth_states
from ig_pipeline.storage.connections import connect
from ig_pipeline.storage.database import migrate, open_engine


def test_a_person_is_exported_without_secrets_and_then_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IG_PIPELINE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IG_PIPELINE_GRAPH_URL", "http://127.0.0.1:1")
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'ig_pipeline.db'}"))
    migrate(engine)
    with engine.begin() as db:
        connect(
            db,
            email="a@b.example",
            login="facebook",
            account_id="17841",
            username="gone.canary",
            encrypt=lambda _: "canary-secret",
            expires_at=None,
            scopes="",
            now=utc_now(),
        )
    engine.dispose()
    shown = CliRunner().invoke(cli, ["connections", "export", "--email", "A@b.example"])
    assert json.loads(shown.stdout)["tables"]["user_tokens"][0]["username"] == "gone.canary"
    assert "canary-secret" not in shown.stdout
    asked = CliRunner().invoke(cli, ["connections", "forget", "--email", "a@b.example"], input="n\n")
    assert asked.exit_code != 0
    done = CliRunner().invoke(cli, ["connections", "forget", "--email", "a@b.example", "--yes"])
    assert done.exit_code == 0, done.output
    assert "Confirmation code" in done.stdout
    assert b"gone.canary" not in (tmp_path / "ig_pipeline.db").read_bytes()
    assert CliRunner().invoke(cli, ["connections", "export", "--email", "a@b.example"]).exit_code == 2


def test_a_login_that_was_only_begun_is_forgotten_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IG_PIPELINE_DATA_DIR", str(tmp_path))
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'ig_pipeline.db'}"))
    migrate(engine)
    with engine.begin() as db:
        oauth_states.start(db, state="s", browser="b", email="began@b.example", login="facebook", now=utc_now())
    done = CliRunner().invoke(cli, ["connections", "forget", "--email", "Began@b.example", "--yes"])
    assert "Erased. Confirmation code" in done.stdout, done.output
    assert b"began@b.example" not in (tmp_path / "ig_pipeline.db").read_bytes()
    again = CliRunner().invoke(cli, ["connections", "forget", "--email", "began@b.example", "--yes"])
    assert "no such connection" in again.output
    engine.dispose()


def test_while_another_process_deletes_the_command_leaves_the_rest_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IG_PIPELINE_DATA_DIR", str(tmp_path))
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'ig_pipeline.db'}"))
    migrate(engine)
    with engine.begin() as db:
        oauth_states.start(db, state="s", browser="b", email="began@b.example", login="facebook", now=utc_now())
        assert leases.take(db, leases.DELETIONS, owner="a run of Dagster's", now=utc_now())
    done = CliRunner().invoke(cli, ["connections", "forget", "--email", "began@b.example", "--yes"])
    assert "`up` erases the rest" in done.stdout, done.output
    with engine.connect() as db:
        assert len(deletion_requests.waiting(db)) == 1
        assert leases.is_taken(db, leases.DELETIONS, now=utc_now()), "it is not the command's to give back"
    engine.dispose()
