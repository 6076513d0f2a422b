"""The two dagster.yaml differ in their storage alone, and both are ones that Dagster accepts."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import SecretStr

from ig_pipeline.cli.dagster_stack import AlreadyRunningError, environment, only_one, prepare_home
from ig_pipeline.dagster_storage.sqlite import BatchingSqliteEventLogStorage
from ig_pipeline.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def test_embedded_and_production_instances_differ_in_storage_alone() -> None:
    production = read("deploy/dagster.yaml")
    storages = [production.pop(name) for name in ("run_storage", "event_log_storage", "schedule_storage")]
    url = {"postgres_url": {"env": "IG_PIPELINE_DAGSTER_DATABASE_URL"}}
    assert [storage["config"] for storage in storages] == [url] * 3
    assert production == read("dagster.yaml")


def test_dagster_accepts_the_embedded_instance_and_only_crashes_are_retried(tmp_path: Path) -> None:
    home = prepare_home(Settings(data_dir=tmp_path))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        assert list(home.glob("history/runs/index.db"))
        assert not instance.telemetry_enabled
        assert instance.run_retries_enabled
        assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
        assert instance.run_monitoring_enabled
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 4


def test_dagster_accepts_what_the_helm_values_add(tmp_path: Path) -> None:
    """With the chart's own section for the queue beside it, Dagster would refuse `concurrency`."""
    values = read("deploy/helm-values.yaml")
    assert values["dagsterDaemon"]["runCoordinator"] == {"enabled": False}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(values["additionalInstanceConfig"]))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_concurrency_config().run_queue_config is not None


def test_the_home_gets_the_production_file_when_dagster_has_a_database(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, dagster_database_url=SecretStr("postgresql://a:b@c/d"))
    assert yaml.safe_load((prepare_home(settings) / "dagster.yaml").read_text()) == read("deploy/dagster.yaml")
    assert environment(settings, "daemon")["IG_PIPELINE_DAGSTER_DATABASE_URL"] == "postgresql+psycopg2://a:b@c/d"


def test_processes_get_every_setting_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came from .env or was overridden by a command counts; an old variable does not."""
    monkeypatch.setenv("IG_PIPELINE_GRAPH_VERSION", "v19.0")
    keys = (SecretStr("k" * 43 + "="), SecretStr("l" * 43 + "="))
    settings = Settings(data_dir=tmp_path, graph_version="v25.0", encryption_keys=keys, accounts_per_run=7)
    env = environment(settings, "code")
    assert load_settings(env, env_file=None) == settings.model_copy(update={"data_dir": tmp_path.resolve()})
    assert env["DAGSTER_HOME"] == str(tmp_path.resolve() / "dagster")


def test_processes_in_another_folder_find_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(media_url="my media", database_url=SecretStr("sqlite:///my.db"))
    env = environment(settings, "code")
    assert env["IG_PIPELINE_MEDIA_URL"] == str(tmp_path / "my media")
    assert env["IG_PIPELINE_DATABASE_URL"] == f"sqlite:///{tmp_path / 'my.db'}"
    for url in ("s3://bucket/prefix", f"file://{tmp_path}", str(tmp_path)):
        assert environment(settings.model_copy(update={"media_url": url}), "code")["IG_PIPELINE_MEDIA_URL"] == url


def test_two_on_one_home_are_refused_and_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(AlreadyRunningError, match="IG_PIPELINE_DATA_DIR"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
