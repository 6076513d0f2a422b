"""Canaries: secrets are planted, every command is run, failing ones included, and every byte they wrote is searched.

`up` with `web` on PostgreSQL is searched in test_compose, `demo` in test_demo: they start there anyway.
"""

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.vault.cipher import new_key
from ig_pipeline_tests.bot.telegram_server import TOKEN as BOT_TOKEN
from ig_pipeline_tests.bot.telegram_server import running_telegram
from ig_pipeline_tests.canaries import assert_no_token, assert_nowhere, forms, written_files
from ig_pipeline_tests.cli.accounts import EMAIL, environment, settings_in
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.cli.up_process import UpProcess, wait_for
from ig_pipeline_tests.readme_blocks import leaf_commands

PASSWORD = "canary-database-passw0rd"
SERVERS = {"simulator", "bot"}
SEARCHED_ELSEWHERE = {"up", "web", "demo"}
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
    ("keys prune", ()),
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
    ("keys prune", ()),
    ("timeline", ("--email", EMAIL)),
]


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
    assert names == {name for name, _ in [*WORKING, *FAILING]} | SERVERS | SEARCHED_ELSEWHERE | PRINTS_A_SECRET


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


def test_a_secret_is_found_in_every_form_it_may_be_written_in() -> None:
    secret = "canary/with+signs="
    in_base64 = [b64encode(b"x" * before + secret.encode() + b"yz") for before in range(4)]
    for text in (secret.encode(), f"q={quote(secret, safe='')}".encode(), *in_base64):
        assert any(form in text for form in forms(secret)), text


@contextmanager
def served(folder: Path, *command: str, env: dict[str, str]) -> Iterator[UpProcess]:
    """A server of its own process, killed at the end: where the suite was started with Ctrl-C ignored, it is too."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ig_pipeline.cli", "-v", "--traceback", *command],
        env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = UpProcess(process, 0, folder)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def test_the_simulator_prints_no_token_and_no_secret_whatever_is_asked_of_it(tmp_path: Path) -> None:
    with served(tmp_path, "simulator", "--port", "0", env={}) as simulator:
        url = simulator.says("Simulated Graph API at").split()[4]
        app = httpx.get(f"{url}/_simulator").json()
        (owner, *_) = httpx.get(f"{url}/_simulator/accounts").json()
        media = f"{url}/v25.0/{owner['id']}/media"
        assert httpx.get(media, params={"access_token": owner["token"]}).status_code == 200
        assert httpx.get(media, headers={"Authorization": f"Bearer {owner['token']}x"}).status_code == 400
        httpx.post(f"{url}/_simulator/tokens/{owner['username']}/revoke").raise_for_status()
        assert httpx.get(media, params={"access_token": owner["token"]}).status_code == 400
        exchange = {"client_id": app["app_id"], "client_secret": app["app_secret"], "code": "canary-code"}
        assert httpx.get(f"{url}/v25.0/oauth/access_token", params=exchange).status_code == 400
    assert_nowhere({"app secret": app["app_secret"], "code": "canary-code"}, simulator.output, tmp_path)
    assert_no_token(simulator.output, tmp_path)


def test_the_bot_writes_no_secret_anywhere(
    run: Run, meta: RunningSimulator, env: dict[str, str], secrets: dict[str, str], tmp_path: Path
) -> None:
    run("connections", "add", "--email", EMAIL, *ACCOUNT, env=env, stdin=secrets["token"])
    with running_telegram() as telegram:
        env |= {"IG_PIPELINE_TELEGRAM_TOKEN": BOT_TOKEN, "IG_PIPELINE_TELEGRAM_CHATS": "7"}
        env |= {"IG_PIPELINE_TELEGRAM_URL": telegram.url}
        with served(tmp_path, "bot", env=env) as bot:
            bot.says("serves 1 chat")
            telegram.write(666, f"/backfill {secrets['token']}")
            telegram.write(7, "/status")
            telegram.write(7, "/backfill 1 dry")
            wait_for(lambda: len(telegram.seen_in(7)) == 2 and telegram.edits, what="the result")
            httpx.post(f"{meta.url}/_simulator/tokens/acme.studio/revoke").raise_for_status()
            edits = len(telegram.edits)
            telegram.write(7, "/backfill 1")
            wait_for(lambda: len(telegram.seen_in(7)) == 3 and len(telegram.edits) > edits, what="the refusal")
        with served(tmp_path, "bot", env=env | {"IG_PIPELINE_TELEGRAM_TOKEN": f"{BOT_TOKEN}x"}) as refused:
            refused.says("Error: ")
    output = bot.output + refused.output + "\n".join(telegram.seen_in(7) + telegram.seen_in(666))
    assert_nowhere({**secrets, "bot's token": BOT_TOKEN}, output, tmp_path)
    assert_no_token(output, tmp_path)
