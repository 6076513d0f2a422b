"""Demographics, followers online and stories: their own rules, and absences instead of errors."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from ig_pipeline.graph_api.catalogue import DEMOGRAPHICS, STORY_METRICS, story_metrics_for
from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.days import bucket_end, instagram_day
from ig_pipeline.graph_api.demographics import fetch_demographics, fetch_online_followers
from ig_pipeline.graph_api.stories import fetch_stories
from ig_pipeline_tests.graph_api.fake import CREDENTIALS, NOON, Answer, asked_metrics, client_of, refusal, script

pytestmark = pytest.mark.anyio
TODAY = instagram_day(NOON)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def people(request: httpx.Request) -> Answer:
    breakdown = request.url.params["breakdown"]
    results = [{"dimension_values": [f"{breakdown} {n}"], "value": n} for n in range(3)]
    total = {"breakdowns": [{"dimension_keys": [breakdown], "results": results}]}
    return {"data": [{"name": name, "period": "lifetime", "total_value": total} for name in asked_metrics(request)]}


async def test_demographics_are_two_calls_per_breakdown() -> None:
    client, fake = client_of(people)
    found = await fetch_demographics(client, CREDENTIALS)
    assert found.calls == len(fake.requests) == 8
    assert set(found.values) == {(m, b) for m in DEMOGRAPHICS for b in ("country", "city", "age", "gender")}
    assert found.values["follower_demographics", "city"] == {"city 0": 0, "city 1": 1, "city 2": 2}
    assert [params.get("timeframe") for params in fake.params[:2]] == [None, "this_month"]


async def test_below_a_hundred_people_demographics_are_absent_and_asked_for_once() -> None:
    def answer(request: httpx.Request) -> Answer:
        if "engaged_audience_demographics" in asked_metrics(request):
            return refusal("Not enough users", code=10, error_subcode=2874010)
        return people(request)

    client, fake = client_of(answer)
    found = await fetch_demographics(client, CREDENTIALS)
    assert found.absences["engaged_audience_demographics"].reason == "too_few_people"
    assert len(found.values) == 8
    assert len(fake.requests) <= 8 + 2


async def test_an_account_with_no_audience_has_only_absences() -> None:
    client, fake = client_of(lambda request: refusal("Not enough users", code=10, error_subcode=2874010))
    found = await fetch_demographics(client, CREDENTIALS)
    assert not found.values
    assert {absence.reason for absence in found.absences.values()} == {"too_few_people"}
    calls = len(fake.requests)
    again = await fetch_demographics(client, CREDENTIALS, skip=found.absences)
    assert (again.calls, len(fake.requests)) == (0, calls)


def online(*days: tuple[date, dict[str, int]]) -> dict[str, Any]:
    values = [{"value": v, "end_time": bucket_end(d).strftime("%Y-%m-%dT%H:%M:%S+0000")} for d, v in days]
    return {"data": [{"name": "online_followers", "period": "lifetime", "values": values}]}


async def test_followers_online_come_by_hour_and_the_newest_days_are_not_settled() -> None:
    old, new = TODAY - timedelta(days=2), TODAY - timedelta(days=1)
    client, fake = client_of(script(online((old, {"0": 5, "23": 9}), (new, {}))))
    found = await fetch_online_followers(client, CREDENTIALS, first=old, last=new)
    assert found.values == {old: {0: 5, 23: 9}}
    assert found.absences["online_followers"].reason == "not_settled"
    assert fake.params[0]["period"] == "lifetime"


async def test_followers_online_are_asked_for_within_thirty_days_only() -> None:
    client, fake = client_of(script())
    found = await fetch_online_followers(
        client, CREDENTIALS, first=TODAY - timedelta(days=50), last=TODAY - timedelta(days=40)
    )
    assert not fake.requests
    assert found.absences["online_followers"].reason == "history_limit"


def story(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "media_type": "IMAGE",
        "media_product_type": "STORY",
        "media_url": "https://cdn.example/s.jpg",
        "timestamp": "2026-11-20T10:00:00+0000",
        **more,
    }


def values(metrics: list[str], value: int = 3) -> dict[str, Any]:
    return {"data": [{"name": name, "period": "lifetime", "values": [{"value": value}]} for name in metrics]}


async def test_stories_and_their_insights_are_one_call() -> None:
    client, fake = client_of(script({"data": [story(1, insights=values(list(STORY_METRICS)))]}))
    found = await fetch_stories(client, CREDENTIALS)
    assert found.items[0].insights == dict.fromkeys(STORY_METRICS, 3)
    assert found.items[0].absences == {}
    assert found.calls == len(fake.requests) == 1


async def test_a_story_is_asked_only_for_what_its_login_has() -> None:
    of_instagram = story_metrics_for("instagram")
    client, fake = client_of(script({"data": [story(1, insights=values(list(of_instagram)))]}))
    found = await fetch_stories(client, Credentials(CREDENTIALS.account_id, CREDENTIALS.token, "instagram"))
    assert found.items[0].insights == dict.fromkeys(of_instagram, 3)
    assert found.calls == 1
    assert "link_clicks" not in fake.params[0]["fields"]
    assert "total_views" not in fake.params[0]["fields"]


async def test_no_stories_are_one_call() -> None:
    client, _ = client_of(script({"data": []}))
    assert (await fetch_stories(client, CREDENTIALS)).items == []


async def test_a_story_with_too_few_viewers_does_not_silence_the_others() -> None:
    few = "(#10) Not enough viewers for the media to show insights"

    def answer(request: httpx.Request) -> Answer:
        if request.url.path.endswith("/stories"):
            if "insights" in request.url.params["fields"]:
                return refusal(few, code=10)
            return {"data": [story(1), story(2), story(3)]}
        if "/2/" in request.url.path:
            return refusal(few, code=10)
        if "/3/" in request.url.path:
            return refusal("Unsupported get request.", error_subcode=33)
        return values(asked_metrics(request))

    client, fake = client_of(answer)
    seen, unseen, lost = (await fetch_stories(client, CREDENTIALS)).items
    assert len(fake.requests) == 2 + 1 + 1 + 3  # "does not exist" of a story just listed is no statement: asked again
    assert seen.insights == dict.fromkeys(STORY_METRICS, 3)
    assert unseen.insights == {}
    assert unseen.absences["insights"].reason == "too_few_viewers"
    assert lost.absences["insights"].reason == "refused"
