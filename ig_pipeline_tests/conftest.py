"""Fixtures every test may use: the two databases, migrated and empty."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server, one per worker, started when the first test needs it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a migrated database that others are copied from: a copy takes 50 ms, migrations ten times that."""
    url = postgres.create()
    engine = open_engine(SecretStr(url))
    migrate(engine)
    engine.dispose()
    return url.rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that others are copied from: migrations take a sixth of a second."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    engine = open_engine(SecretStr(f"sqlite:///{path}"))
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> SecretStr:
    """The URL of a migrated, empty SQLite database."""
    return SecretStr(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.db')}")


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, for Dagster's own storage or a first migration."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[SecretStr]:
    """The URL of a migrated, empty database: each test runs on both."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    made = server.create(template=request.getfixturevalue("postgres_template"))
    yield SecretStr(made)
    server.drop(made)


@pytest.fixture
def database(database_url: SecretStr) -> Iterator[sa.Engine]:
    """An engine on a migrated, empty database: each test runs on both."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def db(database: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction on that database, committed when the test ends well."""
    with database.begin() as connection:
        yield connection
