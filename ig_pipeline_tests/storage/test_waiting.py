"""Who waits for a database, for what and for how long."""

import logging

import pytest
import sqlalchemy as sa

from ig_pipeline.storage.database import DatabaseUnreachableError
from ig_pipeline.storage.waiting import retry_while_unavailable

pytestmark = pytest.mark.anyio

GONE = "could not connect: password=canary-secret\nline two"


class Seconds:
    """A clock in seconds that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def retried(work: "Work", *, timeout: float) -> str:
    clock = Seconds()
    return await retry_while_unavailable(work, timeout=timeout, sleep=clock.sleep, clock=clock)


class Work:
    """Fails with each of `errors`, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.done = list(errors), 0

    async def __call__(self) -> str:
        self.done += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def refused(reason: str = GONE, kind: type[sa.exc.DBAPIError] = sa.exc.OperationalError) -> sa.exc.DBAPIError:
    return kind("insert", {}, Exception(reason))


async def test_work_is_done_again_until_the_database_is_back(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(DatabaseUnreachableError("away"), refused(), refused(kind=sa.exc.InterfaceError))
    with caplog.at_level(logging.WARNING):
        assert await retried(work, timeout=5) == "done"
    assert work.done == 4
    assert [record.getMessage() for record in caplog.records] == [
        "away Waiting for it, up to 5 s.", "The database is back after 1 s."
    ]  # fmt: skip


async def test_the_timeout_ends_in_one_line_without_a_secret() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        await retried(Work(*[refused() for _ in range(100)]), timeout=10)
    assert str(caught.value) == "The database does not answer: could not connect: password=***."


@pytest.mark.parametrize("reason", ["database or disk is full", 'could not extend file "x": No space left on device'])
async def test_no_room_is_not_waited_for(reason: str) -> None:
    work = Work(refused(reason))
    with pytest.raises(DatabaseUnreachableError, match="Make room"):
        await retried(work, timeout=60)
    assert work.done == 1


@pytest.mark.parametrize("error", [refused(kind=sa.exc.IntegrityError), ValueError()])
async def test_other_errors_are_passed_on_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        await retried(Work(error), timeout=60)


async def test_without_a_timeout_nothing_is_changed() -> None:
    error = refused()
    with pytest.raises(sa.exc.OperationalError) as caught:
        await retried(Work(error), timeout=0)
    assert caught.value is error
