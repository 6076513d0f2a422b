"""Every recorded answer of the real API is read: its values, or the right error."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ig_pipeline.graph_api.errors import (
    BadRequestError,
    GraphError,
    MalformedAnswerError,
    NoDataError,
    PermissionMissingError,
)
from ig_pipeline_tests.graph_api.reading import Reading, read_exchange, recorded_exchanges
from ig_pipeline_tests.graph_api.recordings import FOLDER, needs_recordings

NOW = datetime(2026, 6, 2, 9, 14, 18, tzinfo=UTC)
Exchange = tuple[str, str, int, dict[str, str], str]


def exchanges() -> list[Any]:
    files = sorted(FOLDER.glob("*.cassette.json")) if FOLDER.is_dir() else []
    return [
        pytest.param(exchange, id=f"{file.name.split('.')[0]}-{number}")
        for file in files
        for number, exchange in enumerate(recorded_exchanges(Path(file).read_text()))
    ]


def reading_of(exchange: Exchange) -> Reading:
    method, url, status, headers, body = exchange
    return read_exchange(url, status, headers, body, now=NOW, method=method)


@needs_recordings
@pytest.mark.parametrize("exchange", exchanges())
def test_a_recorded_answer_yields_the_values_in_it_or_the_right_error(exchange: Exchange) -> None:
    reading = reading_of(exchange)
    answer = json.loads(exchange[4])
    assert reading.problem is None
    if "error" in answer:
        assert type(reading.error) is expected_error(answer["error"]["message"])
    else:
        assert reading.error is None
        assert reading.values == dict(expected_values(answer, exchange[1]))


def expected_error(message: str) -> type[GraphError]:
    if message == "Not enough users":
        return NoDataError
    return PermissionMissingError if message.startswith("(#10)") else BadRequestError


def expected_values(answer: dict[str, Any], url: str) -> Any:
    """The same values by another way: straight from the JSON, row by row."""
    path = url.split("?", maxsplit=1)[0].split("/")[4:]
    rows = answer.get("data", [])
    if path[-1] == "insights":
        for row in rows:
            for bucket in row.get("values", []):
                # All recorded buckets end at 07:00 UTC, the midnight after the day they measured.
                day = datetime.fromisoformat(bucket["end_time"]).date() - timedelta(days=1)
                yield f"{row['name']}/{day}", bucket["value"]
            total = row.get("total_value", {})
            if "value" in total:
                yield row["name"], total["value"]
            for result in [r for b in total.get("breakdowns", []) for r in b["results"]]:
                yield f"{row['name']}/{', '.join(result['dimension_values'])}", result["value"]
    elif path[-1] == "accounts":
        yield from ((row["id"], []) for row in rows)
    elif path[-1] in {"media", "stories"}:
        kept = ("id", "caption", "media_type", "like_count", "comments_count", "media_url", "permalink", "shortcode")
        for row in rows:
            yield from ((f"{row['id']}/{name}", row[name]) for name in (*kept, "thumbnail_url") if name in row)
            if "timestamp" in row:
                yield f"{row['id']}/timestamp", datetime.fromisoformat(row["timestamp"])
    else:
        yield from (("account_id" if name == "id" else name, value) for name, value in answer.items())


@needs_recordings
def test_the_recordings_hold_what_these_tests_are_about() -> None:
    readings = [reading_of(case.values[0]) for case in exchanges()]
    assert {reading.parser for reading in readings} == {"error", "insights", "accounts", "media", "profile"}
    assert sum(len(reading.values) for reading in readings) > 1000
    assert all(reading.summary for reading in readings)


def test_an_answer_nobody_promised_is_a_problem() -> None:
    url = "https://graph.facebook.com/v25.0/1/media?fields=id"
    assert read_exchange(url, 200, {}, '{"data": [{"id": "x/y"}]}', now=NOW).problem
    assert read_exchange(url, 200, {}, "<html>", now=NOW).problem
    broken = read_exchange(url, 502, {}, "<html>", now=NOW)
    assert (type(broken.error), broken.problem) == (MalformedAnswerError, None)
    assert read_exchange(url, 200, {"content-encoding": "gzip"}, '{"data": []}', now=NOW).problem is None


def test_other_shapes_find_their_parser() -> None:
    base = "https://graph.instagram.com/v25.0"
    token = '{"access_token": "x", "expires_in": 60}'
    hours = '{"data":[{"name":"online_followers","values":[{"value":{"0":5},"end_time":"2026-05-30T07:00:00+0000"}]}]}'
    people = (
        '{"data":[{"name":"follower_demographics","total_value":{"breakdowns":[{"dimension_keys":["country"],'
        '"results":[{"dimension_values":["US"],"value":7}]}]}}]}'
    )
    cases = [
        (f"{base}/refresh_access_token?grant_type=ig_refresh_token", token, "token", None),
        (f"{base}/oauth/access_token?code=x", token, "token", None),
        (f"{base}/debug_token", '{"data": {"is_valid": true}}', "debug_token", None),
        (f"{base}/1/insights?period=lifetime", hours, "insights", {"online_followers/2026-05-29": {"0": 5}}),
        (f"{base}/1/insights?period=lifetime", people, "insights", {"follower_demographics/US": 7}),
        (f"{base}/1/insights", '{"data":[{"name":"saved","values":[{"value":7}]}]}', "insights", {"saved": 7}),
        (
            f"{base}/1?fields=id,media_type",
            '{"id":"1","media_type":"IMAGE"}',
            "media",
            {"id": "1", "media_type": "IMAGE"},
        ),
        (
            f"{base}/1?fields=instagram_business_account",
            '{"id":"1","instagram_business_account":null}',
            "accounts",
            None,
        ),
        (f"{base}/1/comments", '{"data": []}', "none", {}),
        (f"{base}/me?fields=user_id,username", '{"user_id":17841400000000001,"username":"u"}', "profile", None),
        (f"{base}/?ids=1,2&fields=id", '{"1":{"id":"1"}}', "none", {}),
        (f"{base}/", '[{"code":200,"body":"{}"}]', "none", {}),
        (f"{base}/act_1/insights", '{"data":[{"spend":"1"}]}', "none", {}),
        (f"{base}/1/insights?level=ad", '{"data":[{"spend":"1"}]}', "none", {}),
        ("https://scontent.cdninstagram.com/v/x.jpg", "JFIF", "none", {}),
        (f"{base}/1/insights", '{"data":[]}', "insights", {}),
        (f"{base}/1/insights", '{"data":[{"name":"x","values":[3]},{"name":"y","values":null}]}', "insights", {}),
        (f"{base}/1_2?fields=message", '{"id":"1_2","message":"x"}', "none", {}),
        (
            f"{base}/me/accounts?fields=id,instagram_business_account",
            '{"data":[{"id":"5","instagram_business_account":{"id":"17841400000000001"}},{"id":"6"}]}',
            "accounts",
            {"5": ["17841400000000001"], "6": []},
        ),
    ]
    for url, body, parser, values in cases:
        reading = read_exchange(url, 200, {}, body, now=NOW)
        assert (reading.parser, reading.problem) == (parser, None), url
        assert values is None or reading.values == values
