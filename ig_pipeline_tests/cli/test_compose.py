"""Production's shape: what deploy/compose.yaml and the Dockerfile say, run as plain processes on a real PostgreSQL."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml
from pydantic import SecretStr

from ig_pipeline.cli.children import free_port
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import open_engine
from ig_pipeline.sync.registry import grid
from ig_pipeline.vault.cipher import new_key
from ig_pipeline_tests.canaries import assert_no_token, assert_nowhere
from ig_pipeline_tests.cli.truth import assert_true
from ig_pipeline_tests.cli.up_process import UpProcess, alive, wait_for
from ig_pipeline_tests.clock_runs import shifting
from ig_pipeline_tests.postgres import PostgresServer
from ig_pipeline_tests.web.front_door import (
    ADMIN,
    ADMIN_TOKEN,
    CALLBACK,
    PAGE,
    READER,
    START_LINK_KEY,
    agree,
    signed_link,
)

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("up")]

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PIPELINE: dict[str, Any] = COMPOSE["services"]["pipeline"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` and `${NAME:?message}` as compose replaces them."""

    def value(match: re.Match[str]) -> str:
        name, _, message = match[1].partition(":?")
        if message and not variables.get(name):
            raise LookupError(f"{name}: {message}")
        return variables[name]

    return re.sub(r"\$\{([^}]+)\}", value, text)


@dataclass(frozen=True)
class Container:
    """What would run in the container `pipeline`, with its ports and folders moved to ones that are free here."""

    command: list[str]
    health_check: list[str]
    env: dict[str, str]
    ports: dict[str, int]
    """Port in the container → the one here."""

    def is_healthy(self) -> bool:
        done = subprocess.run(self.health_check, env=self.env, capture_output=True, check=False, timeout=60)
        return done.returncode == 0


def container(variables: Mapping[str, str], *, data: Path, postgres_port: int) -> Container:
    """`variables` are the lines of deploy/.env."""
    ports = {published.rsplit(":", 1)[1]: free_port() for published in PIPELINE["ports"]}

    def here(text: str) -> str:
        for inside, port in ports.items():
            text = re.sub(rf"\b{inside}\b", str(port), text)
        return interpolated(text, variables).replace("@postgres/", f"@127.0.0.1:{postgres_port}/")

    (by_itself,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.M)
    assert json.loads(by_itself) == ["ig-pipeline", "up"], "the image opens nothing by itself"
    image = dict(line.split("=", 1) for line in re.findall(r"^ENV (.+)$", DOCKERFILE, re.M))
    assert image["IG_PIPELINE_DATA_DIR"] == "/data"
    assert [volume.split(":")[1] for volume in PIPELINE["volumes"]] == ["/data"]
    kind, *health_check = PIPELINE["healthcheck"]["test"]
    assert kind == "CMD"
    env = {
        **variables,
        **{name: here(value) for name, value in PIPELINE["environment"].items()},
        "IG_PIPELINE_DATA_DIR": str(data),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        **shifting.variables(),
    }
    public = env["IG_PIPELINE_PUBLIC_URL"]
    env["IG_PIPELINE_PUBLIC_URL"] = here(public)
    return Container([here(part) for part in PIPELINE["command"]], [here(part) for part in health_check], env, ports)


@contextmanager
def running(container: Container, folder: Path) -> Iterator[UpProcess]:
    process = subprocess.Popen(
        container.command,
        env=container.env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    up = UpProcess(process, container.ports["3000"], folder / "data" / "dagster", headers=ADMIN)
    try:
        yield up
    finally:
        if process.poll() is None:
            up.stop(signal.SIGTERM)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The role and the database that the image of PostgreSQL makes; its URL from here."""
    made = COMPOSE["services"]["postgres"]["environment"]
    user, name = made["POSTGRES_USER"], made["POSTGRES_DB"]
    postgres.execute(f"create role {user} login")
    postgres.execute(f"create database {name} owner {user}")
    yield postgres.url(name)
    postgres.execute(f"drop database {name} with (force)")
    postgres.execute(f"drop role {user}")


@contextmanager
def opened(url: str) -> Iterator[sa.Engine]:
    engine = open_engine(SecretStr(url))
    yield engine
    engine.dispose()


def test_an_account_connected_through_the_web_service_gets_its_thirty_days(
    tmp_path: Path, database: str, postgres: PostgresServer
) -> None:
    data, since = tmp_path / "data", datetime.now(UTC)
    with ExitStack() as stack:
        meta = stack.enter_context(running_simulator(World(accounts=1), latency=0.02))
        (account,) = meta.world.accounts
        variables = {
            "POSTGRES_PASSWORD": "0123456789abcdef",
            "IG_PIPELINE_APP_ID": meta.world.app_id,
            "IG_PIPELINE_APP_SECRET": meta.world.app_secret,
            "IG_PIPELINE_API_TOKEN": READER["Authorization"].removeprefix("Bearer "),
            "IG_PIPELINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "IG_PIPELINE_ENCRYPTION_KEYS": new_key().get_secret_value(),
            "IG_PIPELINE_PUBLIC_URL": "http://127.0.0.1:8080",
            "IG_PIPELINE_PROXY_ADDRESSES": "192.0.2.1",
            "IG_PIPELINE_START_LINK_KEY": START_LINK_KEY,
            "IG_PIPELINE_GRAPH_URL": meta.url,
        }
        settings = ("API_TOKEN", "ADMIN_TOKEN", "PUBLIC_URL", "PROXY_ADDRESSES")
        for name in ("POSTGRES_PASSWORD", *(f"IG_PIPELINE_{setting}" for setting in settings)):
            with pytest.raises(LookupError, match=name):
                interpolated(json.dumps(COMPOSE), {**variables, name: ""})
        pipeline = container(variables, data=data, postgres_port=postgres.port)
        assert not pipeline.is_healthy(), "nothing runs yet"
        up = stack.enter_context(running(pipeline, tmp_path))
        up.says("Web service:")
        wait_for(pipeline.is_healthy, what="the health check")

        email = "owner@people.example"
        browser = stack.enter_context(httpx.Client(base_url=pipeline.env["IG_PIPELINE_PUBLIC_URL"], timeout=60))
        the_ui_asks_for_the_token(up)
        dialog = browser.get(signed_link(email), follow_redirects=False)
        assert dialog.status_code == 303, dialog.text
        answer = browser.get(agree(dialog.headers["location"], account.username))
        assert answer.json() == {"connected": True, "provider": "instagram", "backfill_started": True}

        def days() -> dict[date, tuple[int | None, int | None]] | None:
            # One more than were filled: at midnight the last one begins to wait for its night.
            answer = browser.get("/v1/metrics/timeline/month", params={"email": email, "days": 31}, headers=READER)
            month = answer.raise_for_status().json()["timeline"]
            filled = {
                date.fromisoformat(day["date"]): (day["reach"], day["engagement"])
                for day in month
                if day["reach"] is not None
            }
            return filled if len(filled) == 30 else None

        filled = wait_for(days, what="thirty days")
        engine = stack.enter_context(opened(database))
        with engine.connect() as db:
            (connection,) = list_connections(db)
        assert_true(account, connection, filled, since=since)
        assert [run["status"] for run in up.finished_runs(1)] == ["SUCCESS"]
        assert {asset: up.materialized(asset) for asset in grid()} == dict.fromkeys(grid(), 30)

        trouble(browser, meta, account.username, email)
        family = up.family()
        assert up.stop(signal.SIGTERM) == 0
        assert not alive(family)
    assert not list(data.rglob("*.db")), "everything is in PostgreSQL"
    with opened(database) as engine, engine.connect() as db:
        tables = sa.inspect(db).get_table_names()
        rows = {name: db.execute(sa.text(f'select t::text from "{name}" t')).scalars().all() for name in tables}
    assert len(rows["dynamic_partitions"]) == len(rows["user_tokens"]) == 1
    secrets = {name: variables[name] for name in variables if re.search("PASSWORD|SECRET|_TOKEN|KEY", name)}
    output = "\n".join([up.output, *(row for table in rows.values() for row in table)])
    assert_nowhere({**secrets, "code": "canary-code"}, output, tmp_path)
    assert_no_token(output, tmp_path)


def the_ui_asks_for_the_token(up: UpProcess) -> None:
    address = f"http://127.0.0.1:{up.port}"
    query = {"query": "{version}"}
    assert httpx.post(f"{address}/graphql", json=query).status_code == 401
    assert httpx.post(f"{address}/graphql", json=query, headers=READER).status_code == 401
    assert httpx.post(f"{address}/graphql", json=query, headers=ADMIN).status_code == 200
    assert "Sign in" in httpx.get(address, headers=PAGE).text


def trouble(browser: httpx.Client, meta: RunningSimulator, username: str, email: str) -> None:
    """What may go wrong at the front door and behind it: all of it is logged somewhere."""
    forged = browser.get(CALLBACK, params={"code": "canary-code", "state": "canary-code"})
    assert forged.status_code == 400, forged.text
    dialog = browser.get(signed_link(email), follow_redirects=False).headers["location"]
    assert browser.get(agree(dialog, username, cancel=True)).status_code == 403
    request = {"email": email, "provider": "instagram"}
    assert browser.post("/v1/sync/run", params=request, headers=READER).status_code in (401, 403)
    httpx.post(f"{meta.url}/_simulator/tokens/{username}/revoke").raise_for_status()
    assert browser.post("/v1/sync/run", params=request, headers=ADMIN).status_code == 202

    def gave_up() -> bool:
        answer = browser.get("/v1/connections/status", params={"email": email}, headers=READER)
        return bool(answer.json()["connections"][0]["status"] == "reconnect_required")

    wait_for(gave_up, what="the end of the token")
