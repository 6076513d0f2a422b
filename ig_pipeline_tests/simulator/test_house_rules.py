"""The simulator stands on its own: two copies of one mistake would agree with each other."""

import re
from pathlib import Path

from ig_pipeline import simulator

SOURCES = sorted(Path(simulator.__file__).parent.glob("*.py"))


def test_it_takes_nothing_from_the_client_but_names() -> None:
    imported = {
        module
        for path in SOURCES
        for module in re.findall(r"^(?:from|import) (ig_pipeline[\w.]*)", path.read_text(), re.M)
        if not module.startswith("ig_pipeline.simulator")
    }
    assert imported <= {"ig_pipeline.clock", "ig_pipeline.graph_api.catalogue"}


def test_the_world_has_no_clock() -> None:
    pure = ("accounts", "days", "draws", "kinds", "posts", "world")
    for path in SOURCES:
        if path.stem in pure:
            assert not re.search(r"\bnow\(|\butc_now\b|\btime\.time\b|^import random", path.read_text(), re.M), path
