"""The small world as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.sync.harness import SmallWorld, small_world


@pytest.fixture
def small(database_url: SecretStr, tmp_path: Path) -> Iterator[SmallWorld]:
    """A world with an account of each kind, on SQLite and on PostgreSQL."""
    with small_world(database_url, tmp_path) as built:
        yield built


@pytest.fixture
def small_on_sqlite(tmp_path: Path) -> Iterator[SmallWorld]:
    """The same for what no database can change, such as the number of calls."""
    url = SecretStr(f"sqlite:///{tmp_path / 'small.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with small_world(url, tmp_path) as built:
        yield built
