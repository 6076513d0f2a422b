"""The shape of every kind of answer, as JSON schema: keys and types, nothing more and nothing less."""

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from ig_pipeline.graph_api.catalogue import (
    DEFAULT_MEDIA_METRICS,
    DEFAULT_TOTALS,
    DEMOGRAPHIC_BREAKDOWNS,
    MEDIA_FIELDS,
    STORY_FIELDS,
)
from ig_pipeline_tests.simulator.conftest import Asker

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
ID: Schema = {"type": "string", "pattern": r"^\d{15,19}$"}
COUNT: Schema = {"type": "integer", "minimum": 0}
URL: Schema = {"type": "string", "pattern": r"^https?://"}
INSTANT: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000$"}


PROFILE_FIELDS = (
    "id",
    "username",
    "name",
    "biography",
    "website",
    "followers_count",
    "follows_count",
    "media_count",
    "profile_picture_url",
)


def exactly(optional: Schema | None = None, /, **required: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": False,
    }


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item}


WINDOWS = exactly(previous=URL, next=URL)
PAGING = exactly({"next": URL, "previous": URL}, cursors=exactly(before=TEXT, after=TEXT))
HEAD = {"name": TEXT, "period": TEXT, "title": TEXT, "description": TEXT, "id": {"pattern": r"^\d+/insights/\w+/\w+$"}}
BUCKET = exactly(value=COUNT, end_time={"pattern": r"T0[78]:00:00\+0000$"})
RESULT = exactly(dimension_values=many(TEXT), value=COUNT)
BREAKDOWN = exactly({"results": many(RESULT)}, dimension_keys=many(TEXT))
TOTAL = exactly({"value": COUNT, "breakdowns": many(BREAKDOWN)})
SERIES = exactly(data=many(exactly(**HEAD, values=many(BUCKET))), paging=WINDOWS)
TOTALS = exactly(data=many(exactly({"total_value": TOTAL}, **HEAD)), paging=WINDOWS)
PEOPLE = exactly(data=many(exactly(**HEAD, total_value=exactly(breakdowns=many(BREAKDOWN)))))
LIFETIME = exactly(data=many(exactly(**HEAD, values=many(exactly(value=COUNT)))))
CHILD = exactly({"media_url": URL}, id=ID, media_type={"enum": ["IMAGE", "VIDEO"]})
POST = exactly(
    {
        "caption": TEXT,
        "media_url": URL,
        "thumbnail_url": URL,
        "like_count": COUNT,
        "children": exactly(data=many(CHILD)),
        "insights": LIFETIME,
    },
    id=ID,
    media_type={"enum": ["IMAGE", "VIDEO", "CAROUSEL_ALBUM"]},
    media_product_type={"enum": ["FEED", "REELS"]},
    permalink=URL,
    shortcode=TEXT,
    timestamp=INSTANT,
    comments_count=COUNT,
)
STORY = exactly(
    {"caption": TEXT, "media_url": URL, "thumbnail_url": URL},
    id=ID,
    media_type={"enum": ["IMAGE", "VIDEO"]},
    media_product_type={"const": "STORY"},
    permalink=URL,
    timestamp=INSTANT,
)
PROFILE = exactly(
    {"biography": TEXT, "website": URL},
    id=ID,
    username=TEXT,
    name=TEXT,
    followers_count=COUNT,
    follows_count=COUNT,
    media_count=COUNT,
    profile_picture_url=URL,
)
USAGE = {"call_count": COUNT, "total_cputime": COUNT, "total_time": COUNT}
BUSINESS_USAGE = {
    "type": "object",
    "additionalProperties": many(exactly(**USAGE, type={"const": "instagram"}, estimated_time_to_regain_access=COUNT)),
}
ERROR = exactly(
    error=exactly(
        {"error_subcode": COUNT, "is_transient": {"type": "boolean"}, "error_user_title": TEXT, "error_user_msg": TEXT}
        | {"error_data": {"type": "object"}},
        message=TEXT,
        type={"enum": ["OAuthException", "GraphMethodException"]},
        code=COUNT,
        fbtrace_id=TEXT,
    )
)
INSTAGRAM_ERROR = exactly(
    error=exactly(
        {"error_subcode": COUNT},
        message={"type": "string", "pattern": r"^[^(]"},
        type={"enum": ["IGApiException", "OAuthException"]},
        code=COUNT,
        fbtrace_id=TEXT,
    )
)


def page(item: Schema) -> Schema:
    """A page with its paging, or an empty one without."""
    return {"oneOf": [exactly(data={**many(item), "minItems": 1}, paging=PAGING), exactly(data={"const": []})]}


def check(schema: Schema, response: httpx.Response, status: int = 200) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    problems = sorted(Draft202012Validator(schema).iter_errors(response.json()), key=str)
    assert not problems, f"{problems[0].json_path}: {problems[0].message}"


def every_account(ask: Asker) -> list[str]:
    return [account.username for account in ask.sim.world.accounts]


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_insights_of_every_account_have_their_shape(ask: Asker, login: str) -> None:
    day = {"period": "day", "since": "2026-11-01", "until": "2026-11-20"}
    for username in every_account(ask):
        check(SERIES, ask.insights(username, login, metric="reach,follower_count", **day))
        check(TOTALS, ask.insights(username, login, metric=",".join(DEFAULT_TOTALS), metric_type="total_value", **day))
        follows = {"metric": "follows_and_unfollows", "metric_type": "total_value", "breakdown": "follow_type"}
        check(TOTALS, ask.insights(username, login, **follows, **day))
        if ask.account(username).followers_count() >= 100:
            for breakdown in DEMOGRAPHIC_BREAKDOWNS:
                people = {"metric": "follower_demographics", "metric_type": "total_value", "period": "lifetime"}
                check(PEOPLE, ask.insights(username, login, **people, breakdown=breakdown))


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_media_stories_and_profiles_of_every_account_have_their_shape(ask: Asker, login: str) -> None:
    fields = ",".join((*MEDIA_FIELDS, "children{id,media_type,media_url}"))
    for username in every_account(ask):
        account = ask.account(username).id
        check(page(POST), ask.get(f"{account}/media", username, login, fields=fields, limit=30))
        check(page(STORY), ask.get(f"{account}/stories", username, login, fields=",".join(STORY_FIELDS)))
        check(PROFILE, ask.get(account, username, login, fields=",".join(PROFILE_FIELDS)))
    with_insights = f"{fields},insights.metric({','.join(DEFAULT_MEDIA_METRICS)})"
    check(page(POST), ask.get(f"{ask.account().id}/media", login=login, fields=with_insights, limit=50))


def test_refusals_and_headers_have_their_shape(ask: Asker) -> None:
    path = f"{ask.account().id}/insights"
    check(ERROR, ask.get(path, metric="nonsense", period="day"), 400)
    check(INSTAGRAM_ERROR, ask.get(path, login="instagram", metric="nonsense", period="day"), 400)
    check(ERROR, ask.get("18066122755137560"), 400)
    check(INSTAGRAM_ERROR, ask.get("18066122755137560", login="instagram"), 400)
    people = {"metric": "follower_demographics", "metric_type": "total_value", "period": "lifetime", "breakdown": "age"}
    check(ERROR, ask.insights("little.letterpress", **people), 400)
    usage = json.loads(ask.get(ask.account().id).headers["x-business-use-case-usage"])
    Draft202012Validator(BUSINESS_USAGE).validate(usage)
    Draft202012Validator(exactly(**USAGE)).validate(json.loads(ask.get("me").headers["x-app-usage"]))


def test_a_story_lives_for_a_day_and_so_do_its_insights(ask: Asker) -> None:
    stories = ask.get(f"{ask.account().id}/stories", fields="id,timestamp").json()["data"]
    assert stories
    oldest = min(stories, key=lambda story: str(story["timestamp"]))["id"]
    shown = ask.get(f"{oldest}/insights", metric="reach,replies,navigation")
    if shown.status_code == 200:
        check(LIFETIME, shown)
    else:
        assert ask.error(shown)["message"] == "(#10) Not enough viewers for the media to show insights"
    ask.control("POST", "clock", offset=24 * 3600)
    assert oldest not in {story["id"] for story in ask.get(f"{ask.account().id}/stories").json()["data"]}
    assert ask.error(ask.get(f"{oldest}/insights", metric="reach"))["error_subcode"] == 33
