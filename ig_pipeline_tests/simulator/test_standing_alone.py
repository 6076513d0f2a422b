"""The simulator shares nothing with the client: two copies of one mistake would agree with each other.

What both must know, the names and rules of the API, each has for itself; here they are compared.
"""

import re
import subprocess
import sys
from pathlib import Path

from ig_pipeline import simulator
from ig_pipeline.graph_api import catalogue as client
from ig_pipeline.simulator import catalogue

SOURCES = sorted(Path(simulator.__file__).parent.glob("*.py"))

ALONE = """
import importlib, pkgutil, sys, urllib.request

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("ig_pipeline.") and not (name + ".").startswith("ig_pipeline.simulator."):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import ig_pipeline.simulator

for module in pkgutil.iter_modules(ig_pipeline.simulator.__path__, "ig_pipeline.simulator."):
    importlib.import_module(module.name)
from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World

with running_simulator(World(accounts=1)) as simulator:
    request = f"{simulator.url}/v25.0/me?fields=name&access_token={simulator.token('acme.studio')}"
    with urllib.request.urlopen(request) as answer:
        print(answer.status, *sorted(name for name in sys.modules if name.startswith("ig_pipeline.")))
"""


def test_it_serves_without_the_rest_of_the_project() -> None:
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    status, *modules = run.stdout.split()
    assert status == "200"
    assert {module.split(".")[1] for module in modules} == {"simulator"}


def test_its_docstring_names_the_packages_it_needs() -> None:
    imported = {root for path in SOURCES for root in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M)}
    needed = imported - sys.stdlib_module_names - {"ig_pipeline"}
    assert needed == {"PIL", "av", "click", "pydantic", "starlette", "uvicorn", "yaml"}
    assert all(re.search(rf"\b{name}\b", simulator.__doc__ or "") for name in needed)


def test_the_world_has_no_clock() -> None:
    pure = ("accounts", "days", "draws", "kinds", "posts", "world")
    for path in SOURCES:
        if path.stem in pure:
            assert not re.search(r"\bnow\(|\butc_now\b|\btime\.time\b|^import random", path.read_text(), re.M), path


def test_both_know_the_same_account_metrics() -> None:
    assert catalogue.ACCOUNT_METRIC_VOCABULARY == client.ACCOUNT_METRIC_VOCABULARY
    assert set(catalogue.ACCOUNT_METRICS) == set(client.ACCOUNT_METRICS)
    for name, metric in catalogue.ACCOUNT_METRICS.items():
        known = client.ACCOUNT_METRICS[name]
        assert metric.types == known.types, name
        assert known.period in metric.periods, name
        assert metric.breakdowns == known.breakdowns, name
        assert metric.needs_followers == (known.min_followers > 0), name


def test_both_know_the_same_media_metrics() -> None:
    assert catalogue.MEDIA_METRIC_VOCABULARY == client.MEDIA_METRIC_VOCABULARY
    assert set(catalogue.MEDIA_METRICS) == set(client.MEDIA_METRICS)
    for name, metric in catalogue.MEDIA_METRICS.items():
        known = client.MEDIA_METRICS[name]
        assert metric.product_types == known.product_types, name
        assert metric.breakdowns == known.breakdowns, name
        assert metric.only_if_shared == known.only_if_shared, name
        assert metric.facebook_only == ("instagram" not in known.logins), name


def test_both_know_the_same_limits_and_values() -> None:
    for name in (
        "ACCOUNT_BREAKDOWN_VALUES",
        "DEMOGRAPHICS",
        "DEMOGRAPHIC_BREAKDOWNS",
        "DEMOGRAPHIC_TIMEFRAMES",
        "FOLLOWER_COUNT_DAYS",
        "HISTORY_YEARS",
        "MAX_MEDIA",
        "MEDIA_BREAKDOWN_VALUES",
        "MIN_FOLLOWERS",
    ):
        assert getattr(catalogue, name) == getattr(client, name), name
