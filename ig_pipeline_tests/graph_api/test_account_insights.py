"""Account insights: the least number of calls, culprits found, absences with their reasons."""

import asyncio
from collections.abc import Collection
from datetime import date, timedelta

import httpx
import pytest

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_insights import fetch_follows, fetch_series, fetch_totals
from ig_pipeline.graph_api.catalogue import DEFAULT_TOTALS
from ig_pipeline.graph_api.days import bucket_end, days_between, instagram_day
from ig_pipeline.graph_api.errors import (
    AmbiguousRefusalError,
    AppFaultError,
    BadRequestError,
    PermissionMissingError,
    TransientError,
)
from ig_pipeline_tests.graph_api.fake import (
    ACCOUNT,
    CREDENTIALS,
    NOON,
    Answer,
    Handler,
    asked_metrics,
    client_of,
    is_profile,
    profile,
    refusal,
    script,
    series,
    totals,
)

pytestmark = pytest.mark.anyio
TODAY = instagram_day(NOON)
YESTERDAY = TODAY - timedelta(days=1)
MONTH_AGO = TODAY - timedelta(days=30)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def end(day: date) -> str:
    return bucket_end(day).strftime("%Y-%m-%dT%H:%M:%S+0000")


def buckets(request: httpx.Request) -> list[date]:
    """The days whose end lies in the window asked for, both ends included."""
    since, until = int(request.url.params["since"]), int(request.url.params["until"])
    assert until - since <= 2_592_000
    days = days_between(TODAY - timedelta(days=800), TODAY + timedelta(days=2))
    return [day for day in days if since <= bucket_end(day).timestamp() <= until]


def honest(request: httpx.Request) -> Answer:
    """Every series metric: the day's ordinal."""
    return series(**{name: {end(day): day.toordinal() for day in buckets(request)} for name in asked_metrics(request)})


def refusing(bad: Collection[str], message: str) -> Handler:
    """Refuses every call that has one of `bad`; totals otherwise. `{names}` in the message names them."""

    def answer(request: httpx.Request) -> Answer:
        asked = asked_metrics(request)
        culprits = [name for name in asked if name in bad]
        if culprits:
            return refusal(message.format(names=",".join(culprits), index=asked.index(culprits[0])))
        return totals(**dict.fromkeys(asked, 7))

    return answer


async def test_thirty_days_of_a_series_are_one_call() -> None:
    client, fake = client_of(honest)
    found = await fetch_series(client, CREDENTIALS, first=MONTH_AGO, last=YESTERDAY)
    days = days_between(MONTH_AGO, YESTERDAY)
    assert len(days) == 30
    assert found.calls == len(fake.requests) == 1
    for metric in ("reach", "follower_count"):
        assert {day: point.value for day, point in found.values[metric].items()} == {d: d.toordinal() for d in days}
        assert {point.end_time for point in found.values[metric].values()} == {bucket_end(day) for day in days}
    assert not found.absences
    assert "metric_type" not in fake.params[0]


async def test_paging_of_insights_is_never_followed() -> None:
    client, fake = client_of(honest)
    await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert len(fake.requests) == 1
    assert client.served_version == "v26.0"


async def test_seventy_days_are_three_calls_and_followers_only_within_their_history() -> None:
    client, fake = client_of(honest)
    first = TODAY - timedelta(days=70)
    found = await fetch_series(client, CREDENTIALS, first=first, last=YESTERDAY)
    assert [params["metric"] for params in fake.params] == ["reach,follower_count", "reach", "reach"]
    assert set(found.values["reach"]) == set(days_between(first, YESTERDAY))
    assert set(found.values["follower_count"]) == set(days_between(MONTH_AGO, YESTERDAY))
    assert found.absences["follower_count"].reason == "history_limit"
    assert "reach" not in found.absences


async def test_a_range_across_the_end_of_history_asks_for_each_part_once() -> None:
    client, fake = client_of(honest)
    first, last = TODAY - timedelta(days=35), TODAY - timedelta(days=25)
    found = await fetch_series(client, CREDENTIALS, first=first, last=last)
    assert [params["metric"] for params in fake.params] == ["reach", "follower_count"]
    assert set(found.values["follower_count"]) == set(days_between(MONTH_AGO, last))
    assert found.absences["follower_count"].reason == "history_limit"


EDGE = date(2024, 11, 20)  # the first day whose window begins no more than two years before NOON
TOO_OLD = refusal("(#100) since param is not valid. Metrics data is available for the last 2 years")


async def test_a_range_across_two_years_is_asked_for_from_the_edge_on() -> None:
    client, fake = client_of(honest)
    found = await fetch_series(client, CREDENTIALS, first=EDGE - timedelta(days=40), last=EDGE + timedelta(days=9))
    assert [params["metric"] for params in fake.params] == ["reach"]
    assert (EDGE - timedelta(days=1)) not in buckets(fake.requests[0])
    assert set(found.values["reach"]) == set(days_between(EDGE, EDGE + timedelta(days=9)))
    assert {name: absence.reason for name, absence in found.absences.items()} == {
        "reach": "history_limit",
        "follower_count": "history_limit",
    }


async def test_days_older_than_two_years_cost_no_call_and_are_absent_by_rule() -> None:
    client, fake = client_of(lambda request: totals(**dict.fromkeys(asked_metrics(request), 7)))
    day = EDGE - timedelta(days=1)
    series_ = await fetch_series(client, CREDENTIALS, first=day - timedelta(days=5), last=day)
    day_totals = await fetch_totals(client, CREDENTIALS, day=day)
    follows_ = await fetch_follows(client, CREDENTIALS, day=day)
    assert not fake.requests
    for absences in (series_.absences, day_totals.absences, follows_.absences):
        assert {absence.reason for absence in absences.values()} == {"history_limit"}
    assert set(day_totals.absences) == set(DEFAULT_TOTALS)
    assert set(follows_.absences) == {"follows", "unfollows"}
    assert (await fetch_totals(client, CREDENTIALS, day=EDGE)).values == dict.fromkeys(DEFAULT_TOTALS, 7)


async def test_a_day_that_meta_finds_too_old_is_absent_and_its_neighbours_are_not() -> None:
    first_ok = EDGE + timedelta(days=1)  # Meta's clock is a day ahead of ours

    def answer(request: httpx.Request) -> Answer:
        if EDGE in buckets(request):
            return TOO_OLD
        return honest(request) if "metric_type" not in request.url.params else totals(views=7)

    client, fake = client_of(answer)
    found = await fetch_series(client, CREDENTIALS, metrics=("reach",), first=EDGE, last=EDGE + timedelta(days=5))
    assert set(found.values["reach"]) == set(days_between(first_ok, EDGE + timedelta(days=5)))
    assert found.absences["reach"].reason == "history_limit"
    assert found.calls == len(fake.requests) == 2
    lost = await fetch_totals(client, CREDENTIALS, metrics=("views",), day=EDGE)
    assert (lost.absences["views"].reason, lost.calls) == ("history_limit", 1)
    assert (await fetch_totals(client, CREDENTIALS, metrics=("views",), day=first_ok)).values == {"views": 7}


async def test_a_recent_day_that_meta_calls_too_old_is_an_error_and_no_absence() -> None:
    client, _ = client_of(lambda request: TOO_OLD)
    with pytest.raises(BadRequestError, match="clock"):
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    with pytest.raises(BadRequestError, match="clock"):
        await fetch_series(client, CREDENTIALS, metrics=("reach",), first=MONTH_AGO, last=YESTERDAY)
    with pytest.raises(BadRequestError, match="clock"):
        await fetch_follows(client, CREDENTIALS, day=YESTERDAY)


async def test_older_days_cost_no_wasted_call_for_followers() -> None:
    client, fake = client_of(honest)
    day = TODAY - timedelta(days=60)
    found = await fetch_series(client, CREDENTIALS, first=day, last=day)
    assert [params["metric"] for params in fake.params] == ["reach"]
    assert found.absences["follower_count"].reason == "history_limit"
    assert found.values["follower_count"] == {}


async def test_a_remembered_absence_is_not_asked_for() -> None:
    client, fake = client_of(honest)
    few = Absence("too_few_followers", "fewer than 100")
    found = await fetch_series(
        client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY, skip={"follower_count": few, "views": few}
    )
    assert fake.params[0]["metric"] == "reach"
    assert found.absences == {"follower_count": few}


def without_followers(request: httpx.Request, *, followers: int) -> Answer:
    """A series that lacks follower_count, and a profile that counts `followers`."""
    if is_profile(request):
        return profile(followers=followers)
    return series(**({"reach": {end(YESTERDAY): 5}} if "reach" in asked_metrics(request) else {}))


async def test_few_followers_are_believed_of_the_profile_and_asked_for_once() -> None:
    client, fake = client_of(lambda request: without_followers(request, followers=99))
    found = await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert [params.get("metric") for params in fake.params] == ["reach,follower_count", None]
    assert found.values["reach"][YESTERDAY].value == 5
    assert found.absences["follower_count"].reason == "too_few_followers"
    again = await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert again.calls == 1
    assert again.absences == found.absences


async def test_an_account_with_followers_is_not_told_that_it_has_too_few() -> None:
    client, fake = client_of(lambda request: without_followers(request, followers=48_210))
    found = await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert [params.get("metric") for params in fake.params] == [
        "reach,follower_count",
        None,
        *("follower_count" for _ in range(3)),
    ]
    assert found.absences["follower_count"].reason == "silently_missing"
    assert not found.absences["follower_count"].is_explained
    again = await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert fake.params[-1]["metric"] == "reach,follower_count"
    assert (again.calls, again.absences["follower_count"].reason) == (1, "silently_missing")


async def test_a_lost_metric_that_comes_back_is_no_absence() -> None:
    whole = {"reach": {end(YESTERDAY): 5}, "follower_count": {end(YESTERDAY): 2}}
    client, _ = client_of(
        script(series(reach=whole["reach"]), profile(), series(follower_count=whole["follower_count"]))
    )
    found = await fetch_series(client, CREDENTIALS, first=YESTERDAY, last=YESTERDAY)
    assert not found.absences
    assert found.values["follower_count"][YESTERDAY].value == 2


async def test_a_bucket_without_a_number_is_no_zero() -> None:
    answer = series(reach={end(YESTERDAY): 5})
    answer["data"][0]["values"].append({"value": {}, "end_time": end(MONTH_AGO)})
    client, fake = client_of(lambda request: answer)
    found = await fetch_series(client, CREDENTIALS, metrics=("reach",), first=MONTH_AGO, last=YESTERDAY)
    assert len(fake.requests) == 2  # days that were left out are asked for once more
    assert set(found.values["reach"]) == {YESTERDAY}
    assert found.absences["reach"].reason == "silently_missing"


async def test_all_totals_of_a_day_are_one_call_whose_window_holds_that_day_alone() -> None:
    client, fake = client_of(lambda request: totals(**dict.fromkeys(asked_metrics(request), 7)))
    found = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert found.values == dict.fromkeys(DEFAULT_TOTALS, 7)
    assert (found.calls, found.end_time) == (1, bucket_end(YESTERDAY))
    assert buckets(fake.requests[0]) == [YESTERDAY]
    assert fake.params[0]["metric_type"] == "total_value"


@pytest.mark.parametrize(
    "message",
    [
        "(#100) The following metrics ({names}) should be specified with parameter metric_type=total_value",
        "(#100) The following metric ({names}) is incompatible with the metric type (total_value)",
        "(#100) metric[{index}] must be one of the following values: "
        + ", ".join(n for n in DEFAULT_TOTALS if n != "replies"),
        "(#100) Starting from version 22 and above, the {names} metric is no longer supported for the queried user.",
    ],
)
async def test_a_named_culprit_costs_one_more_call(message: str) -> None:
    client, fake = client_of(refusing({"replies"}, message))
    found = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert len(fake.requests) == 2
    assert set(found.values) == set(DEFAULT_TOTALS) - {"replies"}
    assert found.absences["replies"].reason == "not_supported"


async def test_an_unnamed_culprit_is_found_by_halving() -> None:
    client, fake = client_of(refusing({"replies"}, "(#100) Invalid parameter"))
    found = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert len(fake.requests) <= 10  # the first question twice: a refusal without a rule may be of the moment
    assert set(found.values) == set(DEFAULT_TOTALS) - {"replies"}
    assert set(found.absences) == {"replies"}


async def test_when_everything_is_refused_without_a_rule_the_moment_is_at_fault() -> None:
    client, _ = client_of(lambda request: refusal("(#100) Invalid parameter"))
    with pytest.raises(AmbiguousRefusalError, match="without naming a rule"):
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)


async def test_what_one_day_learnt_of_a_whole_refusal_is_told_to_its_siblings() -> None:
    client, fake = client_of(lambda request: refusal("(#100) Invalid parameter"))
    days = days_between(MONTH_AGO, YESTERDAY)
    found = await asyncio.gather(*(fetch_totals(client, CREDENTIALS, day=day) for day in days), return_exceptions=True)
    assert {type(error) for error in found} == {AmbiguousRefusalError}
    # One search through twelve metrics, then single calls until the run gives up; it was 690.
    assert len(fake.requests) <= 2 * len(DEFAULT_TOTALS) + 10


async def test_a_whole_refusal_that_ends_is_forgotten() -> None:
    refused = [True]

    def answer(request: httpx.Request) -> Answer:
        if refused[0]:
            return refusal("(#100) Invalid parameter")
        return totals(**dict.fromkeys(asked_metrics(request), 7))

    client, fake = client_of(answer)
    with pytest.raises(AmbiguousRefusalError):
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    refused[0], spent = False, len(fake.requests)
    for day in (MONTH_AGO, YESTERDAY):
        assert (await fetch_totals(client, CREDENTIALS, day=day)).values == dict.fromkeys(DEFAULT_TOTALS, 7)
    assert len(fake.requests) == spent + 2


async def test_one_refusal_without_a_rule_among_successes_is_no_rule() -> None:
    """As when half the calls of a run were answered with code 100."""
    message = "(#100) Invalid parameter"

    def answer(request: httpx.Request) -> Answer:
        if bad and "accounts_engaged" in asked_metrics(request) and buckets(request) == [YESTERDAY]:
            return refusal(message)
        return totals(**dict.fromkeys(asked_metrics(request), 7))

    bad = True
    client, fake = client_of(answer)
    first = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert first.absences["accounts_engaged"].reason == "refused"
    assert not first.absences["accounts_engaged"].is_explained
    spent = len(fake.requests)
    other = await fetch_totals(client, CREDENTIALS, day=MONTH_AGO)
    assert other.values == dict.fromkeys(DEFAULT_TOTALS, 7)
    assert len(fake.requests) == spent + 2  # the suspect alone, the others together
    third = await fetch_totals(client, CREDENTIALS, day=MONTH_AGO + timedelta(days=1))
    assert (third.calls, third.absences) == (1, {})


async def test_a_rule_that_the_account_has_contradicted_in_this_run_is_none() -> None:
    message = "(#100) The following metric (replies) is incompatible with the metric type (total_value)"

    def answer(request: httpx.Request) -> Answer:
        if "replies" in asked_metrics(request) and buckets(request) == [MONTH_AGO]:
            return refusal(message)
        return totals(**dict.fromkeys(asked_metrics(request), 7))

    client, _ = client_of(answer)
    await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    odd = await fetch_totals(client, CREDENTIALS, day=MONTH_AGO)
    assert odd.absences["replies"].reason == "refused"
    later = await fetch_totals(client, CREDENTIALS, day=MONTH_AGO + timedelta(days=1))
    assert later.values["replies"] == 7


async def test_an_empty_set_in_each_answer_costs_three_more_calls_in_all() -> None:
    client, fake = client_of(lambda request: profile() if is_profile(request) else {"data": []})
    days = days_between(MONTH_AGO, YESTERDAY)
    found = await asyncio.gather(*(fetch_totals(client, CREDENTIALS, day=day) for day in days))
    assert all({a.reason for a in day.absences.values()} == {"silently_missing"} for day in found)
    assert all(set(day.absences) == set(DEFAULT_TOTALS) for day in found)
    assert len(fake.requests) == len(days) + 3


async def test_a_missing_app_secret_is_nobodys_metric() -> None:
    client, fake = client_of(lambda request: refusal("(#100) API calls require an appsecret_proof argument"))
    with pytest.raises(AppFaultError, match="Set the secret to that of the Meta app") as caught:
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert caught.value.about == ("app_secret",)
    assert len(fake.requests) == 1


async def test_a_missing_permission_is_not_searched_among_metrics() -> None:
    client, fake = client_of(lambda request: refusal("(#10) Application does not have permission", code=10))
    with pytest.raises(PermissionMissingError):
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert len(fake.requests) == 1


async def test_thirty_days_pay_for_one_refusal_once() -> None:
    client, fake = client_of(
        refusing(
            {"replies"}, "(#100) The following metric ({names}) is incompatible with the metric type (total_value)"
        )
    )
    days = days_between(MONTH_AGO, YESTERDAY)
    found = await asyncio.gather(*(fetch_totals(client, CREDENTIALS, day=day) for day in days))
    assert len(fake.requests) == client.calls_of(ACCOUNT) == 31
    assert all(day.absences["replies"].reason == "not_supported" for day in found)
    assert all(len(day.values) == len(DEFAULT_TOTALS) - 1 for day in found)


async def test_a_silence_of_one_day_does_not_condemn_the_others() -> None:
    first = [True]

    def answer(request: httpx.Request) -> Answer:
        asked = asked_metrics(request)
        if buckets(request) == [YESTERDAY] and first[0]:
            asked = [name for name in asked if name != "reposts"]
        return totals(**dict.fromkeys(asked, 7))

    client, _ = client_of(answer)
    silent = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    other = await fetch_totals(client, CREDENTIALS, day=MONTH_AGO)
    assert silent.absences["reposts"].reason == "silently_missing"
    assert not other.absences


async def test_too_much_data_is_asked_for_in_halves() -> None:
    def answer(request: httpx.Request) -> Answer:
        asked = asked_metrics(request)
        if len(asked) > 6:
            return refusal("Please reduce the amount of data you're asking for", code=1, status=500)
        return totals(**dict.fromkeys(asked, 7))

    client, fake = client_of(answer)
    found = await fetch_totals(client, CREDENTIALS, day=YESTERDAY)
    assert found.values == dict.fromkeys(DEFAULT_TOTALS, 7)
    assert len(fake.requests) == 3 + 2


async def test_a_metric_that_always_breaks_ends_as_an_error() -> None:
    client, _ = client_of(lambda request: refusal("An unknown error occurred", code=1, status=500))
    with pytest.raises(TransientError):
        await fetch_totals(client, CREDENTIALS, day=YESTERDAY)


def follows(results: list[tuple[str, int]] | None) -> dict[str, object]:
    breakdown: dict[str, object] = {"dimension_keys": ["follow_type"]}
    if results is not None:
        breakdown["results"] = [{"dimension_values": [name], "value": value} for name, value in results]
    return {"data": [{"name": "follows_and_unfollows", "period": "day", "total_value": {"breakdowns": [breakdown]}}]}


async def test_follows_and_unfollows_are_one_call() -> None:
    client, fake = client_of(script(follows([("FOLLOWER", 12), ("NON_FOLLOWER", 3)])))
    found = await fetch_follows(client, CREDENTIALS, day=YESTERDAY)
    assert found.values == {"follows": 12, "unfollows": 3}
    assert fake.params[0]["breakdown"] == "follow_type"
    assert found.calls == 1


async def test_a_day_too_fresh_for_follows_is_not_settled() -> None:
    client, _ = client_of(lambda request: follows(None))
    fresh = await fetch_follows(client, CREDENTIALS, day=YESTERDAY)
    assert fresh.absences["follows"].reason == "not_settled"
    old = await fetch_follows(client, CREDENTIALS, day=MONTH_AGO)
    assert old.absences["follows"].reason == "silently_missing"


async def test_follows_without_a_value_of_an_account_with_few_followers_are_remembered() -> None:
    nothing = {"data": [{"name": "follows_and_unfollows", "period": "day"}]}
    client, fake = client_of(lambda request: profile(followers=64) if is_profile(request) else nothing)
    found = await fetch_follows(client, CREDENTIALS, day=YESTERDAY)
    assert found.absences["unfollows"].reason == "too_few_followers"
    calls = len(fake.requests)
    again = await fetch_follows(client, CREDENTIALS, day=MONTH_AGO)
    assert (again.calls, len(fake.requests)) == (0, calls)
