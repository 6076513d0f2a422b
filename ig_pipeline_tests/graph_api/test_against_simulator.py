"""The client over a real socket: what it fetches is the world's truth, at the number of calls that was promised."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.account_insights import Series, Totals, fetch_follows, fetch_series, fetch_totals
from ig_pipeline.graph_api.catalogue import DEFAULT_TOTALS, STORY_METRICS
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.days import days_between, instagram_day
from ig_pipeline.graph_api.demographics import fetch_demographics, fetch_online_followers
from ig_pipeline.graph_api.errors import AppFaultError, RateLimitedError, TokenDeadError
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.kinds import KINDS
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.graph_api.fake import Time

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LOGINS: tuple[Login, ...] = ("facebook", "instagram")
# Posts that refuse a page have to be found: kind → calls that may take beyond the pages.
SEARCHES = {"pre_conversion": 8, "old_videos": 24}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(World(seed=11, accounts=len(KINDS)), clock=lambda: NOW) as running:
        yield running


@asynccontextmanager
async def client_at(simulator: RunningSimulator, time: Time | None = None) -> AsyncIterator[GraphClient]:
    time = time or Time(NOW)
    async with GraphClient(MetaHosts.at(simulator.url, "v25.0"), clock=time, sleep=time.sleep) as client:
        yield client


def credentials_of(simulator: RunningSimulator, account: Account, login: Login = "facebook") -> Credentials:
    return Credentials(account.id, SecretStr(simulator.token(account.username, login)), login)


def account_of(simulator: RunningSimulator, kind: str) -> Account:
    return next(account for account in simulator.world.accounts if account.kind.name == kind)


def month_before(now: datetime) -> list[date]:
    today = instagram_day(now)
    return days_between(today - timedelta(days=30), today - timedelta(days=1))


async def fetch(
    client: GraphClient, credentials: Credentials, days: list[date]
) -> tuple[Series, dict[date, Totals], list[Media]]:
    series = await fetch_series(client, credentials, first=days[0], last=days[-1])
    totals = await asyncio.gather(*(fetch_totals(client, credentials, day=day) for day in days))
    pages = iterate_media(client, credentials, first=days[0], last=days[-1])
    return series, dict(zip(days, totals, strict=True)), [item async for page in pages for item in page.items]


def assert_true(
    account: Account, days: list[date], fetched: tuple[Series, dict[date, Totals], list[Media]], at: datetime
) -> None:
    series, totals, posts = fetched
    for day in days:
        assert series.values["reach"][day].value == account.reach(day, at)
        assert totals[day].values == {name: account.metric(name, day, at) for name in DEFAULT_TOTALS}
        assert sum(post.engagement for post in posts if post.day == day) == account.engagement(day, at)
    followers = {day: point.value for day, point in series.values["follower_count"].items()}
    expected = {day: account.metric("follower_count", day, at) for day in days}
    assert followers == ({} if account.followers_count() < 100 else expected)
    assert [post.id for post in posts] == [p.id for day in reversed(days) for p in reversed(account.posts_on(day, at))]


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("kind", KINDS)
async def test_thirty_days_of_any_account_are_the_truth_within_the_budget_of_calls(
    simulator: RunningSimulator, kind: str, login: Login
) -> None:
    account, days = account_of(simulator, kind), month_before(NOW)
    async with client_at(simulator) as client:
        fetched = await fetch(client, credentials_of(simulator, account, login), days)
        calls = client.calls_of(account.id)
    assert_true(account, days, fetched, NOW)
    posts = sum(len(account.posts_on(day, NOW)) for day in days)
    assert calls <= 31 + math.ceil(posts / 100) + SEARCHES.get(kind, 2)


EXPECTED_ABSENCES = {
    "tiny": {("follower_count", "too_few_followers")},
    "hidden_likes": {("like_count", "hidden_by_owner")},
    "pre_conversion": {("insights", "before_conversion")},
    "lost_media_url": {("media_url", "withheld")},
    "old_videos": {("views", "not_supported")},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_an_account_cannot_give_is_an_absence_with_its_reason(
    simulator: RunningSimulator, kind: str
) -> None:
    account, days = account_of(simulator, kind), month_before(NOW)
    async with client_at(simulator) as client:
        series, totals, posts = await fetch(client, credentials_of(simulator, account), days)
    absences = [series.absences, *(day.absences for day in totals.values()), *(post.absences for post in posts)]
    found = {(name, absence.reason) for given in absences for name, absence in given.items()}
    assert found == EXPECTED_ABSENCES.get(kind, set())


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 3, 20, 18, 0, tzinfo=UTC),  # a day of 23 hours among the thirty
        datetime(2026, 11, 20, 7, 59, tzinfo=UTC),  # one of 25, one minute before Pacific midnight
        datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
        datetime(2027, 1, 5, 2, 0, tzinfo=UTC),  # New Year
    ],
)
async def test_days_of_23_and_25_hours_and_new_year_hold_the_truth(now: datetime) -> None:
    world = World(seed=5, accounts=1)
    [account], days = world.accounts, month_before(now)
    with running_simulator(world, clock=lambda: now) as simulator:
        async with client_at(simulator, Time(now)) as client:
            fetched = await fetch(client, credentials_of(simulator, account), days)
    assert_true(account, days, fetched, now)


@pytest.mark.parametrize("behind", [1, 2])
async def test_a_clock_that_is_behind_loses_only_the_days_meta_has_forgotten(
    simulator: RunningSimulator, behind: int
) -> None:
    ours = NOW - timedelta(days=behind)
    account, days = account_of(simulator, "busy"), month_before(ours)
    async with client_at(simulator, Time(ours)) as client:
        found = await fetch_series(client, credentials_of(simulator, account), first=days[0], last=days[-1])
    assert set(found.values["reach"]) == set(days)
    assert set(found.values["follower_count"]) == set(days[behind:])
    assert found.absences["follower_count"].reason == "history_limit"
    assert found.calls == 2 + behind


async def test_a_year_of_posts_comes_in_pages_of_a_hundred(simulator: RunningSimulator) -> None:
    account = account_of(simulator, "busy")
    first, last = instagram_day(NOW) - timedelta(days=365), instagram_day(NOW)
    async with client_at(simulator) as client:
        pages = [p async for p in iterate_media(client, credentials_of(simulator, account), first=first, last=last)]
    posts = [post.id for day in days_between(first, last) for post in account.posts_on(day, NOW)]
    assert sorted(item.id for page in pages for item in page.items) == sorted(posts)
    assert sum(page.calls for page in pages) == math.ceil(len(posts) / 100)


async def test_older_days_have_reach_but_no_new_followers(simulator: RunningSimulator) -> None:
    account = account_of(simulator, "busy")
    first = instagram_day(NOW) - timedelta(days=90)
    async with client_at(simulator) as client:
        found = await fetch_series(
            client, credentials_of(simulator, account), first=first, last=first + timedelta(days=59)
        )
    assert len(found.values["reach"]) == 60
    assert not found.values["follower_count"]
    assert found.absences["follower_count"].reason == "history_limit"


async def test_follows_and_unfollows_once_they_are_settled(simulator: RunningSimulator) -> None:
    account, days = account_of(simulator, "busy"), month_before(NOW)
    async with client_at(simulator) as client:
        credentials = credentials_of(simulator, account)
        settled = await fetch_follows(client, credentials, day=days[0])
        fresh = await fetch_follows(client, credentials, day=days[-1])
        tiny = account_of(simulator, "tiny")
        few = await fetch_follows(client, credentials_of(simulator, tiny), day=days[0])
    assert settled.values == {name: account.metric(name, days[0], NOW) for name in ("follows", "unfollows")}
    assert fresh.absences["follows"].reason == "not_settled"
    assert few.absences["follows"].reason == "too_few_followers"


@pytest.mark.parametrize("login", LOGINS)
async def test_audiences_and_stories_of_every_account(simulator: RunningSimulator, login: Login) -> None:
    days = month_before(NOW)
    async with client_at(simulator) as client:
        for account in simulator.world.accounts:
            credentials = credentials_of(simulator, account, login)
            people = await fetch_demographics(client, credentials)
            online = await fetch_online_followers(client, credentials, first=days[0], last=days[-1])
            stories = await fetch_stories(client, credentials)
            assert {metric for metric, _ in people.values} | set(people.absences) >= {"follower_demographics"}
            assert {absence.reason for absence in people.absences.values()} <= {"too_few_people"}
            if account.kind.name == "tiny":
                assert not people.values
                assert online.absences["online_followers"].reason == "too_few_followers"
            else:
                assert len(online.values) == 28
            assert [story.id for story in stories.items] == [story.id for story in account.live_stories(NOW)]
            for story in stories.items:
                seen = dict(story.insights or {})
                assert seen.keys() == set(STORY_METRICS) or story.absences["insights"].reason == "too_few_viewers"


async def control(simulator: RunningSimulator, path: str, **params: object) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{simulator.url}/_simulator/{path}", params={k: str(v) for k, v in params.items()})
        answer.raise_for_status()


async def test_a_throttled_account_stops_at_once_and_the_others_go_on() -> None:
    days = month_before(NOW)
    with running_simulator(World(seed=3, accounts=2), clock=lambda: NOW) as simulator:
        throttled, other = simulator.world.accounts
        await control(simulator, f"throttle/{throttled.username}", minutes=10, after=12)
        async with client_at(simulator) as client:
            credentials = credentials_of(simulator, throttled)
            results = await asyncio.gather(
                *(fetch_totals(client, credentials, day=day) for day in days), return_exceptions=True
            )
            kept = [result for result in results if isinstance(result, Totals)]
            refused = [result for result in results if isinstance(result, RateLimitedError)]
            assert len(kept) + len(refused) == 30
            assert len(kept) >= 12
            # Four were on the wire at most when the limit was reached.
            assert client.calls_of(throttled.id) <= 12 + 4
            assert all(timedelta(0) < e.retry_at - NOW <= timedelta(minutes=13) for e in refused)
            fetched = await fetch(client, credentials_of(simulator, other), days)
        assert_true(other, days, fetched, NOW)


async def test_rising_usage_slows_down_and_a_spent_budget_stops_before_meta_refuses() -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW, calls_a_day=40) as simulator:
        [account] = simulator.world.accounts
        time = Time(NOW)
        async with client_at(simulator, time) as client:
            with pytest.raises(RateLimitedError) as caught:
                for day in days_between(date(2026, 8, 1), date(2026, 10, 31)):
                    await fetch_totals(client, credentials_of(simulator, account), day=day)
            assert client.calls_of(account.id) == 40
        assert caught.value.origin.code is None  # stopped by ourselves
        assert time.slept
        assert max(time.slept) <= 2


@pytest.mark.parametrize(("subcode", "cause"), [(458, "app_removed"), (460, "password_changed"), (467, "invalid")])
@pytest.mark.parametrize("login", LOGINS)
async def test_a_revoked_token_is_dead_and_says_why(login: Login, subcode: int, cause: str) -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW) as simulator:
        [account] = simulator.world.accounts
        credentials = credentials_of(simulator, account, login)
        await control(simulator, f"tokens/{account.username}/revoke", subcode=subcode)
        async with client_at(simulator) as client:
            with pytest.raises(TokenDeadError) as caught:
                await fetch_totals(client, credentials, day=month_before(NOW)[0])
            assert client.calls_of(account.id) == 1
    assert caught.value.cause == cause


async def test_an_expired_token_is_dead() -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW) as simulator:
        [account] = simulator.world.accounts
        credentials = credentials_of(simulator, account)
        await control(simulator, f"tokens/{account.username}/expire")
        async with client_at(simulator) as client:
            with pytest.raises(TokenDeadError, match="Session has expired") as caught:
                await fetch_totals(client, credentials, day=month_before(NOW)[0])
    assert caught.value.cause == "expired"


async def test_an_app_that_requires_its_secret_gets_the_proof() -> None:
    world = World(seed=3, accounts=1)
    with running_simulator(world, clock=lambda: NOW, require_proof=True) as simulator:
        [account] = simulator.world.accounts
        credentials = credentials_of(simulator, account)
        day = month_before(NOW)[0]
        async with client_at(simulator) as client:
            with pytest.raises(AppFaultError, match="IG_PIPELINE_APP_SECRET"):
                await fetch_totals(client, credentials, day=day)
        hosts = MetaHosts.at(simulator.url, "v25.0")
        async with GraphClient(hosts, app_secret=SecretStr(world.app_secret), clock=lambda: NOW) as client:
            found = await fetch_totals(client, credentials, day=day)
    assert found.values["views"] == account.metric("views", day, NOW)


async def test_a_version_that_is_dead_is_noticed_by_the_version_that_answered() -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW) as simulator:
        [account] = simulator.world.accounts
        async with GraphClient(MetaHosts.at(simulator.url, "v19.0"), clock=lambda: NOW) as client:
            await fetch_series(
                client, credentials_of(simulator, account), first=date(2026, 11, 1), last=date(2026, 11, 2)
            )
            assert client.served_version == "v26.0"
