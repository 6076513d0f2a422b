"""Which entries of the usage headers count for a call, on made-up headers and on recorded ones."""

from datetime import UTC, datetime, timedelta

import pytest

from ig_pipeline.graph_api.usage import app_percent, instagram_percent, regain_time
from ig_pipeline_tests.graph_api.recordings import load, needs_recordings

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ACCOUNT, OTHER = "17841472020051826", "17841400000000000"


def business(header: str) -> dict[str, str]:
    return {"x-business-use-case-usage": header}


@pytest.mark.parametrize("header", ["", "{", "[]", "7", '{"1":{}}', '{"1":[3]}', '{"1":[{}]}', '{"1":[{"type":7}]}'])
def test_a_header_that_cannot_be_read_tells_nothing(header: str) -> None:
    assert regain_time(business(header), NOW) is None
    assert instagram_percent(business(header), ACCOUNT) is None
    assert app_percent({"x-app-usage": header}) is None


def test_the_largest_of_the_three_percentages_counts() -> None:
    entry = '{"type":"instagram","call_count":3,"total_cputime":97,"total_time":25}'
    assert instagram_percent(business(f'{{"1":[{entry}]}}'), ACCOUNT) == 97
    assert app_percent({"x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":30}'}) == 30


def test_an_account_is_told_of_under_its_own_id_and_under_its_business_and_not_under_anothers() -> None:
    def of(subject: str) -> dict[str, str]:
        entry = '{"type":"instagram","call_count":100,"estimated_time_to_regain_access":9}'
        return business(f'{{"{subject}":[{entry}]}}')

    for subject, counts in ((ACCOUNT, True), ("645699291956344", True), (OTHER, False)):
        assert (instagram_percent(of(subject), ACCOUNT) == 100) is counts
        assert (regain_time(of(subject), NOW, account_id=ACCOUNT) is not None) is counts
        # Before an account is known every one may be meant.
        assert instagram_percent(of(subject), "") == 100


@needs_recordings
def test_recorded_headers_are_read_as_they_are_meant() -> None:
    headers = load("rate_limit_headers.json") or {}
    app, use_cases = headers["x-app-usage"], headers["x-business-use-case-usage"]
    assert app_percent({"x-app-usage": app["observed"]}) == 12
    assert app_percent({"x-app-usage": app["documented"]}) == 28
    observed = business(
        use_cases["observed, one Instagram read reported under the business id and under the account id"]
    )
    assert instagram_percent(observed, ACCOUNT) == instagram_percent(observed, OTHER) == 1
    assert regain_time(observed, NOW, account_id=ACCOUNT) is None
    throttled = business(use_cases["documented shape, throttled"])
    assert instagram_percent(throttled, OTHER) == 100
    assert regain_time(throttled, NOW, account_id=OTHER) == NOW + timedelta(minutes=19)
    assert instagram_percent(throttled, ACCOUNT) is None
