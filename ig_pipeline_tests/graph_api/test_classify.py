"""Every known refusal of the Graph API becomes the error the fact sheet's table says, both envelopes included."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ig_pipeline.graph_api.classify import DEFAULT_BLOCK, classify
from ig_pipeline.graph_api.errors import (
    Actor,
    AppFaultError,
    BadRequestError,
    GraphError,
    LoginCodeError,
    MalformedAnswerError,
    NoDataError,
    ObjectGoneError,
    PermissionMissingError,
    PolicyBlockedError,
    RateLimitedError,
    TokenDeadError,
    TransientError,
)
from ig_pipeline_tests.graph_api.recordings import load, needs_recordings

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def error(
    message: str = "x", code: object = None, subcode: int | None = None, status: int = 400, **more: object
) -> GraphError:
    envelope = {"message": message, "type": "OAuthException", "fbtrace_id": "Atrace", **more}
    if code is not None:
        envelope["code"] = code
    if subcode is not None:
        envelope["error_subcode"] = subcode
    return classify(status, {}, {"error": envelope}, now=NOW)


# Key of the recorded catalogue → the error, and an attribute that has to be right too.
EXPECTED: dict[str, tuple[type[GraphError], str, object]] = {
    "too_long_range": (BadRequestError, "rule", "range_too_long"),
    "follower_count_older_than_30d": (BadRequestError, "culprits", ("follower_count",)),
    "needs_total_value": (BadRequestError, "culprits", ("comments", "total_interactions", "views")),
    "incompatible_metric_type_total_value": (BadRequestError, "culprits", ("follower_count",)),
    "incompatible_metric_type_time_series": (BadRequestError, "culprits", ("accounts_engaged",)),
    "invalid_account_metric": (BadRequestError, "position", 1),
    "impressions_removed_v22_wording": (BadRequestError, "culprits", ("impressions",)),
    "media_metric_not_for_product_type": (BadRequestError, "culprits", ("views",)),
    "media_before_business_conversion": (NoDataError, "reason", "before_conversion"),
    "media_before_business_conversion_graph_instagram_com": (NoDataError, "reason", "before_conversion"),
    "story_too_few_viewers": (NoDataError, "reason", "too_few_viewers"),
    "no_permission": (PermissionMissingError, "scope", None),
    "object_missing_or_no_permission": (ObjectGoneError, "origin.subcode", 33),
    "demographics_not_enough_users": (NoDataError, "reason", "too_few_people"),
    "app_rate_limit": (RateLimitedError, "scope", "app"),
    "buc_rate_limit": (RateLimitedError, "scope", "account"),
    "token_expired": (TokenDeadError, "cause", "expired"),
    "unknown_transient": (TransientError, "reduce", False),
    "unknown_code1": (TransientError, "reduce", True),
    "reduce_data": (TransientError, "reduce", True),
    "incompatible_breakdown": (BadRequestError, "culprits", ("reach",)),
    "ig_login_code_reused": (LoginCodeError, "origin.status", 400),
    "ig_exchange_without_scope": (PermissionMissingError, "scope", "instagram_business_basic"),
    "appsecret_proof_missing": (AppFaultError, "cause", "secret_proof"),
}


def attribute(found: object, path: str) -> object:
    for name in path.split("."):
        found = getattr(found, name)
    return found


@needs_recordings
@pytest.mark.parametrize("entry", load("errors_catalogue.json"), ids=lambda entry: str(entry["key"]))
@pytest.mark.parametrize("redacted", [False, True], ids=["code sent", "code missing"])
def test_a_catalogued_error_is_what_the_table_says(entry: Mapping[str, Any], redacted: bool) -> None:
    kind, path, value = EXPECTED[entry["key"]]
    body = entry["body"]
    if redacted and "error" in body:
        # The recorder replaced the code; only messages that carry it, or say it in words, can be read back.
        body = {"error": {**body["error"], "code": "REDACTED"}}
    found = classify(entry["http_status"], {}, body, now=NOW)
    assert type(found) is kind
    assert attribute(found, path) == value


@pytest.mark.parametrize("code", [4, 17, 32, 341, 613, 80002])
@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_rate_limit_is_known_whatever_its_status(code: int, status: int) -> None:
    found = error("There have been too many calls", code, status=status, is_transient=True)
    assert isinstance(found, RateLimitedError)
    assert found.scope == ("app" if code == 4 else "account")
    assert found.retry_at == NOW + DEFAULT_BLOCK


def test_a_rate_limit_tells_when_access_returns() -> None:
    headers = {
        "X-Business-Use-Case-Usage": '{"1":[{"type":"instagram","call_count":97,"total_cputime":1,"total_time":1,'
        '"estimated_time_to_regain_access":0}],"2":[{"estimated_time_to_regain_access":19}]}'
    }
    found = classify(400, headers, {"error": {"message": "x", "code": 80002}}, now=NOW)
    assert isinstance(found, RateLimitedError)
    assert found.retry_at == NOW + timedelta(minutes=19)


SIDE_BY_SIDE = {
    "X-Business-Use-Case-Usage": json.dumps(
        {
            "1": [
                {"type": "ads_management", "call_count": 100, "estimated_time_to_regain_access": 45},
                {"type": "ads_insights", "estimated_time_to_regain_access": 33},
                {"type": "pages", "estimated_time_to_regain_access": 21},
            ],
            "17841400000000001": [{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": 7}],
            "17841400000000002": [{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": 59}],
        }
    )
}


@pytest.mark.parametrize(
    ("code", "minutes"),
    [(80002, 7), (17, 7), (4, 7), (80000, 33), (80001, 21), (32, 21), (80003, 45), (80004, 45), (80014, 59)],
)
def test_a_limit_lasts_as_long_as_its_own_use_case_says(code: int, minutes: int) -> None:
    body = {"error": {"message": "There have been too many calls", "code": code}}
    found = classify(400, SIDE_BY_SIDE, body, now=NOW, account_id="17841400000000001")
    assert isinstance(found, RateLimitedError)
    assert found.retry_at == NOW + timedelta(minutes=minutes)


def test_a_limit_whose_use_case_is_not_listed_lasts_as_long_as_usual() -> None:
    body = {"error": {"message": "There have been too many calls", "code": 80006}}
    found = classify(400, SIDE_BY_SIDE, body, now=NOW, account_id="17841400000000001")
    assert isinstance(found, RateLimitedError)
    assert found.retry_at == NOW + DEFAULT_BLOCK


def test_a_gateway_that_asks_to_slow_down_is_no_limit_of_an_advertisement() -> None:
    busy = {"X-Business-Use-Case-Usage": '{"1":[{"type":"ads_management","estimated_time_to_regain_access":45}]}'}
    assert type(classify(429, busy, None, now=NOW, account_id="17841400000000001")) is TransientError


@pytest.mark.parametrize(
    ("subcode", "cause"),
    [
        (458, "app_removed"),
        (459, "checkpoint"),
        (460, "password_changed"),
        (463, "expired"),
        (464, "unconfirmed"),
        (467, "invalid"),
        (492, "lost_page_role"),
        (493, "data_access"),
        (None, "invalid"),
    ],
)
def test_a_dead_token_tells_why_and_what_to_do(subcode: int | None, cause: str) -> None:
    found = error("Error validating access token: no.", 190, subcode)
    assert isinstance(found, TokenDeadError)
    assert found.cause == cause
    assert "onnect" in found.advice
    assert found.advice in str(found)


def test_an_expired_session_is_expired_without_a_subcode() -> None:
    found = error("Error validating access token: Session has expired on Friday.", 190)
    assert isinstance(found, TokenDeadError)
    assert found.cause == "expired"
    assert isinstance(error("Session key invalid", 102), TokenDeadError)


def test_an_end_of_data_access_is_not_an_expired_token_and_says_what_helps() -> None:
    for found in (
        error("Error validating access token: x", 190, 493),
        error("Error validating access token: The data access of this user has expired.", 190),
    ):
        assert isinstance(found, TokenDeadError)
        assert (found.cause, found.actor) == ("data_access", "owner")
        assert "90 days" in found.advice
        assert "counts as using it" in found.advice


@pytest.mark.parametrize("code", [3, 10, 200, 210, 299])
def test_a_missing_permission_names_the_scope_when_meta_does(code: int) -> None:
    found = error(f"(#{code}) Requires pages_read_engagement permission", code)
    assert isinstance(found, PermissionMissingError)
    assert found.scope == "pages_read_engagement"


def test_a_policy_block_is_its_own_error() -> None:
    assert isinstance(error("(#368) The action attempted has been deemed abusive", 368), PolicyBlockedError)


@pytest.mark.parametrize(
    ("message", "code"), [("Fatal", -1), ("Fatal", "-1"), ("Fatal", None), ("(#-1) Fatal", "REDACTED")]
)
@pytest.mark.parametrize("status", [400, 500])
def test_a_post_that_was_not_shared_to_facebook_is_no_error(message: str, code: object, status: int) -> None:
    found = error(message, code, 2207086, status=status)
    assert isinstance(found, NoDataError)
    assert found.reason == "not_shared_to_facebook"
    assert found.origin.code == (-1 if code is not None else None)


@pytest.mark.parametrize("code", [-1, "-1"])
def test_a_negative_code_without_its_subcode_says_nothing_about_a_post(code: object) -> None:
    found = error("Fatal", code)
    assert type(found) is BadRequestError
    assert found.origin.code == -1


@pytest.mark.parametrize("prefix", ["(#100) ", ""])
def test_a_window_before_the_last_two_years_has_no_data_by_rule(prefix: str) -> None:
    found = error(f"{prefix}since param is not valid. Metrics data is available for the last 2 years", 100)
    assert isinstance(found, NoDataError)
    assert found.reason == "history_limit"


@pytest.mark.parametrize(("code", "status"), [(2, 400), (None, 503), (99, 500)])
def test_temporary_problems_are_transient(code: int | None, status: int) -> None:
    assert type(error("Service temporarily unavailable", code, status=status)) is TransientError


def test_is_transient_decides_for_codes_nobody_knows() -> None:
    assert type(error("x", 3999, is_transient=True)) is TransientError
    assert type(error("x", 3999)) is BadRequestError


@pytest.mark.parametrize(
    "body", [None, "<html>Bad gateway</html>", [], {}, {"error": "text"}, {"error": None}, {"error": {}}]
)
@pytest.mark.parametrize("status", [200, 400, 404, 502])
def test_what_is_no_graph_answer_is_malformed(status: int, body: object) -> None:
    found = classify(status, {"Content-Type": "text/html"}, body, now=NOW)
    assert type(found) is MalformedAnswerError


@pytest.mark.parametrize(
    ("message", "code", "status", "cause", "whole_app"),
    [
        ("API access deactivated. To reactivate, go to the app dashboard.", 200, 200, "switched_off", True),
        ("API access blocked.", 200, 400, "switched_off", True),
        ("API access disrupted. Go to the App Dashboard and complete Data Use Checkup.", 10, 400, "switched_off", True),
        ("Error validating application. Application has been deleted.", 190, 400, "deleted", True),
        ("App Not Active: This app is not currently accessible.", 1, 500, "not_active", True),
        ("(#200) This app is still in development mode, and you don't have access to it.", 200, 400, None, False),
        ("(#3) Application does not have the capability to make this API call.", 3, 400, "capability", False),
        ("Error validating client secret.", 1, 400, "credentials", False),
        ("Error validating application. Cannot get application info.", 101, 400, "credentials", False),
        ("Something new about it", 101, 400, "credentials", False),
        ("Invalid appsecret_proof provided in the API argument", 100, 400, "secret_proof", True),
    ],
)
def test_a_fault_of_the_app_is_told_to_its_operator_in_metas_words(
    message: str, code: int, status: int, cause: str | None, whole_app: bool
) -> None:
    found = error(message, code, status=status)
    assert isinstance(found, AppFaultError)
    assert (found.cause, found.whole_app, found.actor) == (cause or "development_mode", whole_app, "operator")
    assert message.rstrip(".") in str(found)
    assert "onnect" not in str(found).partition(message.rstrip("."))[2] or cause == "deleted"


@pytest.mark.parametrize(
    ("said", "cause"), [("Invalid platform app", "credentials"), ("Insufficient developer role", "development_mode")]
)
def test_instagrams_login_names_the_app_in_its_own_envelope(said: str, cause: str) -> None:
    body = {"error_type": "OAuthException", "code": 400, "error_message": said}
    found = classify(400, {}, body, now=NOW)
    assert isinstance(found, AppFaultError)
    assert found.cause == cause


@pytest.mark.parametrize(
    ("message", "code", "subcode", "actor"),
    [
        ("(#10) Application does not have permission for this action", 10, None, "owner"),
        ("(#200) Requires instagram_basic permission", 200, None, "owner"),
        ("Error validating access token: The user has not authorized application 17.", 190, 458, "owner"),
        ("Unsupported get request. Object with ID '1' does not exist", 100, 33, "owner"),
        ("(#368) The action attempted has been deemed abusive", 368, None, "operator"),
        ("(#100) Invalid parameter", 100, None, "operator"),
        ("An unknown error occurred", 1, None, "no_one"),
        ("(#4) Application request limit reached", 4, None, "no_one"),
        ("Not enough users", 10, 2874010, "no_one"),
    ],
)
def test_every_error_knows_who_can_act(message: str, code: int, subcode: int | None, actor: Actor) -> None:
    assert error(message, code, subcode).actor == actor


def test_a_bare_429_is_a_gateways_and_passes() -> None:
    for headers in ({}, {"Retry-After": "5"}, {"Retry-After": "soon"}):
        assert type(classify(429, headers, "Too Many Requests", now=NOW)) is TransientError


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "120"},
        {"X-Business-Use-Case-Usage": '{"1":[{"call_count":100,"estimated_time_to_regain_access":2}]}'},
    ],
)
def test_a_429_that_names_its_end_is_a_rate_limit(headers: Mapping[str, str]) -> None:
    found = classify(429, headers, None, now=NOW)
    assert isinstance(found, RateLimitedError)
    assert found.retry_at == NOW + timedelta(seconds=120)


def test_one_refusal_condemns_every_name_outside_the_list() -> None:
    found = error("(#100) metric[1] must be one of the following values: reach, saves, views", 100)
    assert isinstance(found, BadRequestError)
    assert found.culprits_among(("reach", "impressions", "saves", "email_contacts")) == (
        "impressions",
        "email_contacts",
    )


def test_a_position_is_enough_when_the_list_is_no_help() -> None:
    found = error("(#100) metric[1] must be one of the following values: reach, saves", 100)
    assert isinstance(found, BadRequestError)
    assert found.culprits_among(("reach", "saves")) == ("saves",)
    assert found.culprits_among(("reach",)) == ()


def test_a_refusal_that_names_nobody_names_nobody() -> None:
    found = error("(#100) Invalid parameter", 100)
    assert isinstance(found, BadRequestError)
    assert found.culprits_among(("reach", "views")) == ()


def test_a_secret_in_metas_message_is_hidden() -> None:
    found = error("Malformed access token EAAGcanarysecret0123456789abcdef", 190)
    assert "canarysecret" not in str(found)
