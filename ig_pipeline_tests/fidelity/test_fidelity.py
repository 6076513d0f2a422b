"""The simulator answers every recorded question as the real API did, and the judge of that is not blind."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ig_pipeline.graph_api.catalogue import ACCOUNT_METRIC_VOCABULARY
from ig_pipeline_tests.fidelity.__main__ import main
from ig_pipeline_tests.fidelity.recordings import load_recordings
from ig_pipeline_tests.fidelity.replaying import Verdict, replay

FOLDER = Path(__file__).parents[3] / "shared" / "recorded"
ACCOUNT = "17841400000000077"
HOST = "https://graph.facebook.com/v25.0"
VALUES = f"must be one of the following values: {', '.join(ACCOUNT_METRIC_VOCABULARY)}"
IMPRESSIONS_GONE = "(#100) The Media Insights API does not support the views metric for this media product type."


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings of the real API do not lie beside this checkout")
def test_every_recorded_question_is_answered_as_the_real_api_did() -> None:
    recordings = load_recordings(FOLDER)
    verdicts = [verdict for recording in recordings for verdict in replay(recording)]
    assert len(verdicts) >= 76
    assert [verdict for verdict in verdicts if verdict.outcome != "same"] == []
    assert main([str(FOLDER)]) == 0


def exchange(path: str, answer: Any, status: int = 200, host: str = HOST, method: str = "GET") -> dict[str, Any]:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    return {
        "request": {"method": method, "uri": f"{host}/{path}", "body": None, "headers": {}},
        "response": {"status": {"code": status, "message": ""}, "headers": {}, "body": {"string": body}},
    }


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "OAuthException", "code": "REDACTED", "fbtrace_id": "A", **more}}


def judged(folder: Path, *exchanges: dict[str, Any]) -> list[Verdict]:
    content = {"_metadata": {"freeze_time": "2026-10-01T12:00:00"}, "interactions": exchanges}
    (folder / "made_up.json").write_text(json.dumps(content))
    (folder / "no_cassette.json").write_text("[1]")
    return replay(load_recordings(folder)[0])


def post(n: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"1790000000000{n:04d}", "timestamp": f"2026-09-{n:02d}T10:00:00+0000", **fields}


def test_an_account_never_seen_before_is_shaped_from_its_recording(tmp_path: Path) -> None:
    children = {"data": [{"id": "17900000000009991"}, {"id": "17900000000009992"}]}
    posts = [
        post(20, caption="x", like_count=3, children=children),
        post(11, like_count=1),
        post(3, caption="y"),
    ]
    fields = "fields=timestamp,caption,like_count,children"
    first = {"data": posts[:2], "paging": {"cursors": {"before": "B", "after": "A"}, "next": f"{HOST}/next"}}
    last = {"data": posts[2:], "paging": {"cursors": {"before": "C", "after": "D"}, "previous": f"{HOST}/previous"}}
    story = {"id": "17900000000000055", "media_type": "IMAGE"}
    saved = {"name": "saved", "period": "lifetime", "values": [{"value": 7}], "title": "t", "description": "d"}
    assert [
        verdict.details
        for verdict in judged(
            tmp_path,
            exchange(f"{ACCOUNT}/media?limit=2&{fields}", first),
            exchange(f"{ACCOUNT}/media?limit=2&after=A&{fields}", last),
            exchange(f"{ACCOUNT}?fields=username,biography", {"username": "x", "id": ACCOUNT}),
            exchange(
                f"{ACCOUNT}/stories?fields=id,media_type",
                {"data": [story], "paging": {"cursors": {"before": "E", "after": "F"}}},
            ),
            exchange(
                f"{posts[0]['id']}/insights?metric=saved",
                {"data": [{**saved, "id": f"{posts[0]['id']}/insights/saved/lifetime"}]},
            ),
            exchange(f"{posts[1]['id']}/insights?metric=reach,views", error(IMPRESSIONS_GONE), 400),
        )
    ] == [()] * 6


def test_states_of_tokens_limits_and_posts_are_brought_about(tmp_path: Path) -> None:
    expired = (
        "Error validating access token: Session has expired on Friday, 26-Jun-26 15:48:19 PDT. The current time is "
    )
    limit = (
        "(#80002) There have been too many calls to this Instagram account. Wait a bit and try again. For more info, "
        "please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
    )
    converted = {
        "error_data": {"blame_field_specs": [[""]]},
        "error_subcode": 2108006,
        "is_transient": False,
        "error_user_title": "Media posted before business account conversion",
        "error_user_msg": "The media was posted before the most recent time that the user's account was converted to a "
        "business account from a personal account.",
    }
    before = error("Invalid parameter", **converted)
    people = {
        "error_subcode": 2874010,
        "is_transient": False,
        "error_user_title": "Demographic data isn't available",
        "error_user_msg": "You can learn about your audience once this metric has more than 100 people in each "
        "breakdown.",
    }
    who = "metric=follower_demographics&period=lifetime&metric_type=total_value&breakdown=age"
    verdicts = judged(
        tmp_path,
        exchange(
            f"{ACCOUNT}?access_token=x", error(expired + "Friday, 26-Jun-26 16:02:11 PDT.", error_subcode=463), 400
        ),
        exchange(f"{ACCOUNT}?access_token=x", error(limit, error_subcode=2446079), 400),
        exchange(f"{ACCOUNT}/media?fields=insights.metric(reach)&since=2026-09-01&until=2026-09-05", before, 400),
        exchange(f"{ACCOUNT}/insights?{who}", error("Not enough users", **people), 400),
        exchange(f"{ACCOUNT}/tags?fields=id", error("(#10) Application does not have permission for this action"), 400),
    )
    assert [(verdict.outcome, verdict.details) for verdict in verdicts] == [("same", ())] * 5


def test_the_envelope_of_instagram_login_is_asked_for_too(tmp_path: Path) -> None:
    host = "https://graph.instagram.com/v25.0"
    said = (
        "The media was posted before the most recent time that the user's account was converted to a business account"
    )
    converted = error(f"{said} from a personal account.", error_subcode=2108006)
    converted["error"]["type"] = "IGApiException"
    unknown = error("Unsupported request - method type: get")
    unknown["error"]["type"] = "IGApiException"
    page = {"id": "100000000000077", "instagram_business_account": {"id": ACCOUNT}}
    verdicts = judged(
        tmp_path,
        exchange("100000000000077?fields=instagram_business_account", page),
        exchange("17900000000000123/insights?metric=reach", converted, 400, host=host),
        exchange(
            "me?fields=user_id,username", {"user_id": ACCOUNT, "username": "x", "id": "300000000000001"}, host=host
        ),
        exchange("access_token?grant_type=nonsense", unknown, 400, host=host),
    )
    assert [(verdict.outcome, verdict.details) for verdict in verdicts] == [("same", ())] * 4


def test_multi_reads_and_batches_are_asked_part_by_part(tmp_path: Path) -> None:
    parts = [
        {"method": "GET", "relative_url": f"{ACCOUNT}?fields=username"},
        {"method": "GET", "relative_url": f"{ACCOUNT}/feed"},
    ]
    refused = error("(#100) Tried accessing nonexisting field (feed)")
    answers = [
        {"code": 200, "body": json.dumps({"username": "x", "id": ACCOUNT})},
        {"code": 400, "body": json.dumps(refused)},
    ]
    strange = {ACCOUNT: {"id": ACCOUNT}, "555": {"fan_count": 3, "id": "555"}}
    verdicts = judged(
        tmp_path,
        exchange(f"?ids={ACCOUNT}&fields=username", {ACCOUNT: {"username": "x", "id": ACCOUNT}}),
        exchange(f"insights?ids={ACCOUNT}&metric=nonsense&period=day", error(f"(#100) metric[0] {VALUES}"), 400),
        exchange(f"?batch={quote(json.dumps(parts))}", answers, method="POST"),
        exchange(f"?ids={ACCOUNT},555&fields=id,fan_count", strange),
        exchange("555/insights?metric=page_fans", error("(#100) The value must be a valid insights metric"), 400),
    )
    assert [verdict.outcome for verdict in verdicts] == ["same", "same", "same", "excepted", "excepted"]


def test_a_difference_in_status_keys_types_or_words_is_seen(tmp_path: Path) -> None:
    wrong = error("(#100) Tried accessing nonexisting field (food)")
    verdicts = judged(
        tmp_path,
        exchange(f"{ACCOUNT}?fields=username,media_count", {"username": "x", "media_count": "7", "id": ACCOUNT}),
        exchange(f"{ACCOUNT}?fields=username", {"username": "x", "id": ACCOUNT, "surprise": 1}),
        exchange(f"{ACCOUNT}/feed", wrong, 400),
        exchange(f"{ACCOUNT}/feed", error("(#100) Tried accessing nonexisting field (feed)"), 403),
        exchange(f"{ACCOUNT}/insights?metric=reach&period=day", {"data": []}),
    )
    assert [verdict.outcome for verdict in verdicts] == ["different"] * 5
    assert main([str(tmp_path)]) == 1


def test_what_cannot_be_compared_is_excepted_with_its_reason(tmp_path: Path) -> None:
    verdicts = judged(
        tmp_path,
        exchange("x.jpg", "JFIF", host="https://scontent.cdninstagram.com"),
        exchange("act_1/insights?fields=spend", {"data": [{"spend": "1"}]}),
        exchange(ACCOUNT, error("An unexpected error has occurred.", is_transient=True), 500),
        exchange(f"{ACCOUNT}/media?after=Z", {"data": []}),
        exchange(f"{ACCOUNT}/media", {"id": "1"}, method="POST"),
    )
    assert [verdict.outcome for verdict in verdicts] == ["excepted"] * 5
    assert len({verdict.details for verdict in verdicts}) == 5


def test_a_folder_without_cassettes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([]) == 2
    assert "RECORDINGS=" in capsys.readouterr().out
