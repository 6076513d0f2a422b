"""The short form of `make chaos-media`: whatever moment kills a backfill, the next one mends it."""

from pathlib import Path

import pytest

from ig_pipeline_tests.chaos.killed import kill


@pytest.mark.timeout(100)
def test_killed_backfills_end_in_the_same_library(tmp_path: Path) -> None:
    assert kill((*["image"] * 12, "album 10", "video") * 6, tmp_path, kills=2, seed=4) == 2
