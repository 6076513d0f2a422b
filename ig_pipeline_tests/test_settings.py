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
