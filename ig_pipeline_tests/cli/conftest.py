"""A command line in a folder and an environment of its own."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ig_pipeline.cli.main import cli
from ig_pipeline.settings import PREFIX

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
