"""A pytest plugin: sets the clock before each test, and notes what tests do with it.

Loaded with `-p`, before the product is imported: who asks for `utc_now` later gets the one that is counted.
"""

import inspect
import json
import os
import re
import sys
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import ig_pipeline.clock
from ig_pipeline_tests.clock_runs.shifting import Clock

AT, CHOICE, NOTES, OUTCOME = "CLOCK_RUNS_AT", "CLOCK_RUNS_CHOICE", "CLOCK_RUNS_NOTES", "CLOCK_RUNS_OUTCOME"
"""Variables of the environment: the instant (ISO), which tests, the files of notes and of the outcome."""

ALL_AND_NOTE, ALL, LOOKING = "all and note", "all", "looking"
"""Choices. LOOKING: those that look at the real clock, and those of which nothing is noted."""

_LOOKS = re.compile(r"\butc_now\b|datetime\.now\(|date\.today\(|time\.time\(|\bdagster\b|_tests\.defs\b")
_STARTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}


@dataclass
class Note:
    """What a test did at the quiet hour. `middle`: seconds from its beginning to the middle of its call."""

    middle: float = 0.0
    looks: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    passed: int
    failed: list[str]


def read_notes(path: Path) -> dict[str, Note]:
    """Test → what is noted of it; empty when nothing is."""
    return {name: Note(**note) for name, note in json.loads(path.read_text()).items()} if path.exists() else {}


class ClockPlugin:
    """The hooks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._clock = Clock()
        self._at = datetime.fromisoformat(environment[AT])
        self._choice = environment[CHOICE]
        self._notes_file, self._outcome_file = Path(environment[NOTES]), Path(environment[OUTCOME])
        self._notes = read_notes(self._notes_file)
        self._running: Note | None = None
        self._outcome = Outcome(0, [])
        self._clock.set(self._at)
        if self._choice == ALL_AND_NOTE:
            ig_pipeline.clock.utc_now = self._counted(ig_pipeline.clock.utc_now)
            sys.addaudithook(self._audit)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._choice != LOOKING:
            return
        left = [item for item in items if not self._notes.get(item.nodeid, Note(looks=True)).looks]
        items[:] = [item for item in items if item not in set(left)]
        config.hook.pytest_deselected(items=left)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if self._choice == ALL_AND_NOTE:
            self._running = self._notes[item.nodeid] = Note(looks=self._source_looks(item))
            self._clock.set(self._at)
        else:
            self._clock.set(self._at - timedelta(seconds=self._notes.get(item.nodeid, Note()).middle))
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._running is not None and report.when in ("setup", "call"):
            self._running.middle += report.duration if report.when == "setup" else report.duration / 2
        if report.failed:
            self._outcome.failed.append(report.nodeid)
        elif report.when == "call":
            self._outcome = Outcome(self._outcome.passed + 1, self._outcome.failed)

    def pytest_sessionfinish(self) -> None:
        self._outcome_file.write_text(json.dumps(asdict(self._outcome)))
        if self._choice == ALL_AND_NOTE:
            self._notes_file.write_text(json.dumps({name: asdict(note) for name, note in self._notes.items()}))

    def _look(self) -> None:
        if self._running is not None:
            self._running.looks = True

    def _counted(self, real: ig_pipeline.clock.Clock) -> ig_pipeline.clock.Clock:
        def utc_now() -> datetime:
            self._look()
            return real()

        return utc_now

    def _audit(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event in _STARTS:
            self._look()

    @staticmethod
    def _source_looks(item: pytest.Item) -> bool:
        module = item.getparent(pytest.Module)
        return module is None or _LOOKS.search(inspect.getsource(module.obj)) is not None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ClockPlugin(os.environ))
