"""Many requests at once ask the database their own queries and nothing else. How long it takes: `make bench-web`."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import sqlalchemy as sa
from sqlalchemy.pool import Pool

from ig_pipeline.storage.database import POOL_SIZE
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import FrontDoor

BURST = 60
PATHS = ("/v1/connections/status", "/v1/metrics/timeline/month")
# Status: a query. Timeline: whose accounts, then their days.
QUERIES = 2 * BURST


class Seen:
    """What reaches the databases of this process."""

    def __init__(self) -> None:
        self.opened = 0
        self.statements: list[str] = []


@contextmanager
def watching() -> Iterator[Seen]:
    seen = Seen()

    def opens(*_: object) -> None:
        seen.opened += 1

    def executes(_db: object, _cursor: object, statement: str, *_: object) -> None:
        # SQLite's transactions begin by a statement; PostgreSQL's readers have none.
        if statement != "begin":
            seen.statements.append(statement)

    sa.event.listen(Pool, "connect", opens)
    sa.event.listen(sa.Engine, "before_cursor_execute", executes)
    try:
        yield seen
    finally:
        sa.event.remove(Pool, "connect", opens)
        sa.event.remove(sa.Engine, "before_cursor_execute", executes)


def rush(door: FrontDoor) -> None:
    """BURST requests at once, each answered."""

    async def all_at_once() -> None:
        limits = httpx.Limits(max_connections=BURST)
        async with httpx.AsyncClient(base_url=door.settings.effective_public_url, timeout=60, limits=limits) as client:
            asked = (client.get(PATHS[n % 2], params={"email": "owner@b.example"}) for n in range(BURST))
            answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}

    asyncio.run(all_at_once())


def test_a_rush_of_readers_asks_its_queries_on_the_connections_that_are_there(
    door: FrontDoor, small: SmallWorld
) -> None:
    small.connect("acme.studio")
    with watching() as first:
        rush(door)
    assert len(first.statements) == QUERIES
    if small.engine.dialect.name == "sqlite":
        return
    assert first.opened <= POOL_SIZE
    with watching() as second:
        rush(door)
    # Kept, though all were wanted at once.
    assert second.opened <= POOL_SIZE - first.opened
    assert len(second.statements) == QUERIES
