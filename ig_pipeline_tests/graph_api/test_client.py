"""The client's manners: secrets, retries, limits. Answers here are those a socket cannot give on demand."""

import asyncio
import hashlib
import hmac
import json
import logging
from datetime import timedelta

import httpx
import pytest

from ig_pipeline.graph_api.classify import DEFAULT_BLOCK
from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.errors import (
    BadRequestError,
    GraphError,
    MalformedAnswerError,
    RateLimitedError,
    TokenDeadError,
    TransientError,
    UnreachableError,
)
from ig_pipeline.graph_api.retries import INTERACTIVE
from ig_pipeline.graph_api.throttle import Limits
from ig_pipeline_tests.graph_api.fake import ACCOUNT, CREDENTIALS, NOON, Time, client_of, refusal, script

pytestmark = pytest.mark.anyio
TOKEN = CREDENTIALS.token.get_secret_value()
OTHER = Credentials("17841400000000002", CREDENTIALS.token, "instagram")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def usage(percent: int, minutes: int = 0) -> dict[str, str]:
    entry = f'{{"type":"instagram","call_count":{percent},"estimated_time_to_regain_access":{minutes}}}'
    return {"X-Business-Use-Case-Usage": f'{{"1":[{entry}]}}'}


async def test_the_token_travels_in_the_header_and_never_in_the_address() -> None:
    client, fake = client_of(script({"id": ACCOUNT}))
    await client.get(ACCOUNT, {"fields": "id"}, credentials=CREDENTIALS)
    [request] = fake.requests
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(request.url)
    assert str(request.url) == f"https://graph.facebook.com/v25.0/{ACCOUNT}?fields=id"


async def test_facebook_login_proves_the_app_secret_and_instagram_login_does_not() -> None:
    client, fake = client_of(script({}, {}), app_secret="app-secret")
    await client.get("me", {}, credentials=CREDENTIALS)
    await client.get("me", {}, credentials=OTHER)
    expected = hmac.new(b"app-secret", TOKEN.encode(), hashlib.sha256).hexdigest()
    assert fake.params == [{"appsecret_proof": expected}, {}]
    assert fake.requests[1].url.host == "graph.instagram.com"


async def test_nothing_secret_is_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, fake = client_of(lambda request: httpx.ConnectError(f"cannot reach {request.url}"), app_secret="app-secret")
    with pytest.raises(UnreachableError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    proof = fake.params[0]["appsecret_proof"]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    for secret in (proof, TOKEN, "app-secret"):
        assert secret not in caplog.text
        assert secret not in repr(caught.value)
        assert secret not in repr(CREDENTIALS)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(502, html="<html>Bad gateway</html>"),
        httpx.Response(200, html="<html>Log in</html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'{"data": [{"id": "1"'),
        httpx.Response(200, json=["not", "an", "object"]),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        httpx.Response(200, content=b"\xff\xfe\x00"),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("peer closed connection"),
        refusal("An unknown error occurred", code=1, status=500),
        refusal("An unexpected error has occurred. Please retry your request later.", code=2, status=500),
        refusal("Something new", code=9999, is_transient=True),
    ],
)
async def test_what_may_pass_is_tried_again(failure: httpx.Response | Exception) -> None:
    time = Time()
    client, fake = client_of(script(failure, {"id": "1"}), time=time)
    assert await client.get("me", {}, credentials=CREDENTIALS) == {"id": "1"}
    assert len(fake.requests) == client.calls_of(ACCOUNT) == 2
    assert time.slept == [0.5]


@pytest.mark.parametrize(
    "failure",
    [
        refusal("(#100) Invalid parameter"),
        refusal("(#10) Application does not have permission for this action", code=10),
        refusal("Error validating access token", code=190),
        refusal("(#368) blocked", code=368),
        refusal("Unsupported get request.", error_subcode=33),
        refusal("Invalid parameter", error_subcode=2108006),
        refusal("(#80002) too many calls", code=80002),
        refusal("(#4) Application request limit reached", code=4, status=403, is_transient=True),
    ],
)
async def test_what_cannot_succeed_is_not_tried_again(failure: httpx.Response) -> None:
    client, fake = client_of(script(failure))
    with pytest.raises(GraphError):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert len(fake.requests) == 1


async def test_backoff_grows_and_ends() -> None:
    time = Time()
    client, fake = client_of(lambda request: httpx.Response(503), time=time)
    with pytest.raises(MalformedAnswerError):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert len(fake.requests) == 10
    assert time.slept == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_when_nothing_answers_any_more_calls_give_up_soon() -> None:
    down = [True]
    client, fake = client_of(lambda request: httpx.Response(503) if down[0] else {})
    for expected in (10, 10, 10, 10, 10, 2, 2):
        before = len(fake.requests)
        with pytest.raises(MalformedAnswerError):
            await client.get("me", {}, credentials=CREDENTIALS)
        assert len(fake.requests) - before == expected
    down[0] = False
    await client.get("me", {}, credentials=CREDENTIALS)
    down[0] = True
    before = len(fake.requests)
    with pytest.raises(MalformedAnswerError):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert len(fake.requests) - before == 10


async def test_somebody_who_waits_hears_soon() -> None:
    time = Time()
    client, _ = client_of(lambda request: httpx.ConnectError("refused"), time=time, retries=INTERACTIVE)
    with pytest.raises(UnreachableError, match="Check the network and the Graph API's address"):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert sum(time.slept) < 4


async def test_ask_for_less_is_repeated_only_a_few_times() -> None:
    client, fake = client_of(lambda request: refusal("Please reduce the amount of data", code=1, status=500))
    with pytest.raises(TransientError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert caught.value.reduce
    assert len(fake.requests) == 3


async def test_an_answer_that_lacks_what_was_promised_is_asked_for_again() -> None:
    def parse(answer: object) -> int:
        if not isinstance(answer, dict) or "n" not in answer:
            raise MalformedAnswerError("no n")
        return int(answer["n"])

    client, _ = client_of(script({}, {"n": 3}))
    assert await client.fetch("me", {}, credentials=CREDENTIALS, parse=parse) == 3


async def test_integers_beyond_two_to_the_fifty_three_stay_exact() -> None:
    client, _ = client_of(script(httpx.Response(200, content=b'{"user_id": 17841400000000001}')))
    answer = await client.get("me", {}, credentials=CREDENTIALS)
    assert answer["user_id"] == 17841400000000001


async def test_at_the_limit_the_account_stops_and_others_go_on() -> None:
    time = Time()
    limited = refusal("(#80002) There have been too many calls", code=80002)
    limited.headers.update(usage(100, minutes=19))
    client, fake = client_of(script(limited, {}, {}), time=time)
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            await client.get("me", {}, credentials=CREDENTIALS)
        assert caught.value.retry_at == NOON + timedelta(minutes=19)
    assert len(fake.requests) == 1
    await client.get("me", {}, credentials=OTHER)
    time.now += timedelta(minutes=19)
    await client.get("me", {}, credentials=CREDENTIALS)


async def test_code_four_stops_everybody() -> None:
    client, fake = client_of(script(refusal("(#4) Application request limit reached", code=4, status=403)))
    for credentials in (CREDENTIALS, OTHER):
        with pytest.raises(RateLimitedError) as caught:
            await client.get("me", {}, credentials=credentials)
        assert caught.value.scope == "app"
    assert len(fake.requests) == 1


async def test_full_usage_stops_the_account_before_meta_does() -> None:
    client, fake = client_of(script(httpx.Response(200, json={"id": "1"}, headers=usage(100, minutes=5))))
    assert await client.get("me", {}, credentials=CREDENTIALS) == {"id": "1"}
    with pytest.raises(RateLimitedError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert caught.value.retry_at == NOON + timedelta(minutes=5)
    assert len(fake.requests) == 1


async def test_an_app_at_its_limit_stops_every_account_until_it_may_go_on() -> None:
    time = Time()
    full = {"X-App-Usage": '{"call_count":28,"total_time":100,"total_cputime":25}'}
    client, fake = client_of(script(httpx.Response(200, json={}, headers=full), {}), time=time)
    await client.get("me", {}, credentials=CREDENTIALS)
    with pytest.raises(RateLimitedError) as caught:
        await client.get("me", {}, credentials=OTHER)
    assert caught.value.scope == "app"
    time.now = caught.value.retry_at
    await client.get("me", {}, credentials=OTHER)
    assert len(fake.requests) == 2


def listed(*entries: tuple[str, str | None, int, float]) -> dict[str, str]:
    """A business header of entries: id, type, percent, minutes until access is regained."""
    header: dict[str, list[dict[str, object]]] = {}
    for subject, use_case, percent, minutes in entries:
        numbers: dict[str, object] = {"call_count": percent, "estimated_time_to_regain_access": minutes}
        header.setdefault(subject, []).append(numbers if use_case is None else {"type": use_case, **numbers})
    return {"X-Business-Use-Case-Usage": json.dumps(header)}


@pytest.mark.parametrize(
    "headers",
    [
        listed(("1", "ads_management", 100, 45), (ACCOUNT, "instagram", 3, 0)),
        listed(("1", "pages", 100, 45)),
        listed(("1", "ads_insights", 100, 0), ("1", "instagram", 3, 0)),
        listed((OTHER.account_id, "instagram", 100, 45)),
    ],
    ids=["advertisements", "Pages", "insights of advertisements", "another account"],
)
async def test_the_limits_of_others_stop_no_account_and_slow_none_down(headers: dict[str, str]) -> None:
    time = Time()
    client, fake = client_of(lambda request: httpx.Response(200, json={}, headers=headers), time=time)
    for _ in range(3):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert len(fake.requests) == 3
    assert not time.slept


@pytest.mark.parametrize(
    ("headers", "minutes"),
    [
        (listed(("1", "ads_management", 100, 45), (ACCOUNT, "instagram", 100, 19)), 19),
        (listed(("1", "instagram", 100, 19)), 19),
        (listed(("1", None, 100, 19)), 19),
        (listed(("1", "pages", 3, 45), (ACCOUNT, "instagram", 100, 0)), 15),
        (listed((ACCOUNT, "instagram", 100, 1e12)), 7 * 24 * 60),
        (listed((ACCOUNT, "instagram", 100, float("inf"))), 15),
    ],
    ids=["beside advertisements", "under the business", "without a type", "without a time", "for ever", "no number"],
)
async def test_instagrams_own_limit_stops_the_account_for_its_own_time(headers: dict[str, str], minutes: int) -> None:
    client, fake = client_of(lambda request: httpx.Response(200, json={}, headers=headers))
    await client.get("me", {}, credentials=CREDENTIALS)
    with pytest.raises(RateLimitedError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert caught.value.retry_at == NOON + timedelta(minutes=minutes)
    assert len(fake.requests) == 1


async def test_an_app_at_its_limit_does_not_wait_for_what_an_account_is_told() -> None:
    full = {"X-App-Usage": '{"call_count":100}', **usage(3, minutes=45)}
    client, _ = client_of(lambda request: httpx.Response(200, json={}, headers=full))
    await client.get("me", {}, credentials=CREDENTIALS)
    with pytest.raises(RateLimitedError) as caught:
        await client.get("me", {}, credentials=OTHER)
    assert caught.value.retry_at == NOON + DEFAULT_BLOCK


async def test_a_limit_met_before_an_account_is_known_stops_no_account() -> None:
    limited = refusal("(#80001) There have been too many calls to this Page account.", code=80001)
    client, fake = client_of(script(limited, {}))
    unknown = Credentials("", CREDENTIALS.token, "facebook")
    for _ in range(2):
        with pytest.raises(RateLimitedError):
            await client.get("me/accounts", {}, credentials=unknown)
    await client.get("me", {}, credentials=CREDENTIALS)
    assert len(fake.requests) == 2


@pytest.mark.parametrize("header", ["", "{", "[]", '{"1":{}}', '{"1":[3]}', '{"call_count":"many"}'])
async def test_a_usage_header_that_cannot_be_read_changes_nothing(header: str) -> None:
    headers = {"X-App-Usage": header, "X-Business-Use-Case-Usage": header}
    time = Time()
    client, _ = client_of(lambda request: httpx.Response(200, json={}, headers=headers), time=time)
    for _ in range(2):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert not time.slept


@pytest.mark.parametrize(("percent", "pause"), [(10, None), (75, None), (80, 0.4), (99, 1.92)])
async def test_rising_usage_slows_the_caller_down(percent: int, pause: float | None) -> None:
    time = Time()
    client, _ = client_of(lambda request: httpx.Response(200, json={}, headers=usage(percent)), time=time)
    for _ in range(2):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert time.slept == ([] if pause is None else pytest.approx([pause]))


async def test_rising_usage_of_the_app_slows_its_accounts_down_together() -> None:
    class SideBySide(Time):
        """Those who sleep begin at the same moment."""

        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)

    time = SideBySide()
    headers = {"X-App-Usage": '{"call_count":80}'}
    client, _ = client_of(lambda request: httpx.Response(200, json={}, headers=headers), time=time)
    await client.get("me", {}, credentials=CREDENTIALS)
    accounts = [Credentials(str(number), CREDENTIALS.token, "facebook") for number in range(4)]
    await asyncio.gather(*(client.get("me", {}, credentials=account) for account in accounts))
    assert sorted(time.slept) == pytest.approx([0.4, 0.8, 1.2, 1.6])


async def test_the_slower_of_an_accounts_pace_and_the_apps_counts() -> None:
    time = Time()
    headers = {"X-App-Usage": '{"call_count":80}', **usage(99)}
    client, _ = client_of(lambda request: httpx.Response(200, json={}, headers=headers), time=time)
    for _ in range(2):
        await client.get("me", {}, credentials=CREDENTIALS)
    assert time.slept == pytest.approx([1.92])


async def test_an_account_and_all_of_them_together_are_bounded() -> None:
    flying, most, per_account = 0, 0, dict[str, int]()
    gate = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal flying, most
        flying += 1
        path = request.url.path
        per_account[path] = per_account.get(path, 0) + 1
        most = max(most, flying)
        await gate.wait()
        flying -= 1
        return httpx.Response(200, json={})

    client, _ = client_of(slow, limits=Limits(per_account=2, overall=3))
    accounts = [Credentials(str(number), CREDENTIALS.token, "facebook") for number in range(3)]
    tasks = [
        asyncio.create_task(client.get(account.account_id, {}, credentials=account))
        for account in accounts
        for _ in range(4)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (flying, max(per_account.values())) == (3, 2)
    gate.set()
    await asyncio.gather(*tasks)
    assert most == 3
    assert sum(per_account.values()) == 12


async def test_a_block_reaches_those_who_already_wait() -> None:
    limited = refusal("(#80002) There have been too many calls", code=80002)
    client, fake = client_of(script(limited), limits=Limits(per_account=1))
    results = await asyncio.gather(
        *(client.get("me", {}, credentials=CREDENTIALS) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, RateLimitedError) for result in results)
    assert len(fake.requests) == 1


async def test_the_version_that_really_answered_is_known() -> None:
    client, _ = client_of(script({"data": [], "paging": {"next": "https://graph.facebook.com/v26.0/1/x?since=1"}}))
    assert client.served_version is None
    await client.get("me", {}, credentials=CREDENTIALS)
    assert client.served_version == "v26.0"


async def test_a_dead_token_carries_the_sentence_for_its_owner() -> None:
    client, _ = client_of(script(refusal("Error validating access token", code=190, error_subcode=460)))
    with pytest.raises(TokenDeadError) as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert caught.value.advice == "The password was changed, which ends all access. Please connect Instagram again."


async def test_a_bad_request_keeps_metas_words_and_numbers() -> None:
    client, _ = client_of(script(refusal("(#100) Tried accessing nonexisting field (feed)")))
    with pytest.raises(BadRequestError, match="nonexisting field") as caught:
        await client.get("me", {}, credentials=CREDENTIALS)
    assert (caught.value.rule, caught.value.origin.code, caught.value.origin.status) == ("unknown_field", 100, 400)
