"""`config show`: everything is listed, nothing secret is shown."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.cli.config import shown_value
from ig_pipeline.settings import PREFIX, Settings
from ig_pipeline_tests.cli.conftest import Run


def test_every_setting_is_listed_with_its_value_and_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IG_PIPELINE_LOGIN=instagram\nIG_PIPELINE_APP_ID=1\n")
    result = run("config", "show", "--json", env={"IG_PIPELINE_APP_ID": "42"})
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == [PREFIX + name.upper() for name in Settings.model_fields]
    assert (rows["IG_PIPELINE_APP_ID"]["value"], rows["IG_PIPELINE_APP_ID"]["source"]) == ("42", "environment")
    assert (rows["IG_PIPELINE_LOGIN"]["value"], rows["IG_PIPELINE_LOGIN"]["source"]) == ("instagram", ".env")
    assert rows["IG_PIPELINE_GRAPH_VERSION"]["source"] == "default"


def test_the_table_for_people_cuts_no_name(run: Run) -> None:
    result = run("config", "show", env={"COLUMNS": "80"})
    assert all(PREFIX + name.upper() in result.stdout for name in Settings.model_fields)


SECRETS = {
    "IG_PIPELINE_APP_SECRET": "canary-secret",
    "IG_PIPELINE_ENCRYPTION_KEYS": "canary-one,canary-two",
    "IG_PIPELINE_DATABASE_URL": "postgresql://me:canary-password@db.example/app",
    "IG_PIPELINE_DAGSTER_DATABASE_URL": "postgresql://me:canary-password@db.example/dagster",
}


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_secrets_are_masked(run: Run, form: tuple[str, ...]) -> None:
    result = run("config", "show", *form, env=SECRETS)
    assert result.exit_code == 0
    assert "canary" not in result.output
    assert "postgresql://me:***@db.example/app" in result.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:p%40x@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@x@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p/x@h/db", "***"),
        ("postgresql://u:p#x@h/db", "***"),
        ("postgresql://u:p?x@h/db", "***"),
        ("postgresql:///db?user=u&password=p", "postgresql:///db?***"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:p@[::1", "***"),
        ("sqlite:////srv/ig.db", "sqlite:////srv/ig.db"),
        ("p", "***"),
    ],
)
def test_a_url_shows_where_but_never_its_password(url: str, shown: str) -> None:
    assert shown_value(SecretStr(url)) == shown


def test_an_env_file_in_the_working_folder_cannot_lead_tokens_away_unseen(run: Run, tmp_path: Path) -> None:
    """`cd` into a folder somebody else filled, and every token would have gone where its .env said."""
    (tmp_path / ".env").write_text("IG_PIPELINE_GRAPH_URL=https://graph.evil.example\n")
    seen = run("config", "show", "--json")
    assert "https://graph.evil.example" in seen.stderr
    assert str(tmp_path / ".env") in seen.stderr
    (tmp_path / ".env").write_text("IG_PIPELINE_GRAPH_URL=http://graph.evil.example\n")
    refused = run("connections", "list")
    assert refused.exit_code != 0
    assert "https://" in refused.stderr
