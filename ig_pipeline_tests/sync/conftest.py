"""The small world as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline_tests.sync.harness import SmallWorld, small_world


@pytest.fixture
def small(database_url: SecretStr, tmp_path: Path) -> Iterator[SmallWorld]:
    """A world with an account of each kind, on SQLite and on PostgreSQL."""
    with small_world(database_url, tmp_path) as built:
        yield built
