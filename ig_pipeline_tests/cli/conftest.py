"""A command line in a folder and an environment of its own."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ig_pipeline.cli.main import cli
from ig_pipeline.settings import PREFIX
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls a command in `tmp_path`: `run("doctor", "--json", env={...}, stdin="...")`."""
    for name in list(os.environ):
        if name.startswith((PREFIX, "IG_LONG", "IG_ACCOUNT", "COLUMNS", "FORCE_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(arguments), env=dict(env or {}), input=stdin)

    return call


@pytest.fixture
def meta() -> Iterator[RunningSimulator]:
    """A simulated Instagram with three accounts, on a real socket."""
    with running_simulator(World(seed=7, accounts=3)) as simulator:
        yield simulator
