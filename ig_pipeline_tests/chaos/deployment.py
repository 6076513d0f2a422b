"""A deployment of real processes: simulator, web service and Dagster, on one clock that can be put forward.

Dagster is stopped, its daemon killed, and both started again, while the other two go on.
"""

import json
import os
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

from ig_pipeline.cli.children import Children, free_port, stop_signals
from ig_pipeline.cli.dagster_stack import LOCATION, environment, prepare_home, unfinished_runs
from ig_pipeline.cli.up import Running, prepare_databases, running_stack, start_web
from ig_pipeline.clock import utc_now
from ig_pipeline.definitions import build
from ig_pipeline.defs.reporting import dagster_instance
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline.settings import Settings
from ig_pipeline.storage import sync_logs, sync_requests, tables
from ig_pipeline.storage.connections import Connection, by_account_key
from ig_pipeline.storage.database import open_engine, reading
from ig_pipeline.storage.overview import standings
from ig_pipeline_tests.cli.up_process import wait_for
from ig_pipeline_tests.web.front_door import ADMIN, ADMIN_TOKEN, START, agree

# Ten in the morning: no midnight comes near, and Dagster's grid, which has a clock of its own, is in the same day; if
# midnight strikes there meanwhile, this day is still in it.
BEGIN_HOUR = 10
# All of it takes seconds on an idle machine; one with other work to do has been seen to need forty times that.
PATIENCE_S = 900.0


@dataclass
class Deployment:
    """Processes and what they say. `lines`: child → what it wrote."""

    settings: Settings
    engine: sa.Engine
    clock_file: Path
    lines: dict[str, list[str]]
    _stack: ExitStack = field(default_factory=ExitStack)
    _running: Running | None = None
    _daemon: tuple[list[str], dict[str, str]] | None = None

    # ---- time ----------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """What every clock of the deployment shows."""
        return utc_now() + timedelta(seconds=float(self.clock_file.read_text()))

    def put_forward(self, by: timedelta) -> None:
        """Let time pass, everywhere at once."""
        _write(self.clock_file, float(self.clock_file.read_text()) + by.total_seconds())

    # ---- Dagster -------------------------------------------------------------------------------------------------

    def start_dagster(self) -> None:
        """Daemon, code location and UI, as `ig-pipeline up` starts them."""
        # Around each start: the stopping before it has left this process deaf to signals, which its children inherit.
        self._stack.enter_context(stop_signals())
        stack = running_stack(self.settings, host="127.0.0.1", port=free_port(), sink=self._sink, say=lambda _: None)
        self._running = self._stack.enter_context(stack)

    def stop_dagster(self) -> None:
        """As Ctrl-C does."""
        self._running = None
        self._stack.close()

    def kill_daemon(self) -> None:
        """SIGKILL, whatever it is at."""
        (daemon,) = (
            process
            for process in psutil.Process().children(recursive=True)
            if process.status() != psutil.STATUS_ZOMBIE
            and any(word.endswith("dagster-daemon") for word in process.cmdline())
        )
        self._daemon = daemon.cmdline(), daemon.environ()
        daemon.kill()
        daemon.wait(30)

    def start_daemon(self) -> None:
        """The one that was killed, as it was; code location and UI have gone on."""
        assert self._daemon is not None, "it was not killed"
        command, env = self._daemon
        self.dagster.children.start("daemon", command, env=env)

    @property
    def dagster(self) -> Running:
        """What runs."""
        assert self._running is not None, "Dagster is stopped"
        return self._running

    def runs_of(self, sensor: str) -> int:
        """How many runs of Dagster a sensor has asked for; read beside it, as fast as a file is read."""
        statement = "select count(distinct run_id) from run_tags where key = 'dagster/sensor_name' and value = ?"
        return int(self._dagster_file("history/runs.db", statement, sensor))

    def unfinished_ticks(self, sensor: str) -> int:
        """Ticks of a sensor that began and have no end."""
        statement = "select count(*) from job_ticks where status = 'STARTED' and tick_body like ?"
        return int(self._dagster_file("schedules/schedules.db", statement, f'%"{sensor}"%'))

    def _dagster_file(self, name: str, statement: str, value: str) -> Any:
        path = self.settings.dagster_home / name
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(statement, (value,)).fetchone()[0]

    def runs(self) -> list[dg.DagsterRun]:
        """Every run, newest first."""
        with dagster_instance(self.settings) as instance:
            assert instance is not None
            return list(instance.get_runs())

    def idle(self) -> None:
        """Wait until no run is queued or under way."""
        wait_for(
            lambda: not unfinished_runs(self.dagster.address, self.settings.admin_token),
            what="the end of all runs",
            seconds=PATIENCE_S,
        )

    # ---- people --------------------------------------------------------------------------------------------------

    def connect(self, username: str) -> str:
        """A person in a browser: start, dialog, callback. Returns their address."""
        email = f"{username}@people.example"
        with httpx.Client(base_url=self.settings.effective_public_url, timeout=30) as browser:
            own = {"Origin": self.settings.effective_public_url}
            dialog = browser.post(START, data={"email": email}, headers=own, follow_redirects=False)
            assert dialog.status_code == 303, dialog.text
            answer = browser.get(agree(dialog.headers["location"], username))
        assert answer.json() == {"connected": True, "provider": "instagram", "backfill_started": True}, answer.text
        return email

    def status(self, email: str) -> dict[str, Any]:
        """The one connection of a person, as the front door shows it."""
        (connection,) = self.ask("/v1/connections/status", email=email)["connections"]
        return dict(connection)

    def ask_for_sync(self, email: str, *, days: int = 1) -> int:
        """An admin's request; its number."""
        answer = httpx.post(self._url("/v1/sync/run"), params={"email": email, "days": days}, headers=ADMIN, timeout=30)
        assert answer.status_code == 202, answer.text
        (request,) = answer.json()["requests"]
        return int(request["id"])

    def forget(self, email: str) -> None:
        """An admin has a person forgotten, and waits for it."""
        answer = httpx.delete(self._url("/v1/users"), params={"email": email}, headers=ADMIN, timeout=30)
        assert answer.status_code == 202, answer.text
        code = answer.json()["confirmation_code"]
        wait_for(
            lambda: self.ask("/v1/deletions", code=code)["status"] == "done",
            what=f"the deletion of {email}",
            seconds=PATIENCE_S,
        )

    def request(self, number: int) -> dict[str, Any]:
        """What became of it."""
        return self.ask(f"/v1/sync/requests/{number}")

    def ask(self, path: str, **params: Any) -> dict[str, Any]:
        """A JSON answer of the front door."""
        answer = httpx.get(self._url(path), params=params, headers=ADMIN, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _url(self, path: str) -> str:
        return f"{self.settings.effective_public_url}{path}"

    def days_of(self, email: str) -> None:
        """Wait for the last day of a person's first backfill."""
        self.comes_to(email, "done")

    def comes_to(self, email: str, state: str) -> None:
        """Wait until a person's first backfill is `done`, or `incomplete`."""
        what = f"{state} days of {email}"
        wait_for(lambda: self.status(email)["backfill"]["state"] == state, what=what, seconds=PATIENCE_S)

    def end_of(self, request: int) -> None:
        """Wait for a request's end, whatever it is."""
        ended = ("done", "failed")
        wait_for(lambda: self.request(request)["status"] in ended, what=f"request {request}'s end", seconds=PATIENCE_S)

    # ---- the simulated Meta --------------------------------------------------------------------------------------

    def meta(self, path: str, *, method: str = "GET", body: object = None, **params: Any) -> Any:
        """A lever of the simulator."""
        url = f"{self.settings.graph_url}/_simulator/{path}"
        answer = httpx.request(method, url, params=params, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def calls_of(self, username: str) -> dict[str, int]:
        """Calls about an account by endpoint, as Meta counts them, since the count was last reset."""
        return dict(self.meta("calls")["accounts"].get(username, {"endpoints": {}})["endpoints"])

    def truth(self, username: str, first: date, last: date) -> dict[date, tuple[int, int]]:
        """Day → (reach, engagement) of the world itself."""
        days = self.meta(f"accounts/{username}/truth", first=first, last=last)["days"]
        return {date.fromisoformat(day): (true["reach"], true["engagement"]) for day, true in days.items()}

    # ---- the database --------------------------------------------------------------------------------------------

    def connection(self, account_key: str) -> Connection:
        """A row of `user_tokens`."""
        with reading(self.engine) as db:
            return by_account_key(db, account_key)

    def ledger(self, account_key: str) -> list[Any]:
        """Every row of the ledger of an account."""
        log = tables.instagram_sync_logs
        with self.engine.connect() as db:
            return list(db.execute(sa.select(log).where(log.c.account_key == account_key).order_by(log.c.id)))

    def daily(self, account_key: str) -> list[tuple[date, int | None, int | None]]:
        """Rows of `metrics` of an account, doubles and all."""
        mine = tables.metrics.c.account_id == self.connection(account_key).account_id
        columns = tables.metrics.c.date, tables.metrics.c.reach, tables.metrics.c.engagement
        with self.engine.connect() as db:
            return [(row.date, row.reach, row.engagement) for row in db.execute(sa.select(*columns).where(mine))]

    def _sink(self, name: str, line: str) -> None:
        self.lines[name].append(line)

    def report(self) -> str:
        """How everything stands and everybody's last words, when something is not so."""
        said = [f"{name:>9} | {line}" for name, lines in self.lines.items() for line in lines[-40:]]
        runs = []
        with dagster_instance(self.settings) as instance:
            assert instance is not None
            for run in instance.get_runs():
                runs.append(f"run {run.run_id} {run.status.value} {dict(run.tags)}")
                if run.status != dg.DagsterRunStatus.SUCCESS:
                    runs += [f"  {entry.message}" for entry in instance.all_logs(run.run_id)[-8:]]
        with reading(self.engine) as db:
            failures = [f"failed: {entry}" for entry in sync_logs.recent_failures(db, limit=10)]
            requests = [f"request: {request}" for request in sync_requests.recent(db)]
            people = [f"person: {standing}" for standing in standings(db, initial_days=30)]
        return "\n".join([*said, *runs, *failures, *requests, *people])


@contextmanager
def deployment(folder: Path, *, accounts: int, latency: float = 20.0) -> Iterator[Deployment]:
    """Simulator and web service are up; Dagster is not yet. `latency`: milliseconds of a simulated call."""
    clock_file = folder / "clock"
    real = datetime.now(PACIFIC)
    began = real.replace(hour=BEGIN_HOUR, minute=0, second=0, microsecond=0)
    _write(clock_file, (began - real).total_seconds())
    lines: dict[str, list[str]] = defaultdict(list)
    with ExitStack() as stack:
        stack.enter_context(
            _environment(
                PYTHONPATH=str(Path(__file__).parent / "put_forward"), PYTHON_CLOCK_PUT_FORWARD=str(clock_file)
            )
        )
        stack.enter_context(stop_signals())
        children = stack.enter_context(Children(lambda name, line: lines[name].append(line)))
        settings = Settings(data_dir=folder / "data")
        prepare_databases(settings)
        simulator = [sys.executable, "-m", "ig_pipeline.cli", "simulator", "--port", "0", "--json"]
        options = ["--accounts", str(accounts), "--latency", str(latency)]
        children.start("simulator", [*simulator, *options], env=environment(settings, "simulator"))
        url = json.loads(wait_for(lambda: next(iter(lines["simulator"]), None), what="the simulator"))["url"]
        app = httpx.get(f"{url}/_simulator").json()
        values = {"graph_url": url, "app_id": app["app_id"], "app_secret": app["app_secret"], "web_port": free_port()}
        fields = {**values, "admin_token": ADMIN_TOKEN, "public_requests_per_minute": 10_000}
        settings = Settings.model_validate({"data_dir": folder / "data", **fields})
        _stop_schedules(settings)
        start_web(children, settings)
        engine = open_engine(settings.effective_database_url)
        stack.callback(engine.dispose)
        built = Deployment(settings, engine, clock_file, lines)
        stack.callback(built.stop_dagster)
        yield built


def _stop_schedules(settings: Settings) -> None:
    """As the switch in Dagster's UI does, before Dagster starts: schedules go by its own clock, not by this one."""
    location = GrpcServerCodeLocationOrigin(host="localhost", socket="none", location_name=LOCATION)
    repository = build(Pipeline()).get_repository_def()
    with dg.DagsterInstance.from_config(str(prepare_home(settings))) as instance:
        for schedule in repository.schedule_defs:
            origin = RemoteRepositoryOrigin(location, repository.name).get_instigator_origin(schedule.name)
            times = ScheduleInstigatorData(schedule.cron_schedule)
            state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, times)
            instance.add_instigator_state(state)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """The variables set, for children to inherit, and as they were afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _write(path: Path, seconds: float) -> None:
    """In one step: somebody may be reading."""
    part = path.with_suffix(".part")
    part.write_text(str(seconds))
    part.replace(path)
