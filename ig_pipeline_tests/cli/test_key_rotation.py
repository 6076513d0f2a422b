"""The runbook for a leaked key, with a service alive that stores tokens all the while."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from ig_pipeline.cli.children import free_port
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import PREFIX
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.token_rows import all_with_tokens
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import check_readable
from ig_pipeline_tests.cli.accounts import database_url, environment, settings_in
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.cli.up_process import wait_for
from ig_pipeline_tests.web.front_door import START, agree

OWNER = "a@b.example"


@contextmanager
def service(folder: Path, meta: RunningSimulator, **more: str) -> Iterator[httpx.Client]:
    """`ig-pipeline web` as a process of its own."""
    url = f"http://127.0.0.1:{free_port()}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    env = clean | environment(meta, WEB_PORT=url.rpartition(":")[2], **more)
    process = subprocess.Popen([sys.executable, "-m", "ig_pipeline.cli", "web"], env=env, cwd=folder)
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            wait_for(lambda: answers(client), what="the web service")
            yield client
    finally:
        process.terminate()
        process.wait(30)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def connect(client: httpx.Client, who: str) -> None:
    own = {"Origin": str(client.base_url).rstrip("/")}
    dialog = client.post(START, data={"email": OWNER}, headers=own).headers["location"]
    assert client.get(agree(dialog, who)).status_code == 200


def keys_in(folder: Path) -> list[str]:
    return (folder / ".ig_pipeline" / "keys" / "token.key").read_text().split()


def fingerprints_of_tokens(folder: Path) -> set[str]:
    engine = open_engine(database_url(folder))
    try:
        with reading(engine) as db:
            check_readable(db, KeyRing.from_settings(settings_in(folder, {})))
            return {(row.ciphertext or "").split(".")[1] for row in all_with_tokens(db)}
    finally:
        engine.dispose()


def as_if_written(folder: Path, ago: timedelta) -> None:
    """The key file, older than any write that was under way when it was changed."""
    path = folder / ".ig_pipeline" / "keys" / "token.key"
    then = (utc_now() - ago).timestamp()
    os.utime(path, (then, then))


def test_a_leaked_key_is_replaced_while_a_service_stores_tokens(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    names = [account.username for account in meta.world.accounts]
    with service(tmp_path, meta) as client:
        connect(client, names[0])
        leaked, under_leaked = keys_in(tmp_path)[0], fingerprints_of_tokens(tmp_path)
        assert run("keys", "rotate").exit_code == 0
        connect(client, names[1])
        # What the runbook said: a second time, which took the leaked key away with what was written under it.
        assert run("keys", "rotate").exit_code == 0
        connect(client, names[2])
        assert not fingerprints_of_tokens(tmp_path) & under_leaked, "nothing is written under the leaked key"
        as_if_written(tmp_path, timedelta(0))  # by the clock of the processes, which need not be that of the files
        early = run("keys", "prune")
        assert early.exit_code == 0
        assert leaked in keys_in(tmp_path), f"someone may still be writing under it: {early.output}"
        as_if_written(tmp_path, timedelta(minutes=11))
        assert run("keys", "prune").exit_code == 0
        assert leaked not in keys_in(tmp_path)
        assert len(keys_in(tmp_path)) == 1
        connect(client, names[0])
        assert len(fingerprints_of_tokens(tmp_path)) == 1
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["keys"]) == (200, "ok")


def when_ready_is(status: int, client: httpx.Client) -> httpx.Response:
    """The first such answer."""
    return wait_for(
        lambda: answer if (answer := client.get("/readyz")).status_code == status else None, what=f"a {status}"
    )


def test_readiness_tries_the_ring_on_what_is_stored(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    file = tmp_path / ".ig_pipeline" / "keys" / "token.key"
    with service(tmp_path, meta) as client:
        connect(client, meta.world.accounts[0].username)
        kept = file.read_text()
        file.write_text(run("keys", "new").output.strip())  # somebody's idea of a rotation
        lost = when_ready_is(503, client)  # a look counts for a second
        assert lost.json()["checks"]["keys"] == "cannot be used, the log says why"
        file.unlink()
        when_ready_is(503, client)
        assert not file.exists(), "no other key is made beside tokens that it does not open"
        file.write_text(kept)
        when_ready_is(200, client)


def test_keys_of_the_environment_are_replaced_in_three_restarts(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    old, new = (run("keys", "new").output.strip() for _ in range(2))
    name = f"{PREFIX}ENCRYPTION_KEYS"
    who = [account.username for account in meta.world.accounts]
    with service(tmp_path, meta, ENCRYPTION_KEYS=old) as client:
        connect(client, who[0])
    with service(tmp_path, meta, ENCRYPTION_KEYS=f"{old},{new}") as client:
        connect(client, who[1])
        ring = f"{new},{old}"
        assert run("keys", "rotate", env={name: ring}).exit_code == 0
        assert client.get("/readyz").status_code == 200, (
            "what is under the new key is read by those that still have it last"
        )
        connect(client, who[2])
        said = run("keys", "prune", env={name: ring}).output
        assert "1 token(s)" in said, said
    with service(tmp_path, meta, ENCRYPTION_KEYS=ring) as client:
        assert run("keys", "rotate", env={name: ring}).stdout.startswith("Tokens encrypted with the first key: 1.")
        said = run("keys", "prune", env={name: ring}).output
        assert f"Take 1 key(s) off {name}" in said, said
        assert old not in said
        assert new not in said
    with service(tmp_path, meta, ENCRYPTION_KEYS=new) as client:
        assert client.get("/readyz").status_code == 200
