"""The race of `make bench-media` in small: both sides bring every file. How fast, only the whole of it says."""

import shutil
from pathlib import Path

import pytest

from ig_pipeline_tests.bench.media import listing, simulator, with_curl, with_engine


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl to race against")
def test_curl_and_the_engine_bring_the_same_files(tmp_path: Path) -> None:
    with simulator(6, 2, 300_000) as at:
        rows = listing(at)
        assert len(rows) == 8
        assert with_curl(rows, tmp_path) > 0  # it checks that every file is there
        said = with_engine(at, rows, tmp_path)
    assert (said["new"], said["errors"]) == (8, [])
    assert said["bytes"] > 2 * 300_000
    assert said["peak"] > said["idle"] > 0
