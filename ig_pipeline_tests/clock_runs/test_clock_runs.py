"""`make test-clock` in small: the instants, the shifted clock, and the choice of tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ig_pipeline.graph_api.days import PACIFIC
from ig_pipeline_tests.clock_runs import plugin
from ig_pipeline_tests.clock_runs.instants import instants, quiet
from ig_pipeline_tests.clock_runs.plugin import ALL_AND_NOTE, LOOKING
from ig_pipeline_tests.clock_runs.shifting import shifted_clock

ROOT = Path(__file__).parent.parent.parent
NOON = datetime(2028, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "now", [datetime(2026, 11, 25, 10, tzinfo=UTC), datetime(2027, 12, 31, 23, 30, tzinfo=UTC), NOON]
)
def test_every_instant_is_to_come(now: datetime) -> None:
    found = {instant.name: instant.at for instant in instants(now)}
    assert min(found.values()) > now
    here = {name: f"{at.astimezone(PACIFIC):%m-%d %H:%M}" for name, at in found.items()}
    schedules = {"nightly_sync": "02:17", "nightly_media_files": "02:47", "grid_checks": "23:13"}
    assert {name: here[name][6:] for name in schedules} == schedules
    assert {here["new_year"], here["leap_day"], here["leap_day_ends"]} == {"01-01 00:00", "02-29 00:00", "03-01 00:00"}
    assert [here[name][6:] for name in ("spring_change", "autumn_change")] == ["03:00", "01:00"]
    assert [here[name][6:] for name in ("spring_utc_midnight", "autumn_utc_midnight")] == ["17:00", "16:00"]
    lasted = {
        season: (found[f"{season}_day_ends"] - timedelta(days=1)).astimezone(PACIFIC).hour
        for season in ("spring", "autumn")
    }
    assert lasted == {"spring": 23, "autumn": 1}, "24 hours before the end of a day of 23 hours, and of 25"


def test_no_schedule_starts_anything_at_the_quiet_hour() -> None:
    now = datetime(2026, 11, 25, 10, tzinfo=UTC)
    at = quiet(now).at
    assert not [instant for instant in instants(now) if abs(instant.at - at) < timedelta(hours=1)]


@pytest.fixture
def clock() -> Iterator[Mapping[str, str]]:
    if not sys.platform.startswith("linux") or not shutil.which("cc"):
        pytest.skip("the shifted clock needs Linux and a C compiler")
    with shifted_clock() as variables:
        yield variables


_LOOK = """
import asyncio, sqlite3, subprocess, sys, threading, time
from datetime import datetime, UTC
from ig_pipeline_tests.clock_runs.shifting import Clock

Clock().set(datetime(2028, 2, 29, 12, tzinfo=UTC))
print(datetime.now(UTC).isoformat()[:15])
print(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time()))[:15])
print(sqlite3.connect(":memory:").execute("select strftime('%Y-%m-%dT%H:%M', 'now')").fetchone()[0][:15])
print(subprocess.check_output(["date", "-u", "+%Y-%m-%dT%H:%M"], text=True)[:15])
began = time.monotonic()
time.sleep(0.05)
threading.Event().wait(0.05)
threading.Lock().acquire(timeout=0.05)
asyncio.run(asyncio.sleep(0.05))
print(time.monotonic() - began < 30)
"""


def test_a_process_and_its_children_see_the_shifted_clock_and_still_wait_no_longer(clock: Mapping[str, str]) -> None:
    command = [sys.executable, "-c", _LOOK]
    seen = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **clock}, capture_output=True, text=True, timeout=90, check=True
    )
    assert seen.stdout.split() == [*["2028-02-29T12:0"] * 4, "True"]


_TESTS = """
import ig_pipeline.clock
from datetime import datetime
import time

def test_that_looks():
    time.sleep(0.4)
    assert datetime.now().hour == {hour}
    print(ig_pipeline.clock.utc_now())
"""
_DEAF = "def test_that_does_not_look(): pass"


def test_tests_that_look_at_the_clock_are_found_and_meet_the_instant(tmp_path: Path, clock: Mapping[str, str]) -> None:
    (tmp_path / "test_deaf.py").write_text(_DEAF)
    (tmp_path / "test_looking.py").write_text(_TESTS.format(hour=12))
    assert outcome(tmp_path, clock, NOON + timedelta(seconds=30), ALL_AND_NOTE) == (2, [])
    notes = plugin.read_notes(tmp_path / "notes")
    assert {name.partition("::")[2]: note.looks for name, note in notes.items()} == {
        "test_that_does_not_look": False,
        "test_that_looks": True,
    }
    # It begins before noon and looks after it.
    assert outcome(tmp_path, clock, NOON, LOOKING) == (1, [])
    (tmp_path / "test_looking.py").write_text(_TESTS.format(hour=11))
    assert outcome(tmp_path, clock, NOON, LOOKING) == (0, ["test_looking.py::test_that_looks"])


def outcome(folder: Path, clock: Mapping[str, str], at: datetime, choice: str) -> tuple[int, list[str]]:
    told = {
        plugin.AT: at.isoformat(),
        plugin.CHOICE: choice,
        plugin.NOTES: str(folder / "notes"),
        plugin.OUTCOME: str(folder / "outcome"),
    }
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", plugin.__name__, "-q", "--rootdir", folder, "-c", os.devnull, folder],
        cwd=ROOT,
        env={**os.environ, **clock, **told, "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=90,
        check=False,
    )
    found = json.loads((folder / "outcome").read_text())
    return found["passed"], found["failed"]
