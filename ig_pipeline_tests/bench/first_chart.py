"""From the row of a connection to the last of its thirty days, with Dagster running: `make bench-first-chart`.

Each round is a fresh account on the same running stack, as in production. Exits with 1 above the promised 15 s.
"""

import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.cli.children import free_port
from ig_pipeline.cli.up import running_stack
from ig_pipeline.clock import utc_now
from ig_pipeline.defs.run_requests import BATCH_TAG
from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import sync_logs, sync_requests
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.tables import instagram_sync_logs
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.requests.asking import ask_for_history

ROUNDS = 5
DAYS = 30
LATENCY_S = 0.05
PROMISED_S = 15.0
_GIVE_UP_S = 120.0


@dataclass(frozen=True)
class Round:
    """Seconds from the connection's row, each step after the one before."""

    noticed: float
    """Until Dagster had made the run that its sensor asked for."""
    started: float
    """Until the run's process was at work."""
    worked: float
    """Until the last day was committed."""

    @property
    def whole(self) -> float:
        return self.noticed + self.started + self.worked


def main() -> int:
    """Measure and print; the exit code."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        world = World(seed=7, accounts=ROUNDS)
        with running_simulator(world, latency=LATENCY_S) as meta:
            settings = load_settings(
                {
                    "IG_PIPELINE_DATA_DIR": folder,
                    "IG_PIPELINE_GRAPH_URL": meta.url,
                    "IG_PIPELINE_APP_ID": world.app_id,
                    "IG_PIPELINE_APP_SECRET": world.app_secret,
                },
                env_file=None,
            )
            load = os.getloadavg()[0]
            # The stack's processes read their settings from the environment.
            os.environ["IG_PIPELINE_GRAPH_URL"] = meta.url
            rounds = list(_measure(settings, meta, Path(folder)))
    print(report(rounds, load=load))
    return int(max(each.whole for each in rounds) > PROMISED_S)


def _measure(settings: Settings, meta: RunningSimulator, folder: Path) -> list[Round]:
    log = (folder / "bench.log").open("w")
    with (
        log,
        running_stack(
            settings,
            host="127.0.0.1",
            port=free_port(),
            sink=lambda name, line: print(name, line, file=log),
            say=lambda _: None,
        ),
    ):
        return [asyncio.run(_one(settings, meta, account.username)) for account in meta.world.accounts]


async def _one(settings: Settings, meta: RunningSimulator, username: str) -> Round:
    async with open_services(settings) as services:
        with services.engine.begin() as db:
            connection = services.tokens.store(
                db,
                email=f"{username}@bench.example",
                login="facebook",
                account_id=meta.world.account(username).id,
                username=username,
                token=SecretStr(meta.token(username)),
                expires_at=None,
            )
            ask_for_history(db, connection, before=None, settings=settings, now=utc_now())
    began = utc_now()
    engine = open_engine(settings.effective_database_url)
    try:
        _wait(engine, connection)
        return _steps(settings, engine, connection, began)
    finally:
        engine.dispose()


def _wait(engine: sa.Engine, connection: Connection) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < deadline:
        with reading(engine) as db:
            if len(sync_logs.days_written(db, connection, "daily_metrics")) >= DAYS:
                return
        time.sleep(0.1)
    raise SystemExit(f"{connection.account_key} has not its {DAYS} days after {_GIVE_UP_S:.0f} s.")


def _steps(settings: Settings, engine: sa.Engine, connection: Connection, began: datetime) -> Round:
    """Dagster says when it made the run, the ledger all else."""
    with reading(engine) as db:
        (batch,) = (one.batch for one in sync_requests.recent(db) if one.account_key == connection.account_key)
    filters = dg.RunsFilter(tags={BATCH_TAG: str(batch)})
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        (record,) = instance.get_run_records(filters)
    noticed, table = record.create_timestamp, instagram_sync_logs
    with reading(engine) as db:
        started, finished = db.execute(
            sa.select(sa.func.min(table.c.started_at), sa.func.max(table.c.finished_at)).where(
                table.c.account_key == connection.account_key
            )
        ).one()
    return Round(
        (noticed - began).total_seconds(), (started - noticed).total_seconds(), (finished - started).total_seconds()
    )


def report(rounds: list[Round], *, load: float) -> str:
    """What docs/how_it_works.md quotes. `load`: the machine's own load before, as it spoils the figures."""
    whole = [each.whole for each in rounds]
    parts = {
        "the sensor notices the row": [each.noticed for each in rounds],
        "the run's process starts": [each.started for each in rounds],
        "calls, rows and ledger": [each.worked for each in rounds],
    }
    lines = [
        f"{platform.platform(terse=True)}, {os.cpu_count()} cores (load {load:.1f} before), "
        f"Python {platform.python_version()}, SQLite, {LATENCY_S * 1000:.0f} ms a call, "
        f"{len(rounds)} accounts one after the other",
        f"connection's row to its {DAYS}th day: median {statistics.median(whole):.1f} s, slowest {max(whole):.1f} s "
        f"(promised: {PROMISED_S:.0f} s)",
        *(f"  {name:<28} {statistics.median(seconds):5.1f} s" for name, seconds in parts.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
