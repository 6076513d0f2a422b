"""Streams of one account that are made of each other, with fetches that need no Meta."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import date

import pytest

from ig_pipeline.graph_api.errors import BadRequestError
from ig_pipeline.sync.account_sync import AccountSync
from ig_pipeline.sync.registry import Fetch, Stream
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import AccountSession, SyncRun
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = [pytest.mark.anyio, sqlite_only]

Fill = Callable[..., Awaitable[dict[tuple[str, date], str]]]


def stream(name: str, fetch: Fetch, *upstream: str) -> Stream:
    return Stream(
        name=name, description="", tables=(), grain="account-day", schedule="", fetch=fetch, upstream=upstream
    )


def giving(name: str, asked: list[tuple[str, date]], *, until: int = 99) -> Fetch:
    """A result per day, and an error instead of the one numbered `until`."""

    async def fetch(session: AccountSession, days: Sequence[date]) -> AsyncGenerator[AccountDayResult]:
        for number, day in enumerate(days):
            asked.append((name, day))
            if number == until:
                raise BadRequestError("It cannot be asked like that.")
            yield AccountDayResult(name, session.connection.account_key, day, "complete")

    return fetch


@pytest.fixture
def filled(small: SmallWorld) -> Fill:
    async def fill(*streams: Stream) -> dict[tuple[str, date], str]:
        connection = small.connect("acme.studio")
        told: list[AccountDayResult] = []
        async with small.services_over(lambda _: None) as services:
            session = SyncRun(services, "run").session(connection)
            await AccountSync(session, streams=streams, emit=told.append).run(small.window(3))
        assert len({(result.asset, result.date) for result in told}) == len(told)
        return {(result.asset, result.date): result.status for result in told}

    return fill


async def test_a_day_goes_down_the_whole_chain_of_what_is_made_of_it(filled: Fill) -> None:
    asked: list[tuple[str, date]] = []
    chain = [
        stream("a", giving("a", asked)),
        stream("b", giving("b", asked), "a"),
        stream("c", giving("c", asked), "b"),
    ]
    found = await filled(*chain)
    assert set(found.values()) == {"complete"}
    assert [name for name, _ in asked] == ["a", "b", "c"] * 3


async def test_an_error_is_that_of_the_days_it_left_and_of_what_is_made_of_them(
    filled: Fill, small: SmallWorld
) -> None:
    asked: list[tuple[str, date]] = []
    chain = [
        stream("a", giving("a", asked, until=1)),
        stream("b", giving("b", asked), "a"),
        stream("c", giving("c", asked), "b"),
        stream("alone", giving("alone", asked)),
    ]
    found = await filled(*chain)
    first, *left = small.window(3)
    assert {key for key, status in found.items() if status == "failed"} == {(n, day) for n in "abc" for day in left}
    assert {day for name, day in asked if name in "bc"} == {first}
    assert [found["alone", day] for day in small.window(3)] == ["complete"] * 3


async def test_what_is_asked_for_without_its_upstream_is_filled_from_what_is_there(
    filled: Fill,
) -> None:
    asked: list[tuple[str, date]] = []
    found = await filled(stream("b", giving("b", asked), "a"))
    assert set(found.values()) == {"complete"}
    assert len(asked) == 3
