"""Settings: what is refused, what is hidden, and that the example file tells the truth."""

import re
from pathlib import Path

import pytest

from ig_pipeline.settings import PREFIX, Settings, SettingsError, load_settings

ROOT = Path(__file__).parent.parent


def test_no_environment_is_needed() -> None:
    settings = load_settings({}, env_file=None)
    assert settings.effective_database_url.get_secret_value().startswith("sqlite:////")


def test_a_bad_value_is_refused_with_its_name_and_what_would_be_right() -> None:
    with pytest.raises(
        SettingsError, match=r"IG_PIPELINE_INITIAL_BACKFILL_DAYS: .*less than or equal to 365.*Days of history"
    ):
        load_settings({"IG_PIPELINE_INITIAL_BACKFILL_DAYS": "4000"}, env_file=None)


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="IG_PIPELINE_DATABSE_URL"):
        load_settings({"IG_PIPELINE_DATABSE_URL": "x"}, env_file=None)


def test_a_refused_secret_is_not_echoed() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"IG_PIPELINE_LOGIN": "canary-secret"}, env_file=None)
    assert "canary-secret" not in str(caught.value)


def test_secrets_do_not_print() -> None:
    settings = load_settings({"IG_PIPELINE_APP_SECRET": "canary-secret"}, env_file=None)
    assert "canary-secret" not in repr(settings)


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("IG_PIPELINE_APP_ID=from-file\nIG_PIPELINE_LOGIN=instagram\n")
    settings = load_settings({"IG_PIPELINE_APP_ID": "from-environment"}, env_file=file)
    assert (settings.app_id, settings.login) == ("from-environment", "instagram")


def test_the_example_file_lists_every_setting_and_no_other() -> None:
    listed = re.findall(rf"^#?\s*({PREFIX}[A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)
    assert listed == [PREFIX + name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize("name", ["GRAPH_URL", "TELEGRAM_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "http://graph.evil.example",
        "http://10.0.0.5:8990",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example",
        "https://graph.facebook.com@evil.example",
        "https://user:canary-secret@evil.example",
        "https://evil.example?x=",
        "https://evil.example#",
        "https://evil.example/a b",
        "ftp://evil.example",
        "HTTP://EVIL.EXAMPLE",
        "https://",
        "https://[::1",
        "http://0.0.0.0:8990",
        "https://evil.example:99999",
    ],
)
def test_tokens_go_nowhere_in_clear_and_nowhere_that_an_address_hides(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=f"IG_PIPELINE_{name}: .*https://") as caught:
        load_settings({f"IG_PIPELINE_{name}": url}, env_file=None)
    assert "canary-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://proxy.example/meta", "http://127.0.0.1:8990", "http://localhost:1", "http://[::1]:1"]
)
def test_tokens_may_go_over_tls_or_within_this_machine(url: str) -> None:
    settings = load_settings({"IG_PIPELINE_GRAPH_URL": f"{url}/", "IG_PIPELINE_TELEGRAM_URL": url}, env_file=None)
    assert (settings.graph_url, settings.telegram_url) == (url, url)


def test_an_env_file_that_says_where_tokens_go_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / ".env"
    file.write_text("IG_PIPELINE_GRAPH_URL=https://graph.evil.example\nIG_PIPELINE_APP_ID=1\n")
    load_settings({"IG_PIPELINE_GRAPH_URL": "http://127.0.0.1:8990"}, env_file=file)
    assert caplog.messages == [], "the environment won"
    load_settings({}, env_file=file)
    load_settings({}, env_file=file)
    assert caplog.messages == [
        f"IG_PIPELINE_GRAPH_URL is set by {file}: secrets are sent to https://graph.evil.example."
    ]
