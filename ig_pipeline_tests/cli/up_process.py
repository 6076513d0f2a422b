"""A real `ig-pipeline up` in a process of its own: started, asked, stopped, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ig_pipeline.cli.children import free_port

T = TypeVar("T")

# A start takes 5 s alone on two cores; with the rest of the suite beside it, ten times that has been seen.
PATIENCE = 150.0


class UpProcess:
    """`ig-pipeline up` (or `demo`) with its output and the home of its Dagster."""

    def __init__(
        self, process: subprocess.Popen[str], port: int, home: Path, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """`headers`: what its webserver asks for."""
        self.process = process
        self.port = port
        self.home = home
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def says(self, text: str) -> str:
        """Wait for a line with `text`; fails with the whole output when the process ends without it."""

        def look() -> str | None:
            found = next((line for line in self.lines if text in line), None)
            if found is None and self.process.poll() is not None:
                self._reader.join(5)
                found = next((line for line in self.lines if text in line), None)
                assert found, f"ended with {self.process.returncode}:\n{self.output}"
            return found

        return wait_for(look, what=text)

    def query(self, query: str) -> dict[str, Any]:
        """A GraphQL answer of its webserver."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers=self.headers,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def runs(self) -> list[dict[str, Any]]:
        """Status and tags of every run that no schedule started, newest first."""
        found = self.query("{runsOrError{... on Runs{results{runId status tags{key value}}}}}")["runsOrError"][
            "results"
        ]
        runs = [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]
        return [run for run in runs if not is_scheduled(run["tags"])]

    def finished_runs(self, number: int) -> list[dict[str, Any]]:
        """The runs, once there are `number` and all have ended."""

        def look() -> list[dict[str, Any]] | None:
            runs = self.runs()
            ended = [run for run in runs if run["status"] in ("SUCCESS", "FAILURE", "CANCELED")]
            return runs if len(ended) == len(runs) >= number else None

        return wait_for(look, what=f"{number} runs")

    def materialized(self, asset: str) -> int:
        """How many cells of an asset are green."""
        query = '{assetNodeOrError(assetKey:{path:["ASSET"]}){... on AssetNode{partitionStats{numMaterialized}}}}'
        return int(self.query(query.replace("ASSET", asset))["assetNodeOrError"]["partitionStats"]["numMaterialized"])

    def family(self) -> list[psutil.Process]:
        """It and everything it started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send the signal and wait for the end."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(5)
        return code


@contextmanager
def up_process(folder: Path, *arguments: str, env: Mapping[str, str], port: int | None = None) -> Iterator[UpProcess]:
    """`ig-pipeline …arguments --port N` with `folder` as data folder; killed at the end if it still runs."""
    port = port or free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IG_PIPELINE_", "DAGSTER_"))}
    command = [sys.executable, "-m", "ig_pipeline.cli", *arguments, "--port", str(port)]
    process = subprocess.Popen(
        command,
        env={**clean, "IG_PIPELINE_DATA_DIR": str(folder), **env},
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    up = UpProcess(process, port, folder / "dagster")
    try:
        yield up
    finally:
        if process.poll() is None:
            up.stop(signal.SIGTERM)


def is_scheduled(tags: Mapping[str, str]) -> bool:
    """Whether a run is a schedule's: its hour may strike during any test, and nobody there has asked for it."""
    return "dagster/schedule_name" in tags


def alive(processes: list[psutil.Process]) -> list[str]:
    """Those that still run, by command line."""
    left = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return left


def wait_for(look: Callable[[], T | None], *, what: str, seconds: float = PATIENCE) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.25)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s")
