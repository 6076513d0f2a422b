"""What monitoring sees of Meta: calls by endpoint and outcome, kept when the process that made them is gone."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.storage import graph_calls
from ig_pipeline.storage.database import reading
from ig_pipeline_tests.sync.harness import SmallWorld, small_world, sqlite_only

pytestmark = pytest.mark.anyio


@sqlite_only
async def test_calls_are_kept_by_endpoint_and_outcome_over_processes(small: SmallWorld) -> None:
    key = small.world.accounts[0].username
    small.connect(key)
    await small.sync([key], days=3)
    with reading(small.engine) as db:
        first = graph_calls.totals(db)
    assert first[("insights", "ok")] == 4  # a series and three days of totals
    assert sum(first.values()) == small.simulator.calls.of(key)
    small.revoke(key)
    await small.sync([key], days=3)
    with reading(small.engine) as db:
        second = graph_calls.totals(db)
    assert second[("insights", "ok")] == 4
    assert sum(count for (_, outcome), count in second.items() if outcome == "TokenDeadError") > 0


@sqlite_only
async def test_a_version_that_meta_serves_no_more_is_named_after_the_run(
    tmp_path: Path, database_url: SecretStr, caplog: pytest.LogCaptureFixture
) -> None:
    with small_world(database_url, tmp_path, graph_version="v19.0") as small:
        key = small.world.accounts[0].username
        small.connect(key)
        await small.sync([key], days=2)
    assert "Asked for Graph API v19.0, Meta answered with v27.0" in caplog.text
