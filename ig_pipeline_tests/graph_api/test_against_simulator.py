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
from ig_pipeline.graph_api.catalogue import (
    DEFAULT_MEDIA_METRICS,
    DEFAULT_TOTALS,
    story_metrics_for,
)
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.days import days_between, instagram_day, oldest_day_with_metrics
from ig_pipeline.graph_api.demographics import fetch_demographics, fetch_online_followers
from ig_pipeline.graph_api.errors import AppFaultError, RateLimitedError, TokenDeadError
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.media import iterate_media
from ig_pipeline.graph_api.media_insights import fetch_post_insights
from ig_pipeline.graph_api.media_nodes import Media
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.kinds import KINDS
from ig_pipeline.simulator.posts import Post
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.graph_api.fake import Time
from ig_pipeline_tests.graph_api.media_metrics import media_metrics_for

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
LOGINS: tuple[Login, ...] = ("facebook", "instagram")
# Posts that refuse a page have to be found, an empty listing has to be confirmed: kind → calls that may take.
SEARCHES = {"pre_conversion": 8, "old_videos": 24, "no_posts": 3}


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


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    "now", [datetime(2026, 11, 20, 0, 0, tzinfo=UTC), datetime(2026, 11, 20, 0, 0, 1, tzinfo=UTC), NOW]
)
async def test_everything_up_to_two_years_ago_is_there_and_nothing_before(now: datetime, login: Login) -> None:
    world = World(seed=5, accounts=1)
    [account], edge = world.accounts, oldest_day_with_metrics(now)
    days = days_between(edge - timedelta(days=3), edge + timedelta(days=3))
    with running_simulator(world, clock=lambda: now) as simulator:
        async with client_at(simulator, Time(now)) as client:
            credentials = credentials_of(simulator, account, login)
            series = await fetch_series(client, credentials, metrics=("reach",), first=days[0], last=days[-1])
            totals = {day: await fetch_totals(client, credentials, day=day) for day in days}
            assert client.calls_of(account.id) == 1 + 4
    assert {day: point.value for day, point in series.values["reach"].items()} == {
        day: account.reach(day, now) for day in days[3:]
    }
    assert series.absences["reach"].reason == "history_limit"
    for day, found in totals.items():
        if day < edge:
            assert {absence.reason for absence in found.absences.values()} == {"history_limit"}
        else:
            assert found.values == {name: account.metric(name, day, now) for name in DEFAULT_TOTALS}


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
                assert (
                    seen.keys() == set(story_metrics_for(login))
                    or story.absences["insights"].reason == "too_few_viewers"
                )


def seen_stories(account: Account) -> list[Post]:
    """The living stories that five people or more have seen."""
    return [story for story in account.live_stories(NOW) if story.metric("reach", NOW) >= 5]


@pytest.mark.parametrize("login", LOGINS)
async def test_the_stories_of_either_login_are_one_call(simulator: RunningSimulator, login: Login) -> None:
    account = next(a for a in simulator.world.accounts if seen_stories(a) and seen_stories(a) == a.live_stories(NOW))
    async with client_at(simulator) as client:
        found = await fetch_stories(client, credentials_of(simulator, account, login))
    assert found.calls == 1
    assert [story.id for story in found.items] == [story.id for story in account.live_stories(NOW)]
    assert all(not story.absences for story in found.items)


async def test_a_story_that_is_not_on_facebook_keeps_all_its_other_numbers() -> None:
    metrics = (*story_metrics_for("facebook"), "facebook_views")
    shared = set()
    with running_simulator(World(seed=11, accounts=6, kinds=["busy"]), clock=lambda: NOW) as simulator:
        async with client_at(simulator) as client:
            for account in simulator.world.accounts:
                found = await fetch_stories(client, credentials_of(simulator, account), metrics=metrics)
                items = {item.id: item for item in found.items}
                for story in seen_stories(account):
                    given = metrics if story.shared_to_facebook else metrics[:-1]
                    assert items[story.id].insights == {name: story.metric(name, NOW) for name in given}
                    assert set(items[story.id].absences) == set(metrics) - set(given)
                    shared.add(story.shared_to_facebook)
    assert shared == {True, False}


@pytest.mark.parametrize("login", LOGINS)
async def test_every_metric_the_catalogue_gives_a_login_for_a_kind_of_post_is_given(
    simulator: RunningSimulator, login: Login
) -> None:
    account = account_of(simulator, "busy")
    posts = [post for day in month_before(NOW) for post in account.posts_on(day, NOW)] + seen_stories(account)
    async with client_at(simulator) as client:
        for calls, product_type in enumerate(("FEED", "REELS", "STORY"), start=1):
            post = next(post for post in posts if post.product_type == product_type)
            asked = media_metrics_for(product_type, login)
            values, absences = await fetch_post_insights(
                client, credentials_of(simulator, account, login), post.id, asked
            )
            assert (set(values), absences) == (set(asked), {})
            assert client.calls_of(account.id) == calls


async def test_a_percentage_keeps_its_fraction_all_the_way(simulator: RunningSimulator) -> None:
    account, days = account_of(simulator, "busy"), month_before(NOW)
    reels = [p for day in days for p in account.posts_on(day, NOW) if p.product_type == "REELS"]
    metrics = ("reels_skip_rate", "ig_reels_avg_watch_time")
    async with client_at(simulator) as client:
        credentials = credentials_of(simulator, account)
        found = [(await fetch_post_insights(client, credentials, reel.id, metrics))[0] for reel in reels]
    assert [values["reels_skip_rate"] for values in found] == [reel.skip_rate for reel in reels]
    assert any(values["reels_skip_rate"] % 1 for values in found)
    assert all(18 <= values["reels_skip_rate"] <= 62 for values in found)
    assert {type(values["ig_reels_avg_watch_time"]) for values in found} == {int}


async def test_posts_that_are_not_on_facebook_lack_the_views_there_and_nothing_else(
    simulator: RunningSimulator,
) -> None:
    account, days = account_of(simulator, "busy"), month_before(NOW)
    metrics = (*DEFAULT_MEDIA_METRICS, "facebook_views")
    async with client_at(simulator) as client:
        pages = iterate_media(client, credentials_of(simulator, account), first=days[0], last=days[-1], metrics=metrics)
        items = {item.id: item async for page in pages for item in page.items}
    posts = [post for day in days for post in account.posts_on(day, NOW)]
    assert items.keys() == {post.id for post in posts}
    assert {post.shared_to_facebook for post in posts} == {True, False}
    for post in posts:
        given = metrics if post.shared_to_facebook else DEFAULT_MEDIA_METRICS
        item = items[post.id]
        assert item.insights == {name: post.metric(name, NOW) for name in given}
        assert {name: absence.reason for name, absence in item.absences.items()} == (
            {} if post.shared_to_facebook else {"facebook_views": "not_shared_to_facebook"}
        )


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


@pytest.mark.parametrize("use_case", ["ads_management", "ads_insights", "pages"])
async def test_what_advertisements_and_pages_have_spent_throttles_no_instagram_account(use_case: str) -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW) as simulator:
        [account] = simulator.world.accounts
        await control(simulator, f"usage/{account.username}", type=use_case, percent=100, minutes=45)
        time = Time(NOW)
        async with client_at(simulator, time) as client:
            fetched = await fetch(client, credentials_of(simulator, account), month_before(NOW))
        assert_true(account, month_before(NOW), fetched, NOW)
        assert not time.slept


async def test_a_limit_of_another_use_case_lasts_as_long_as_that_one_says() -> None:
    with running_simulator(World(seed=3, accounts=1), clock=lambda: NOW) as simulator:
        [account] = simulator.world.accounts
        await control(simulator, f"usage/{account.username}", type="ads_insights", minutes=33)
        await control(simulator, f"usage/{account.username}", type="ads_management", minutes=45)
        error = {"message": "(#80000) There have been too many calls", "type": "OAuthException", "code": 80000}
        plan = {"faults": [{"kind": "error", "times": 1, "error": {"status": 400, "body": {"error": error}}}]}
        async with httpx.AsyncClient() as http:
            (await http.post(f"{simulator.url}/_simulator/faults", json=plan)).raise_for_status()
        async with client_at(simulator) as client:
            with pytest.raises(RateLimitedError) as caught:
                await fetch_totals(client, credentials_of(simulator, account), day=month_before(NOW)[0])
    assert caught.value.retry_at == NOW + timedelta(minutes=33)


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
            with pytest.raises(AppFaultError) as caught:
                await fetch_totals(client, credentials, day=day)
        assert caught.value.about == ("app_secret",)
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
            assert client.served_version == "v27.0"
