"""`/{ig-user-id}/insights`: docs/graph_api.md#account-metrics."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ig_pipeline.graph_api.catalogue import ACCOUNT_METRIC_VOCABULARY, DEFAULT_TOTALS
from ig_pipeline_tests.simulator.conftest import NOW, Asker

TOTALS = ",".join(DEFAULT_TOTALS)


def test_a_series_has_one_bucket_for_each_end_time_in_the_window_both_ends_included(ask: Asker) -> None:
    answer = ask.insights(metric="reach", period="day", since="2026-11-01T08:00:00Z", until="2026-11-03T08:00:00Z")
    metric = answer.json()["data"][0]
    # The clocks change on November 1st: buckets end at 07:00Z until then, at 08:00Z after.
    assert [value["end_time"] for value in metric["values"]] == [
        "2026-11-02T08:00:00+0000",
        "2026-11-03T08:00:00+0000",
    ]
    assert [v["value"] for v in metric["values"]] == [ask.account().reach(date(2026, 11, day), NOW) for day in (1, 2)]
    assert set(metric) == {"name", "period", "values", "title", "description", "id"}


def test_a_window_cut_on_the_boundary_sums_two_days(ask: Asker) -> None:
    window = {"since": "2026-08-06T07:00:00Z", "until": "2026-08-07T07:00:00Z"}
    answer = ask.insights(metric="views", metric_type="total_value", period="day", **window).json()["data"][0]
    account = ask.account()
    both = [account.metric("views", date(2026, 8, day), NOW) for day in (5, 6)]
    assert answer["total_value"] == {"value": sum(both)}
    assert set(answer) == {"name", "period", "title", "description", "total_value", "id"}


def test_all_totals_of_a_day_come_in_one_call_without_any_date(ask: Asker) -> None:
    window = {"since": "2026-11-10T00:00:00Z", "until": "2026-11-10T23:59:59Z"}
    answer = ask.insights(metric=TOTALS, metric_type="total_value", period="day", **window)
    assert "end_time" not in answer.text
    values = {metric["name"]: metric["total_value"]["value"] for metric in answer.json()["data"]}
    account, day = ask.account(), date(2026, 11, 9)
    assert values == {name: account.metric(name, day, NOW) for name in DEFAULT_TOTALS}


def test_reach_of_several_days_is_less_than_their_sum(ask: Asker) -> None:
    window = {"since": "2026-10-01T00:00:00Z", "until": "2026-10-29T00:00:00Z", "period": "day", "metric": "reach"}
    daily = ask.insights(**window).json()["data"][0]["values"]
    total = ask.insights(**window, metric_type="total_value").json()["data"][0]["total_value"]["value"]
    assert max(v["value"] for v in daily) < total < sum(v["value"] for v in daily)


def test_a_bucket_that_has_not_ended_shows_zero_and_a_fresh_one_less_than_it_will(ask: Asker) -> None:
    params = {"metric": "reach", "period": "day", "since": "2026-11-16", "until": "2026-11-22"}
    before = {v["end_time"][:10]: v["value"] for v in ask.insights(**params).json()["data"][0]["values"]}
    ask.sim.simulation.clock.offset = timedelta(days=5)
    after = {v["end_time"][:10]: v["value"] for v in ask.insights(**params).json()["data"][0]["values"]}
    assert before["2026-11-21"] == 0 < after["2026-11-21"]
    assert before["2026-11-20"] < after["2026-11-20"]
    assert before["2026-11-18"] == after["2026-11-18"]


def test_omitted_ends_look_back_a_day_from_now(ask: Asker) -> None:
    values = ask.insights(metric="reach", period="day").json()["data"][0]["values"]
    assert [v["end_time"] for v in values] == ["2026-11-20T08:00:00+0000"]


def test_links_to_other_windows_are_always_there_and_name_the_served_version(ask: Asker) -> None:
    answer = ask.insights(metric="reach", period="day", since="2026-11-01", until="2026-11-08").json()
    assert "/v25.0/" in answer["paging"]["next"]
    since, until = (int(datetime(2026, 11, day, tzinfo=UTC).timestamp()) for day in (1, 8))
    assert f"since={until + 1}&until={until + 1 + (until - since)}" in answer["paging"]["next"]
    assert f"since={since - 1 - (until - since)}&until={since - 1}" in answer["paging"]["previous"]


def test_follower_count_equals_the_follows_of_the_day(ask: Asker) -> None:
    window = {"since": "2026-11-10T00:00:00Z", "until": "2026-11-10T23:59:59Z", "period": "day"}
    series = ask.insights(metric="follower_count", **window).json()["data"][0]["values"]
    follows = ask.insights(
        metric="follows_and_unfollows", metric_type="total_value", breakdown="follow_type", **window
    ).json()["data"][0]["total_value"]
    results = follows["breakdowns"][0]["results"]
    assert results[0] == {"dimension_values": ["FOLLOWER"], "value": series[0]["value"]}
    assert "value" not in follows


def test_follows_without_a_breakdown_come_without_a_total_and_fresh_ones_without_results(ask: Asker) -> None:
    base = {"metric": "follows_and_unfollows", "metric_type": "total_value", "period": "day"}
    assert "total_value" not in ask.insights(**base).json()["data"][0]
    fresh = ask.insights(**base, breakdown="follow_type").json()["data"][0]["total_value"]
    assert fresh == {"breakdowns": [{"dimension_keys": ["follow_type"]}]}


def test_below_a_hundred_followers_some_metrics_are_left_out_without_a_word(ask: Asker) -> None:
    answer = ask.insights("little.letterpress", metric="reach,follower_count", period="day")
    assert [metric["name"] for metric in answer.json()["data"]] == ["reach"]


def test_demographics_need_a_hundred_people(ask: Asker) -> None:
    base = {"period": "lifetime", "metric_type": "total_value", "breakdown": "country"}
    refused = ask.error(ask.insights("little.letterpress", metric="follower_demographics", **base))
    assert (refused["code"], refused["error_subcode"], refused["message"]) == (10, 2874010, "Not enough users")
    shown = ask.insights(metric="follower_demographics", **base).json()
    results = shown["data"][0]["total_value"]["breakdowns"][0]["results"]
    assert 10 < len(results) <= 45
    assert "paging" not in shown


def test_the_followers_online_of_the_last_two_days_are_not_there_yet(ask: Asker) -> None:
    params = {"metric": "online_followers", "period": "lifetime", "since": "2026-11-15", "until": "2026-11-21"}
    values = [v["value"] for v in ask.insights(**params).json()["data"][0]["values"]]
    assert values[-2:] == [{}, {}]
    assert set(values[0]) == {str(hour) for hour in range(24)}


def test_each_illegal_request_is_refused_in_the_words_of_the_api(ask: Asker) -> None:
    vocabulary = ", ".join(ACCOUNT_METRIC_VOCABULARY)
    too_long = "(#100) There cannot be more than 30 days (2592000 s) between since and until."
    expected = {
        ("reach,impressions", ""): f"(#100) metric[1] must be one of the following values: {vocabulary}",
        ("saved", "total_value"): f"(#100) metric[0] must be one of the following values: {vocabulary}",
        (
            "comments,reach,views",
            "",
        ): "(#100) The following metrics (comments,views) should be specified with parameter metric_type=total_value",
        ("reach,follower_count", "total_value"): "(#100) The following metric (follower_count) is incompatible with "
        "the metric type (total_value)",
        ("accounts_engaged", "time_series"): "(#100) The following metric (accounts_engaged) is incompatible with "
        "the metric type (time_series)",
        ("reach", ""): too_long,
    }
    for (metric, metric_type), message in expected.items():
        params = {"metric": metric, "period": "day", "since": "2026-10-01", "until": "2026-11-01"}
        refused = ask.insights(**params, **({"metric_type": metric_type} if metric_type else {}))
        assert (refused.status_code, ask.error(refused)["message"]) == (400, message)
        assert (ask.error(refused)["type"], ask.error(refused)["code"]) == ("OAuthException", 100)


def test_follower_count_goes_back_thirty_days(ask: Asker) -> None:
    window = {"metric": "follower_count", "period": "day", "until": "2026-11-15"}
    assert ask.insights(**window, since="2026-10-21T08:00:00Z").status_code == 200
    refused = ask.error(ask.insights(**window, since="2026-10-21T06:59:59Z"))
    assert refused["message"] == (
        "(#100) (follower_count) metric only supports querying data for the last 30 days excluding the current day"
    )


@pytest.mark.parametrize("params", [{"metric": "reach"}, {"metric": "views,likes", "metric_type": "total_value"}])
@pytest.mark.parametrize(("login", "prefix"), [("facebook", "(#100) "), ("instagram", "")])
def test_account_insights_go_back_two_years_to_the_second(
    ask: Asker, params: dict[str, str], login: str, prefix: str
) -> None:
    edge = NOW.replace(year=NOW.year - 2)
    window = {"period": "day", "until": (edge + timedelta(days=1)).isoformat(), **params}
    assert ask.insights(login=login, **window, since=edge.isoformat()).status_code == 200
    refused = ask.insights(login=login, **window, since=(edge - timedelta(seconds=1)).isoformat())
    assert (refused.status_code, ask.error(refused)["code"]) == (400, 100)
    assert ask.error(refused)["message"] == (
        f"{prefix}since param is not valid. Metrics data is available for the last 2 years"
    )


def test_instagram_login_has_its_own_envelope_and_leaves_out_what_it_cannot_give(ask: Asker) -> None:
    refused = ask.error(ask.insights(login="instagram", metric="nonsense", period="day"))
    assert refused["type"] == "IGApiException"
    assert refused["message"].startswith("metric[0] must be one of")
    silent = ask.insights(login="instagram", metric="reach,views", metric_type="time_series", period="day")
    assert [metric["name"] for metric in silent.json()["data"]] == ["reach"]


def test_an_unsupported_breakdown_is_an_unknown_error_on_facebook_and_named_on_instagram(ask: Asker) -> None:
    params = {"metric": "likes", "metric_type": "total_value", "period": "day", "breakdown": "follow_type"}
    facebook = ask.insights(**params)
    assert (facebook.status_code, ask.error(facebook)["code"]) == (500, 1)
    instagram = ask.error(ask.insights(login="instagram", **params))
    assert instagram["message"] == "Incompatible breakdowns (follow_type) for metric (likes)"


@pytest.mark.parametrize(
    ("metric", "breakdown", "values"),
    [
        ("views", "media_product_type", {"AD", "STORY", "REEL", "CAROUSEL_CONTAINER", "POST"}),
        ("views", "follow_type", {"FOLLOWER", "NON_FOLLOWER", "UNKNOWN"}),
        ("reach", "follow_type", {"FOLLOWER", "NON_FOLLOWER", "UNKNOWN"}),
        (
            "profile_links_taps",
            "contact_button_type",
            {"BOOK_NOW", "CALL", "DIRECTION", "EMAIL", "INSTANT_EXPERIENCE", "TEXT", "UNDEFINED"},
        ),
    ],
)
@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_breakdown_adds_up_over_its_values(
    ask: Asker, metric: str, breakdown: str, values: set[str], login: str
) -> None:
    params = {"metric": metric, "metric_type": "total_value", "period": "day", "breakdown": breakdown}
    answer = ask.insights(login=login, **params, since="2026-10-20", until="2026-11-18")
    total = answer.json()["data"][0]["total_value"]
    results = total["breakdowns"][0]["results"]
    assert total["value"] == sum(result["value"] for result in results) > 0
    assert {result["dimension_values"][0] for result in results} == values


@pytest.mark.parametrize("metric", ["views", "follows_and_unfollows"])
@pytest.mark.parametrize(("login", "prefix"), [("facebook", "(#100) "), ("instagram", "")])
def test_the_references_typing_error_is_refused_by_both_logins(
    ask: Asker, metric: str, login: str, prefix: str
) -> None:
    params = {"metric": metric, "metric_type": "total_value", "period": "day", "breakdown": "follower_type"}
    answer = ask.insights(login=login, **params)
    assert answer.status_code == 400
    assert ask.error(answer)["message"] == (
        f"{prefix}breakdown[0] must be one of the following values: country, city, age, gender, follow_type, "
        "media_product_type, contact_button_type"
    )
