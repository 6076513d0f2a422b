"""Canaries: secrets are planted, every command is run, failing ones included, and every byte they wrote is searched."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ig_pipeline.cli.dagster_home import prepare_home
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.vault.cipher import new_key
from ig_pipeline_tests.cli.accounts import EMAIL, environment, settings_in
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.readme_blocks import leaf_commands

PASSWORD = "canary-database-passw0rd"
# They run until Ctrl-C and are not run here.
SERVERS = {"demo", "up", "web", "simulator", "bot"}
# Printing a new key is what it is for.
PRINTS_A_SECRET = {"keys new"}

ACCOUNT = ("--account", "acme.studio")
WORKING = [
    ("connections list", ()),
    ("connections list", ("--json",)),
    ("config show", ()),
    ("config show", ("--json",)),
    ("doctor", ()),
    ("sync", (*ACCOUNT, "--days", "2")),
    ("sync", ("--all", "--days", "1", "--json")),
    ("timeline", ("--email", EMAIL)),
    ("tokens refresh", ("--within", "90")),
    ("keys rotate", ()),
    ("backfill-instagram", (*ACCOUNT, "--dry-run", "--limit", "1")),
    ("backfill-status", ()),
    ("connections disconnect", (*ACCOUNT, "--yes")),
    ("timeline", ACCOUNT),
    ("connections export", ("--email", EMAIL)),
    ("connections forget", ("--email", EMAIL, "--yes")),
]
FAILING = [
    ("connections add", ("--email", EMAIL, "--login", "instagram")),
    ("doctor", ()),
    ("sync", (*ACCOUNT, "--days", "1")),
    ("tokens refresh", ("--within", "90")),
    ("backfill-instagram", (*ACCOUNT, "--limit", "1")),
    ("connections list", ()),
    ("keys rotate", ()),
    ("timeline", ("--email", EMAIL)),
]


def written_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name != "token.key")


def assert_nowhere(secrets: dict[str, str], output: str, folder: Path) -> None:
    for name, secret in secrets.items():
        assert secret not in output, f"{name} was printed"
        found = [path for path in written_files(folder) if secret.encode() in path.read_bytes()]
        assert not found, f"{name} stands in {found}"


@pytest.fixture
def secrets(meta: RunningSimulator) -> dict[str, str]:
    return {
        "token": meta.token("acme.studio"),
        "app secret": meta.world.app_secret,
        "password": PASSWORD,
        "first key": new_key().get_secret_value(),
        "second key": new_key().get_secret_value(),
    }


@pytest.fixture
def env(meta: RunningSimulator, secrets: dict[str, str], postgres_url: str) -> dict[str, str]:
    """PostgreSQL with a password in its URL (the server trusts whoever comes), two keys."""
    return environment(
        meta,
        DATABASE_URL=postgres_url.replace("postgres@", f"postgres:{PASSWORD}@"),
        ENCRYPTION_KEYS=f"{secrets['first key']},{secrets['second key']}",
    )


def test_every_command_is_searched() -> None:
    names = {name for name, _ in leaf_commands()}
    assert names == {name for name, _ in [*WORKING, *FAILING]} | SERVERS | PRINTS_A_SECRET


def test_no_command_writes_a_secret_anywhere(
    run: Run, meta: RunningSimulator, env: dict[str, str], secrets: dict[str, str], tmp_path: Path
) -> None:
    prepare_home(settings_in(tmp_path, env))  # with a Dagster instance: the grid is told, and searched
    run("connections", "add", "--email", EMAIL, *ACCOUNT, env=env, stdin=secrets["token"])
    output = ""
    for name, options in WORKING:
        result = run("-v", "--traceback", *name.split(), *options, env=env)
        assert result.exit_code == 0, f"{name}: {result.output}"
        output += result.output
    assert "acme.studio" in output
    assert any("dagster" in path.parts for path in written_files(tmp_path))
    assert_nowhere(secrets, output, tmp_path)


def test_no_failing_command_writes_a_secret_anywhere(
    run: Run, meta: RunningSimulator, env: dict[str, str], secrets: dict[str, str], tmp_path: Path
) -> None:
    run("connections", "add", "--email", EMAIL, *ACCOUNT, env=env, stdin=secrets["token"])
    broken = {
        "no database": env | {"IG_PIPELINE_DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/app"},
        "a malformed URL": env | {"IG_PIPELINE_DATABASE_URL": f"postgresql//me:{PASSWORD}@127.0.0.1:1/app"},
        "a foreign key": env | {"IG_PIPELINE_ENCRYPTION_KEYS": new_key().get_secret_value()},
        "half a key": env | {"IG_PIPELINE_ENCRYPTION_KEYS": secrets["first key"][:-3]},
        "another app": env | {"IG_PIPELINE_APP_ID": "1"},
        "a dead token": env,
    }
    output = ""
    for trouble, surroundings in broken.items():
        if trouble == "a dead token":
            httpx.post(f"{meta.url}/_simulator/tokens/acme.studio/revoke").raise_for_status()
        for name, options in FAILING:
            result = run("-v", "--traceback", *name.split(), *options, env=surroundings, stdin=secrets["token"])
            assert "Unexpected" not in result.output, f"{trouble}: {result.output}"
            output += result.output
    output += run("connections", "add", "--email", EMAIL, secrets["token"], env=env).output
    output += run("connections", "add", "--token", secrets["token"], env=env).output
    output += run("connections", "add", f"--token={secrets['token']}", env=env).output
    assert "Error" in output
    assert_nowhere({**secrets, "half a key": secrets["first key"][:-3]}, output, tmp_path)
