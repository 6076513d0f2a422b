"""What happens at the front door happens behind it, with real processes: the three things that whoever asked for the
front door tries first, and the short form of `make chaos-dagster`.
"""

from pathlib import Path

import pytest

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline_tests.chaos.dagster_gone import while_away
from ig_pipeline_tests.chaos.deployment import deployment
from ig_pipeline_tests.cli.up_process import wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("up")]


def test_a_consent_brings_thirty_days_and_what_is_asked_for_while_dagster_is_gone_happens_once(tmp_path: Path) -> None:
    with deployment(tmp_path, accounts=3) as site:
        first, *others = [account["username"] for account in site.meta("accounts")]
        site.start_dagster()
        email = site.connect(first)
        line = f"[SYNC] Running initial 30-day IG backfill for {first}"
        wait_for(lambda: line in site.lines["web"], what="the log line")
        site.days_of(email)
        month = site.ask("/v1/metrics/timeline/month", email=email, days=30)["timeline"]
        assert len(month) == 30
        assert all(day["reach"] > 0 and day["engagement"] is not None for day in month)
        site.idle()

        # Meta corrects yesterday; an admin asks for it while the daemon is dead and two people connect.
        site.kill_daemon()
        yesterday = last_complete_day(site.now())
        site.meta(f"accounts/{first}/recount", method="POST", day=yesterday, percent=40)
        away = while_away(site, people=others, asked=[(first, 1), (others[0], 1)])
        away.nothing_has_happened()
        site.start_daemon()
        away.all_has_ended()
        away.all_happened_once()
        *before, corrected = site.ask("/v1/metrics/timeline/month", email=email, days=30)["timeline"]
        assert before == month[:-1]
        assert corrected["date"] == month[-1]["date"] == yesterday.isoformat()
        assert corrected["reach"] == pytest.approx(1.4 * month[-1]["reach"], rel=0.01)

        # The first one wants to be forgotten: one run of Dagster's does it, and the others' runs are there.
        before_it = {run.run_id for run in site.runs() if first not in str(run.tags)}
        site.forget(email)
        site.idle()
        after = site.runs()
        assert [run.status.value for run in after if run.job_name == "forget_accounts"] == ["SUCCESS"]
        assert before_it <= {run.run_id for run in after}
        assert not [run for run in after if first in str(run.tags)]
