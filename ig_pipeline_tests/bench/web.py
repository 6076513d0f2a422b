"""`make bench-web`: 200 requests a second of status and timeline, 1,000 accounts of 365 days, on PostgreSQL.

Beside it a nightly sync runs, as another process. Prints the percentiles; exits non-zero when the 99th is above 100 ms.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import aiohttp
import httpx
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.cli.ports import free_port
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import mark_initial_backfill_requested
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.tokens import TokenVault
from ig_pipeline_tests.postgres import running_postgres
from ig_pipeline_tests.tours.web_tour import running, wait_for

ACCOUNTS, DAYS, RATE, LIMIT_MS = 1_000, 365, 200, 100.0
# The nightly work of a chunk of accounts, three days each, over and over while we measure.
SYNCED = 20


def fill(settings: Settings, accounts: list[dict[str, str]]) -> None:
    """A thousand connections with a year of numbers; the first ones are accounts of the simulator."""
    engine, now = open_engine(settings.effective_database_url), utc_now()
    migrate(engine)
    last = last_complete_day(now)
    vault = TokenVault(engine, KeyRing.from_settings(settings), None, clock=utc_now)  # type: ignore[arg-type]  # stores only
    with engine.begin() as db:
        for n in range(ACCOUNTS):
            real = accounts[n] if n < len(accounts) else None
            made = vault.store(
                db,
                email=f"user{n}@bench.example",
                login="facebook",
                account_id=real["id"] if real else f"1784149{n:010d}",
                username=real["username"] if real else f"bench.{n}",
                token=SecretStr(real["token"] if real else "EAAx"),
                expires_at=now + timedelta(days=50),
            )
            mark_initial_backfill_requested(db, made.id, first=last - timedelta(days=29), last=last, now=now)
        db.execute(
            sa.text(
                "insert into metrics (u_id, account_id, date, source, reach, engagement, observed_at) "
                "select u_id, account_id, cast(:last as date) - n, 'instagram', 1000 + n, n, :now "
                "from user_tokens, generate_series(0, :days - 1) n"
            ),
            {"last": last, "now": now, "days": DAYS},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text("vacuum analyze"))
        assert db.execute(sa.select(sa.func.count()).select_from(tables.metrics)).scalar_one() == ACCOUNTS * DAYS
    engine.dispose()


async def measure(address: str, seconds: int) -> list[float]:
    """Milliseconds of each request, sent at a steady pace whatever the answers take (no coordinated omission)."""
    took: list[float] = []
    # aiohttp: whoever measures shares the cores with what is measured, and takes a tenth of httpx's time.
    async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=64)) as client:

        async def ask(n: int, due: float) -> None:
            path = "/v1/connections/status" if n % 2 else "/v1/metrics/timeline/month"
            async with client.get(path, params={"email": f"user{n * 7919 % ACCOUNTS}@bench.example"}) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            took.append((time.perf_counter() - due) * 1000)

        began, tasks = time.perf_counter() + 0.1, []
        for n in range(RATE * seconds):
            due = began + n / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(n, due)))
        await asyncio.gather(*tasks)
    return took


def main() -> int:
    """Set up, warm up, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    seconds = parser.parse_args().seconds
    command = [sys.executable, "-m", "ig_pipeline.cli"]
    simulated = [*command, "simulator", "--port", "0", "--json", "--accounts", str(SYNCED), "--latency", "50"]
    with running_postgres() as server, tempfile.TemporaryDirectory() as data, running(simulated, {}) as simulator:
        assert simulator.stdout is not None
        url, port = json.loads(simulator.stdout.readline())["url"], free_port()
        accounts = httpx.get(f"{url}/_simulator/accounts").json()
        settings = Settings(data_dir=Path(data), database_url=SecretStr(server.create()), graph_url=url)
        fill(settings, accounts)
        given = {
            "DATA_DIR": data,
            "DATABASE_URL": settings.effective_database_url.get_secret_value(),
            "GRAPH_URL": url,
            "WEB_PORT": str(port),
        }
        with running([*command, "web"], given):
            wait_for(f"http://127.0.0.1:{port}/readyz")
            asyncio.run(measure(f"http://127.0.0.1:{port}", 3))
            sync = [sys.executable, "-m", "ig_pipeline_tests.bench.nightly", *(a["username"] for a in accounts)]
            environment = os.environ | {f"IG_PIPELINE_{name}": value for name, value in given.items()}
            with subprocess.Popen(sync, env=environment, stdout=subprocess.DEVNULL) as nightly:
                took = sorted(asyncio.run(measure(f"http://127.0.0.1:{port}", seconds)))
                alive = nightly.poll() is None
                nightly.terminate()
    share = {p: took[min(len(took) - 1, int(len(took) * p / 100))] for p in (50, 95, 99)}
    print(f"{len(took)} requests at {RATE}/s, {ACCOUNTS:,} accounts x {DAYS} days, a sync beside: {alive}")
    print("  ".join(f"p{p} {value:.1f} ms" for p, value in share.items()), f" longest {took[-1]:.1f} ms")
    return 0 if share[99] < LIMIT_MS and alive else 1


if __name__ == "__main__":
    sys.exit(main())
