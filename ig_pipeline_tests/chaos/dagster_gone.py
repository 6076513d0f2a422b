"""`make chaos-dagster`: Dagster away for an hour while people connect and admins ask, and what becomes of it then.

Real processes: simulator, web service, `dagster-daemon` with its code location. Ten people go through the consent
dialog and five requests come in, over an hour of every clock. Once Dagster is back each of them has its days once:
one run, one row of the ledger a cell, no call too many. Three rounds: all of Dagster stopped in an orderly way; its
daemon killed with SIGKILL, and once more in the middle of the tick that asks for the ten runs; the same in the tick
that asks for the runs of the admins' requests. At the end Meta is down, and first backfills heal by themselves.
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ig_pipeline.defs.run_requests import BATCH_TAG
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.sync.registry import grid
from ig_pipeline_tests.chaos.deployment import Deployment, deployment

DAYS = 30
OLD, PEOPLE = 3, 10
HOUR = timedelta(hours=1)
# What a consent calls; all else is the work of runs.
OF_CONSENT = {"token_exchange", "debug_token"}
SENSORS = ("new_connections", "requested_syncs")
TICK_WITHIN_S = 600.0


@dataclass(frozen=True)
class Asked:
    """A request of an admin: its number, for whom and how many days."""

    number: int
    username: str
    days: int


@dataclass
class Away:
    """What happened while Dagster was away, and what was there before."""

    site: Deployment
    runs_before: set[str]
    rows_before: Mapping[str, int]
    people: dict[str, str] = field(default_factory=dict)
    """Username → address of those who connected meanwhile."""
    asked: list[Asked] = field(default_factory=list)

    def nothing_has_happened(self) -> None:
        """The front door says the truth: everybody is in the queue, nobody has a day, Meta was asked for none."""
        for username, email in self.people.items():
            standing = self.site.status(email)
            assert standing["backfill"] == _progress("queued", 0), standing
            assert standing["last_synced_day"] is None
            assert not self._calls(username), username
        assert {self.site.request(asked.number)["status"] for asked in self.asked} == {"queued"}
        assert {run.run_id for run in self.site.runs()} == self.runs_before

    def all_has_ended(self) -> None:
        """Wait until everybody's days are there, every request has its end and nothing is under way."""
        for email in self.people.values():
            self.site.days_of(email)
        for asked in self.asked:
            self.site.end_of(asked.number)
        self.site.idle()

    def all_happened_once(self) -> str:
        """Every person and request, once each; what was found. Raises `AssertionError`."""
        runs = [run for run in self.site.runs() if run.run_id not in self.runs_before]
        # On a machine that is busy beyond measure a run may not start in time; Dagster starts another in its place.
        runs = [run for run in runs if run.tags.get("dagster/will_retry") != "true"]
        assert {run.status.value for run in runs} == {"SUCCESS"}, [run.status for run in runs]
        batches = Counter(run.tags[BATCH_TAG] for run in runs if BATCH_TAG in run.tags)
        assert set(batches.values()) == {1}, batches
        firsts = [run.tags.get("account") for run in runs if run.tags.get("dagster/sensor_name") == SENSORS[0]]
        assert sorted(map(str, firsts)) == sorted(self.people), firsts
        for asked in self.asked:
            state = self.site.request(asked.number)
            assert state["status"] == "done", state
            assert [run.run_id for run in runs if run.run_id == state["run_id"]] == [state["run_id"]], state
        for email in self.people.values():
            standing = self.site.status(email)
            assert standing["backfill"] == _progress("done", DAYS), standing
            assert standing["last_synced_day"] == last_complete_day(self.site.now()).isoformat()
        calls = sum(self._account(username) for username in {*self.people, *(asked.username for asked in self.asked)})
        return (
            f"{len(self.people)} people have {DAYS} days each and {len(self.asked)} requests are done, by {len(runs)} "
            f"runs, none twice; {calls} calls, as many as the ledger has"
        )

    def _account(self, username: str) -> int:
        """Rows once each, the truth in them, no call that the ledger does not have; how many calls."""
        yesterday = last_complete_day(self.site.now())
        window = [yesterday - timedelta(days=n) for n in range(DAYS)]
        # Two who ask for the same days at once are answered by one run.
        spans = {asked.days for asked in self.asked if asked.username == username}
        expected = Counter(day for span in spans for day in window[:span])
        expected.update(window if username in self.people else [])
        rows = self.site.ledger(username)[self.rows_before.get(username, 0) :]
        assert {row.status for row in rows} == {"complete"}, username
        for asset in grid():
            assert Counter(row.date for row in rows if row.asset == asset) == expected, f"{username}: {asset}"
        days = self.site.daily(username)
        assert sorted(day for day, *_ in days) == window[::-1], f"{username}: {len(days)} rows of `metrics`"
        assert {day: tuple(numbers) for day, *numbers in days} == self.site.truth(username, window[-1], window[0])
        assert self._calls(username) == sum(row.calls for row in rows), f"{username}: {self.site.calls_of(username)}"
        return self._calls(username)

    def _calls(self, username: str) -> int:
        calls = self.site.calls_of(username)
        return sum(number for endpoint, number in calls.items() if endpoint not in OF_CONSENT)


def while_away(site: Deployment, *, people: Sequence[str], asked: Sequence[tuple[str, int]]) -> Away:
    """An hour without Dagster: people connect all through it, admins ask for (username, days) in between."""
    site.meta("calls/reset", method="POST")
    rows = {account["username"]: len(site.ledger(account["username"])) for account in site.meta("accounts")}
    away = Away(site, {run.run_id for run in site.runs()}, rows)
    for nth, username in enumerate(people, start=1):
        site.put_forward(HOUR / len(people))
        away.people[username] = site.connect(username)
        while len(away.asked) < nth * len(asked) // len(people):
            who, days = asked[len(away.asked)]
            away.asked.append(Asked(site.ask_for_sync(f"{who}@people.example", days=days), who, days))
    return away


def kill_in_the_tick(site: Deployment, sensor: str, *, runs_before: int) -> None:
    """SIGKILL for the daemon as soon as the first new run of this sensor is there: its tick is under way."""
    deadline = time.monotonic() + TICK_WITHIN_S
    while site.runs_of(sensor) == runs_before:
        assert time.monotonic() < deadline, "the tick never came"
        time.sleep(0.001)
    site.kill_daemon()
    assert site.unfinished_ticks(sensor), "the tick was over before the signal came"


def one_round(site: Deployment, *, people: Sequence[str], old: Sequence[str], killed_at: str | None) -> str:
    """Away for an hour and back; killed in the tick of its return, perhaps, and away for another half."""
    begun = time.monotonic()
    if killed_at:
        site.kill_daemon()
    else:
        site.stop_dagster()
    asked = [(old[0], 1), (old[0], 1), (old[1], 3), (people[0], 1), (people[1], 7)]
    away = while_away(site, people=people, asked=asked)
    away.nothing_has_happened()
    if killed_at:
        before = site.runs_of(killed_at)
        site.start_daemon()
        kill_in_the_tick(site, killed_at, runs_before=before)
        how = f"daemon killed, and again with {site.runs_of(killed_at) - before} run(s) of the tick asked for"
        site.put_forward(HOUR / 2)
        site.start_daemon()
    else:
        how = "stopped in an orderly way"
        site.start_dagster()
    away.all_has_ended()
    return f"{how}: {away.all_happened_once()}; {time.monotonic() - begun:.0f} s"


def outage_of_meta(site: Deployment, *, people: Sequence[str]) -> str:
    """Nobody gets a day while Meta is down; everybody does at the end of the first pause, without a person."""
    begun, runs_before = time.monotonic(), {run.run_id for run in site.runs()}
    down = [{"kind": "unavailable", "endpoint": endpoint} for endpoint in ("insights", "media")]
    site.meta("faults", method="POST", body={"faults": down})
    emails = [site.connect(username) for username in people]
    for email in emails:
        site.comes_to(email, "incomplete")
    site.idle()
    first_runs = [run for run in site.runs() if run.run_id not in runs_before]
    assert [run.status.value for run in first_runs] == ["FAILURE"] * len(people)
    tries = [datetime.fromisoformat(site.status(email)["backfill"]["next_try_at"]) for email in emails]
    site.meta("faults", method="DELETE")
    site.put_forward(max(tries) - site.now())
    for email in emails:
        site.days_of(email)
    site.idle()
    again = [run for run in site.runs() if run.run_id not in runs_before][: -len(people)]
    assert {run.status.value for run in again} == {"SUCCESS"}
    yesterday = last_complete_day(site.now())
    for username in people:
        days = {day: tuple(numbers) for day, *numbers in site.daily(username)}
        assert days == site.truth(username, yesterday - timedelta(days=DAYS - 1), yesterday)
    return (
        f"Meta down: the first backfills of {len(people)} people failed, and {len(again)} run(s) after the first pause "
        f"brought all days; {time.monotonic() - begun:.0f} s"
    )


def main() -> int:
    """All rounds on one deployment; prints what was found. 1 when something is not so."""
    rounds = (None, *SENSORS)
    with (
        tempfile.TemporaryDirectory(prefix="ig_chaos_") as folder,
        deployment(Path(folder), accounts=2 * OLD + PEOPLE * len(rounds)) as site,
    ):
        usernames = [account["username"] for account in site.meta("accounts")]
        old, new = usernames[:OLD], usernames[OLD:]
        try:
            site.start_dagster()
            for email in [site.connect(username) for username in old]:
                site.days_of(email)
            site.idle()
            print(f"{OLD} people connected while Dagster ran and have their {DAYS} days", flush=True)
            for nth, killed_at in enumerate(rounds):
                people = new[nth * PEOPLE : (nth + 1) * PEOPLE]
                print(one_round(site, people=people, old=old, killed_at=killed_at), flush=True)
            print(outage_of_meta(site, people=new[PEOPLE * len(rounds) :]), flush=True)
        except AssertionError as error:
            print(f"{site.report()}\nNOT SO: {error}", file=sys.stderr)
            return 1
    return 0


def _progress(state: str, done: int) -> dict[str, Any]:
    return {"state": state, "days_done": done, "days_total": DAYS, "days_failed": 0, "next_try_at": None}


if __name__ == "__main__":
    sys.exit(main())
