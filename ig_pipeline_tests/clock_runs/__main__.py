"""Runs the suite at each instant, prints a table, exits non-zero if anything failed; see the package."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ig_pipeline.clock import utc_now
from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline_tests.clock_runs import plugin
from ig_pipeline_tests.clock_runs.instants import QUIET, Instant, instants, quiet
from ig_pipeline_tests.clock_runs.plugin import ALL, ALL_AND_NOTE, LOOKING, Outcome
from ig_pipeline_tests.clock_runs.shifting import NoShiftedClockError, shifted_clock

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".pytest_cache" / "clock_runs"
NOTES = FOLDER / "notes.json"
_ROW = "{:21} {:16} {:16} {:>6} {:>6} {:>7}"


@dataclass(frozen=True)
class Options:
    """`at`: names of instants, all when empty. `tests`: files and folders, the whole suite when empty."""

    at: Sequence[str]
    full: bool
    tests: Sequence[str]


def main() -> int:
    """Run and print; the exit code."""
    now = utc_now()
    found = {instant.name: instant for instant in [quiet(now), *instants(now)]}
    options = _options(list(found))
    names = [name for name in found if name in options.at] if options.at else list(found)
    if options.at and not NOTES.exists() and QUIET not in names:
        names.insert(0, QUIET)  # which tests look at the clock, and how long they take
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(_ROW.format("instant", "Los Angeles", "UTC", "passed", "failed", "seconds"), flush=True)
    failures: dict[str, list[str]] = {}
    try:
        with shifted_clock() as clock:
            for name in names:
                failures[name] = _run(found[name], options, clock)
    except NoShiftedClockError as error:
        print(error, file=sys.stderr)
        return 2
    for name, failed in failures.items():
        if failed:
            print(f"\n{name}, {_log(name)}:", *failed, sep="\n  ")
    return 1 if any(failures.values()) else 0


def _options(names: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="make test-clock", description=sys.modules[__package__].__doc__)
    parser.add_argument("--at", default="", help=f"some of: {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="all tests at each instant")
    parser.add_argument("tests", nargs="*", help="files and folders; the whole suite by default")
    given = parser.parse_args()
    at = [name for name in given.at.split(",") if name]
    if unknown := sorted(set(at) - set(names)):
        parser.error(f"no such instant: {', '.join(unknown)}; there are {', '.join(names)}")
    return Options(at, given.full, given.tests)


def _run(instant: Instant, options: Options, clock: Mapping[str, str]) -> list[str]:
    """Print the instant's row; what failed."""
    outcome_file = FOLDER / f"{instant.name}.json"
    outcome_file.unlink(missing_ok=True)
    choice = ALL_AND_NOTE if instant.name == QUIET else ALL if options.full else LOOKING
    told = {
        plugin.AT: instant.at.isoformat(),
        plugin.CHOICE: choice,
        plugin.NOTES: str(NOTES),
        plugin.OUTCOME: str(outcome_file),
    }
    began = time.monotonic()
    with _log(instant.name).open("w") as log:
        ended = subprocess.run(
            # One after the other: the clock is everybody's.
            [sys.executable, "-m", "pytest", "-p", plugin.__name__, "-n", "0", "-vv", "--tb=short", *options.tests],
            cwd=ROOT,
            env={**os.environ, **clock, **told},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    took = time.monotonic() - began
    outcome = Outcome(**json.loads(outcome_file.read_text())) if outcome_file.exists() else Outcome(0, [])
    failed = outcome.failed
    if ended and not failed:
        failed = [f"pytest ended with {ended}"]
    times = [f"{at:%Y-%m-%d %H:%M}" for at in (instant.at.astimezone(PACIFIC), instant.at)]
    print(_ROW.format(instant.name, *times, outcome.passed, len(failed), f"{took:.0f}"), flush=True)
    return failed


def _log(name: str) -> Path:
    return FOLDER / f"{name}.log"


if __name__ == "__main__":
    sys.exit(main())
