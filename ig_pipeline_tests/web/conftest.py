"""The front door as a fixture, over a small world on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.web.front_door import FrontDoor, front_door


@pytest.fixture
def small(database_url: SecretStr, tmp_path: Path) -> Iterator[SmallWorld]:
    """A world with an account of each kind, on SQLite and on PostgreSQL."""
    with small_world(database_url, tmp_path) as built:
        yield built


@pytest.fixture
def small_on_sqlite(sqlite_url: SecretStr, tmp_path: Path) -> Iterator[SmallWorld]:
    """The same for what no database can change."""
    with small_world(sqlite_url, tmp_path) as built:
        yield built


@pytest.fixture
def door(small: SmallWorld) -> Iterator[FrontDoor]:
    """The service with an admin token and no API token, as on one's own machine; both databases."""
    with front_door(small) as opened:
        yield opened


@pytest.fixture
def door_on_sqlite(small_on_sqlite: SmallWorld) -> Iterator[FrontDoor]:
    """The same for what no database can change."""
    with front_door(small_on_sqlite) as opened:
        yield opened
