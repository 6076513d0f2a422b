"""What stands in the environment of the processes that `up` and `demo` start: their own secrets and no others."""

import os
import re
from pathlib import Path
from typing import get_args

import psutil
import pytest
from pydantic import SecretStr

from ig_pipeline.cli.dagster_stack import SECRETS_OF, Process, environment
from ig_pipeline.settings import PREFIX, Settings, load_settings, secret_settings
from ig_pipeline.vault.cipher import new_key
from ig_pipeline_tests.cli.up_process import up_process

# What a shell or a supervisor may have in its environment besides, and none of ours needs.
FOREIGN = {"IG_LONG_TOKEN": "canary-long-token", "GITHUB_TOKEN": "canary-github", "SSH_AUTH_SOCK": "/canary/socket"}
CLOUD = {"AWS_SECRET_ACCESS_KEY": "canary-cloud"}


def secrets_in(folder: Path) -> dict[str, str]:
    """A value of its own for every secret that there is but Dagster's database, which has to be reached."""
    return {
        "database_url": f"sqlite:///{folder / 'canary-database.db'}",
        "app_secret": "canary-app-secret",
        "encryption_keys": new_key().get_secret_value(),
        "api_token": "canary-api-token-0123456789",
        "admin_token": "canary-admin-token-0123456789",
        "start_link_key": "canary-start-link-key-0123456789-0123456789",
        "telegram_token": "canary-telegram-token",
    }


def known_to(environ: dict[str, str], secrets: dict[str, str]) -> set[str]:
    """The names of those `secrets` that stand in an environment."""
    text = "\0".join(environ.values())
    return {name for name, value in secrets.items() if value in text}


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("up")
def test_each_child_of_up_has_the_secrets_that_it_needs_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secrets = secrets_in(tmp_path)
    given = {f"{PREFIX}{name.upper()}": value for name, value in secrets.items()}
    with up_process(folder, "up", env={**given, **FOREIGN, **CLOUD, f"{PREFIX}APP_ID": "1"}) as up:
        up.says("Web service:")
        seen = {kind_of(child): child.environ() for child in up.family()[1:]}
    assert set(seen) == {"code", "webserver", "daemon", "web"}
    for kind, environ in seen.items():
        expected = set(SECRETS_OF[kind]) & set(secrets)
        assert known_to(environ, secrets) == expected, kind
        assert known_to(environ, FOREIGN) == set(), kind
        assert bool(known_to(environ, CLOUD)) == (kind in ("code", "web")), f"{kind}: credentials of the media store"


def kind_of(child: psutil.Process) -> Process:
    line = " ".join(child.cmdline())
    kinds: dict[str, Process] = {
        "api grpc": "code",
        "ig_pipeline.dagster_ui": "webserver",
        "dagster-daemon": "daemon",
        "cli web": "web",
    }
    return next(kind for part, kind in kinds.items() if part in line)


@pytest.mark.parametrize("process", get_args(Process))
def test_a_process_gets_its_secrets_and_every_setting_that_is_none(
    tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**FOREIGN, f"{PREFIX}GRAPH_VERSION": "v19.0"}.items():
        monkeypatch.setenv(name, value)
    secrets = {**secrets_in(tmp_path), "dagster_database_url": "postgresql+psycopg2://a:canary-dagster@c/d"}
    settings = Settings.model_validate({"data_dir": tmp_path, "accounts_per_run": 7, "web_port": 81, **secrets})
    environ = environment(settings, process)
    assert known_to(environ, secrets) == set(SECRETS_OF[process])
    assert known_to(environ, FOREIGN) == set()
    read = load_settings(environ, env_file=None)
    public = set(Settings.model_fields) - set(secrets) - {"data_dir"}
    assert {name: getattr(read, name) for name in public} == {name: getattr(settings, name) for name in public}
    assert environ["PATH"] == os.environ["PATH"]


def test_what_a_env_file_holds_does_not_reach_a_process_that_is_not_to_have_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{PREFIX}TELEGRAM_TOKEN=canary\n{PREFIX}ADMIN_TOKEN=canary-0123456789-0123456789\n")
    read = load_settings(environment(Settings(data_dir=tmp_path), "daemon"), env_file=tmp_path / ".env")
    assert (read.telegram_token, read.admin_token) == (None, None)


def test_every_secret_is_some_processs_and_new_ones_have_to_say_whose() -> None:
    # The bot is started by its operator.
    assert {name for names in SECRETS_OF.values() for name in names} | {"telegram_token"} == secret_settings()
    named = re.compile(r"token|secret|key|password|database_url")
    assert {name for name in Settings.model_fields if named.search(name)} == secret_settings()
    filled = Settings(api_token=SecretStr("x" * 30))
    assert {name for name, value in filled if isinstance(value, SecretStr)} <= secret_settings()
