"""A clone loads as it is: no environment variable, no warning, by each of Dagster's tools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("IG_PIPELINE_", "DAGSTER_"))}


@pytest.mark.parametrize("command", [["dg", "check", "defs"], ["dagster", "definitions", "validate"]], ids=" ".join)
def test_definitions_are_valid(command: list[str]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, env=clean(), capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    # The tool's own notice that it will be called otherwise one day is not about us.
    ours = [line for line in output.splitlines() if "Warning" in line and "SupersessionWarning" not in line]
    assert not ours


def test_both_ways_to_name_the_code_location_agree() -> None:
    """Otherwise the UI shows two: a tool started without `-w` reads pyproject.toml."""
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    name, module = entry["python_module"]["location_name"], entry["python_module"]["module_name"]
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert pyproject.count(f'code_location_name = "{name}"') == 2
    assert pyproject.count(f'module_name = "{module}"') == 1


def test_a_code_server_loads_nothing_that_only_runs_need() -> None:
    """Each of these costs every code server tenths of a second and tens of megabytes."""
    heavy = {"pandas", "aiohttp", "PIL", "av"}
    look = f"import sys, ig_pipeline.definitions; print(*sorted({heavy} & sys.modules.keys()))"
    looked = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=clean(), capture_output=True, text=True, check=True
    )
    assert not looked.stdout.strip()


def test_a_code_server_starts_without_a_word() -> None:
    """What Dagster's classes warn of stands in front of an operator at every start."""
    load = "from ig_pipeline.definitions import Pipeline, build; build(Pipeline()).get_repository_def()"
    loaded = subprocess.run(
        [sys.executable, "-c", load], cwd=ROOT, env=clean(), capture_output=True, text=True, check=True
    )
    assert not loaded.stdout + loaded.stderr
