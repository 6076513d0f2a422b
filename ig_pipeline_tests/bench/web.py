"""`make bench-web`: 200 requests a second of status and timeline while a night runs, on PostgreSQL.

1,000 accounts of 365 days; the night is all of them by the three trailing days, and the window is the whole night.
Prints percentiles without and with the night, and who used the cores. Exits non-zero when the 99th percentile beside
the night is above 100 ms, an answer is wrong, or the night left an account-day out.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx
import psutil
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.cli.children import free_port
from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tables import instagram_sync_logs
from ig_pipeline.sync.registry import grid
from ig_pipeline_tests.bench.nightly import PREFIX
from ig_pipeline_tests.bench.year import email_of, fill_year
from ig_pipeline_tests.postgres import running_postgres
from ig_pipeline_tests.tours.web_tour import running, wait_for

RATE, LIMIT_MS = 200, 100.0
QUIET_S = 10
IG_PIPELINE = [sys.executable, "-m", "ig_pipeline.cli"]


@dataclass
class Measured:
    """Requests of a window: milliseconds from when each was due to its whole answer, and what went wrong."""

    took: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def at(self, percent: float) -> float:
        """The percentile, in milliseconds."""
        ordered = sorted(self.took)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def measure(address: str, accounts: int, go_on: Callable[[float], bool]) -> Measured:
    """Requests at a steady pace, whatever the answers take (no coordinated omission), while `go_on(seconds)`."""
    measured = Measured()
    # aiohttp: whoever measures shares the cores with what is measured, and takes a tenth of httpx's time.
    limits = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(address, connector=limits, timeout=aiohttp.ClientTimeout(30)) as client:

        async def ask(n: int, due: float) -> None:
            path = "/v1/connections/status" if n % 2 else "/v1/metrics/timeline/month"
            try:
                async with client.get(path, params={"email": email_of(n * 7919 % accounts)}) as answer:
                    body = await answer.read()
                    if answer.status != 200 or b'"instagram"' not in body:
                        measured.wrong[f"status {answer.status}"] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                measured.wrong[type(error).__name__] += 1
            measured.took.append((time.perf_counter() - due) * 1000)

        began, n, tasks = time.perf_counter(), 0, set[asyncio.Task[None]]()
        while go_on(time.perf_counter() - began):
            due = began + n / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(ask(n, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            n += 1
        await asyncio.gather(*tasks)
        measured.seconds = time.perf_counter() - began
    return measured


def cpu_of(pid: int) -> float:
    """Seconds of a core that a process and its children have used, the ended ones included."""
    used = 0.0
    with_children = psutil.Process(pid)
    for process in (with_children, *with_children.children(recursive=True)):
        try:
            used += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # its parent has waited for it, and counts it from now on
    return used


@dataclass(frozen=True)
class Deployment:
    """What runs while we measure; `pids` by the name they are shown under."""

    settings: Settings
    engine: sa.Engine
    address: str
    environment: Mapping[str, str]
    pids: Mapping[str, int]

    def used(self) -> dict[str, float]:
        """Seconds of a core so far. The night's are known when it has ended: it is the only child that ends."""
        ended = os.times()
        ours = {"load": time.process_time(), "night": ended.children_user + ended.children_system}
        return {name: cpu_of(pid) for name, pid in self.pids.items()} | ours

    def written(self) -> int:
        """Account-days that the night has finished in all their assets."""
        log = instagram_sync_logs.c
        cells = (
            sa.select(log.account_key, log.date)
            .where(log.run_id.startswith(PREFIX), log.status.in_(("complete", "partial")))
            .group_by(log.account_key, log.date)
            .having(sa.func.count(log.asset.distinct()) == len(grid()))
        )
        with reading(self.engine) as db:
            return int(db.execute(sa.select(sa.func.count()).select_from(cells.subquery())).scalar_one())


@contextmanager
def deployment(accounts: int, days: int) -> Iterator[Deployment]:
    """PostgreSQL with a year of numbers, a simulator that takes 50 ms a call, the web service."""
    simulated = [*IG_PIPELINE, "simulator", "--port", "0", "--json", "--accounts", str(accounts), "--latency", "50"]
    with running_postgres() as server, tempfile.TemporaryDirectory() as data, running(simulated, {}) as simulator:
        assert simulator.stdout is not None
        url, port = json.loads(simulator.stdout.readline())["url"], free_port()
        settings = Settings(data_dir=Path(data), database_url=SecretStr(server.create()), graph_url=url, web_port=port)
        known, now = httpx.get(f"{url}/_simulator/accounts", timeout=60).json(), utc_now()
        engine = fill_year(settings, known, days=days, last=last_complete_day(now), now=now)
        given = {
            "DATA_DIR": data,
            "DATABASE_URL": settings.effective_database_url.get_secret_value(),
            "GRAPH_URL": url,
            "WEB_PORT": str(port),
        }
        with running([*IG_PIPELINE, "web"], given) as web:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/readyz")
            postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
            pids = {"web": web.pid, "database": postmaster, "simulator": simulator.pid}
            yield Deployment(settings, engine, address, given, pids)
        engine.dispose()


def show(name: str, measured: Measured, used: Mapping[str, float]) -> None:
    """One line of percentiles, one of who used the cores."""
    shares = "  ".join(f"p{p} {measured.at(p):.1f} ms" for p in (50, 95, 99, 99.9))
    wrong = ", ".join(f"{count} x {what}" for what, count in measured.wrong.items()) or "none"
    print(f"{name}: {len(measured.took):,} requests in {measured.seconds:.0f} s, wrong: {wrong}")
    print(f"  {shares}  longest {max(measured.took):.1f} ms")
    cores = "  ".join(f"{who} {seconds / measured.seconds:.2f}" for who, seconds in used.items())
    print(f"  cores in use: {cores}")


def main() -> int:
    """Set up, warm up, measure without and with the night, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    with deployment(asked.accounts, asked.days) as deployed:

        def window(go_on: Callable[[float], bool]) -> tuple[Measured, dict[str, float]]:
            before = deployed.used()
            measured = asyncio.run(measure(deployed.address, asked.accounts, go_on))
            return measured, {who: seconds - before[who] for who, seconds in deployed.used().items()}

        window(lambda seconds: seconds < 3)
        load = os.getloadavg()[0]
        quiet, used = window(lambda seconds: seconds < QUIET_S)
        show("without a night", quiet, used)
        with running([sys.executable, "-m", "ig_pipeline_tests.bench.nightly"], deployed.environment) as nightly:
            beside, used = window(lambda _: nightly.poll() is None)
        show("beside a night", beside, used)
        account_days, wanted = deployed.written(), asked.accounts * deployed.settings.nightly_window_days
        print(
            f"the night wrote {account_days:,} of {wanted:,} account-days in the window, "
            f"{account_days / beside.seconds:.0f} a second; p99 beside it over p99 without: "
            f"{beside.at(99) / quiet.at(99):.1f}"
        )
        print(f"{psutil.cpu_count()} cores, {platform.machine()}; load average before: {load:.1f}")
    good = beside.at(99) < LIMIT_MS and not beside.wrong and not quiet.wrong and account_days == wanted
    return 0 if good and nightly.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
