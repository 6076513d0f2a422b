"""Both logins against the documented and the observed answers of the token endpoints."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import find_accounts
from ig_pipeline.graph_api.client import INTERACTIVE_DEADLINE, GraphClient
from ig_pipeline.graph_api.errors import (
    BadRequestError,
    LoginCodeError,
    MalformedAnswerError,
    PermissionMissingError,
    TokenDeadError,
    TransientError,
    UnreachableError,
)
from ig_pipeline.graph_api.grants import find_granted_accounts
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.oauth import (
    LoginDeclinedError,
    MetaApp,
    MetaLogin,
    NoAppError,
    TokenRefresher,
    TokenTooYoungError,
    code_of_callback,
    inspect_token,
    missing_scopes,
)
from ig_pipeline.graph_api.token_answers import read_code_grant, read_token, read_token_facts
from ig_pipeline_tests.graph_api.fake import NOON, Handler, Time, client_of, refusal, script
from ig_pipeline_tests.graph_api.recordings import load, needs_recordings

pytestmark = pytest.mark.anyio
APP = MetaApp("1234", SecretStr("app-secret"))
TOKEN = SecretStr("short-token")
BACK = "https://app.example/back"
SIXTY_DAYS = timedelta(seconds=5183944)
LONG: dict[str, Any] = {"access_token": "long-token", "token_type": "bearer", "expires_in": 5183944}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def login_of(handler: Handler) -> tuple[MetaLogin, list[httpx.Request]]:
    client, fake = client_of(handler)
    return MetaLogin(client, APP), fake.requests


def form_of(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


@pytest.mark.parametrize(
    ("login", "address", "scope"),
    [
        ("facebook", "https://www.facebook.com/v25.0/dialog/oauth", "instagram_manage_insights"),
        ("instagram", "https://www.instagram.com/oauth/authorize", "instagram_business_manage_insights"),
    ],
)
async def test_the_dialog_is_metas_with_our_state_and_scopes(login: Login, address: str, scope: str) -> None:
    meta, _ = login_of(script())
    parts = urlsplit(meta.authorize_url(login, redirect_uri=BACK, state="s t"))
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == address
    assert query["state"] == ["s t"]
    assert query["redirect_uri"] == [BACK]
    assert query["response_type"] == ["code"]
    assert scope in query["scope"][0].split(",")


def test_every_host_collapses_to_the_simulators() -> None:
    client = GraphClient(MetaHosts.at("http://127.0.0.1:8990", "v25.0"))
    for login in ("facebook", "instagram"):
        url = MetaLogin(client, APP).authorize_url(login, redirect_uri=BACK, state="s")
        assert url.startswith("http://127.0.0.1:8990/")


async def test_a_facebook_code_becomes_a_short_token() -> None:
    meta, requests = login_of(script({"access_token": "short", "token_type": "bearer", "expires_in": 3600}))
    grant = await meta.exchange_code("facebook", "the-code", redirect_uri=BACK)
    assert grant.token.get_secret_value() == "short"
    assert grant.expires_at == NOON + timedelta(hours=1)
    assert (grant.user_id, grant.scopes) == (None, ())
    assert requests[0].url.path == "/v25.0/oauth/access_token"
    assert dict(requests[0].url.params) == {
        "client_id": "1234",
        "client_secret": "app-secret",
        "redirect_uri": BACK,
        "code": "the-code",
    }


@pytest.mark.parametrize(
    "answer",
    [
        b'{"data":[{"access_token":"short","user_id":"17841400000000001","permissions":"a,b"}]}',
        b'{"access_token":"short","user_id":17841400000000001,"permissions":["a","b"]}',
    ],
    ids=["documented", "observed"],
)
async def test_an_instagram_code_becomes_a_short_token_in_either_shape(answer: bytes) -> None:
    meta, requests = login_of(script(httpx.Response(200, content=answer)))
    grant = await meta.exchange_code("instagram", "the-code#_", redirect_uri=BACK)
    assert (grant.token.get_secret_value(), grant.user_id, grant.scopes) == ("short", "17841400000000001", ("a", "b"))
    assert (requests[0].method, requests[0].url.host) == ("POST", "api.instagram.com")
    assert form_of(requests[0])["code"] == "the-code"
    assert not requests[0].url.query


async def test_a_code_used_twice_says_so_in_either_envelope() -> None:
    instagram = httpx.Response(
        400, json={"error_type": "OAuthException", "code": 400, "error_message": "Matching code was not found"}
    )
    facebook = refusal("This authorization code has been used.", error_subcode=36009)
    for login, answer in (("instagram", instagram), ("facebook", facebook)):
        meta, requests = login_of(script(answer))
        with pytest.raises(LoginCodeError):
            await meta.exchange_code(login, "x", redirect_uri=BACK)  # type: ignore[arg-type] # a loop
        assert len(requests) == 1


@pytest.mark.parametrize(
    ("login", "address", "grant_type", "carries"),
    [
        ("facebook", "https://graph.facebook.com/v25.0/oauth/access_token", "fb_exchange_token", "fb_exchange_token"),
        ("instagram", "https://graph.instagram.com/access_token", "ig_exchange_token", "access_token"),
    ],
)
async def test_a_short_token_becomes_a_long_one(login: Login, address: str, grant_type: str, carries: str) -> None:
    meta, requests = login_of(script(LONG))
    fresh = await meta.long_lived(login, TOKEN)
    assert fresh.token.get_secret_value() == "long-token"
    assert fresh.expires_at == NOON + SIXTY_DAYS
    assert str(requests[0].url.copy_with(query=None)) == address
    assert requests[0].url.params["grant_type"] == grant_type
    assert requests[0].url.params[carries] == "short-token"


async def test_instagram_refreshes_without_the_apps_secret() -> None:
    client, fake = client_of(script(LONG))
    requests = fake.requests
    refresher = TokenRefresher(client, None)
    fresh = await refresher("instagram", TOKEN)
    with pytest.raises(NoAppError):
        await refresher("facebook", TOKEN)
    assert fresh.expires_at == NOON + SIXTY_DAYS
    assert dict(requests[0].url.params) == {"grant_type": "ig_refresh_token", "access_token": "short-token"}
    assert requests[0].url.path == "/refresh_access_token"


async def test_facebook_refreshes_by_exchanging_again() -> None:
    client, fake = client_of(script(LONG))
    await TokenRefresher(client, APP)("facebook", TOKEN)
    assert fake.requests[0].url.params["grant_type"] == "fb_exchange_token"
    assert fake.requests[0].url.params["client_id"] == "1234"


async def test_a_token_younger_than_a_day_is_not_sent_to_instagram() -> None:
    meta, requests = login_of(script(LONG))
    with pytest.raises(TokenTooYoungError):
        await meta.refresh("instagram", TOKEN, issued_at=NOON - timedelta(hours=23))
    assert not requests
    await meta.refresh("instagram", TOKEN, issued_at=NOON - timedelta(hours=24))


async def test_an_expired_token_cannot_be_refreshed() -> None:
    meta, requests = login_of(script(refusal("Session has expired", code=190, error_subcode=463)))
    with pytest.raises(TokenDeadError):
        await meta.refresh("facebook", TOKEN)
    assert len(requests) == 1


async def test_a_renewal_gives_up_before_its_lease_ends() -> None:
    time = Time()
    client, fake = client_of(lambda request: httpx.ReadTimeout("slow"), time=time)
    with pytest.raises(UnreachableError):
        await MetaLogin(client, APP).refresh("facebook", TOKEN)
    assert sum(time.slept) + len(fake.requests) * INTERACTIVE_DEADLINE < 90


async def test_no_secret_is_in_what_is_raised() -> None:
    meta, _ = login_of(lambda request: httpx.ConnectError(str(request.url)))
    with pytest.raises(Exception) as caught:
        await meta.refresh("facebook", SecretStr("canary-token"))
    assert "canary-token" not in repr(caught.value)
    assert "app-secret" not in repr(caught.value)


def test_a_callback_gives_its_code_without_the_tail() -> None:
    assert code_of_callback({"code": "AQBx#_", "state": "s"}) == "AQBx"
    with pytest.raises(LoginDeclinedError, match="Nothing was stored"):
        code_of_callback({"error": "access_denied", "error_reason": "user_denied"})
    with pytest.raises(LoginCodeError):
        code_of_callback({})


def test_missing_scopes_are_named() -> None:
    assert missing_scopes("instagram", ("instagram_business_basic",)) == ("instagram_business_manage_insights",)
    granted = ("instagram_basic", "instagram_manage_insights", "pages_show_list", "pages_read_engagement")
    assert missing_scopes("facebook", granted) == ()


def node(number: int) -> dict[str, Any]:
    return {"id": str(17841400000000000 + number), "username": f"user{number}", "followers_count": number}


async def test_pages_are_walked_and_those_without_instagram_passed_over() -> None:
    first = {
        "data": [{"id": "1", "name": "A", "instagram_business_account": node(1)}, {"id": "2", "name": "No Instagram"}],
        "paging": {"cursors": {"after": "c"}, "next": "https://graph.facebook.com/v25.0/me/accounts?after=c"},
    }
    second = {"data": [{"id": "3", "name": "B", "instagram_business_account": node(2)}]}
    client, fake = client_of(script(first, second))
    found = await find_accounts(client, TOKEN, "facebook")
    assert [(a.account_id, a.username) for a in found] == [
        ("17841400000000001", "user1"),
        ("17841400000000002", "user2"),
    ]
    assert "access_token" not in fake.params[0]["fields"]


async def test_an_instagram_token_opens_its_own_account() -> None:
    client, _ = client_of(
        script({"user_id": 17841405822304914, "username": "u", "id": "990001", "account_type": "BUSINESS"})
    )
    [found] = await find_accounts(client, TOKEN, "instagram")
    assert (found.account_id, found.login) == ("17841405822304914", "instagram")


async def test_a_personal_account_is_no_account() -> None:
    client, _ = client_of(script({"user_id": "1", "username": "u", "account_type": "PERSONAL"}))
    assert await find_accounts(client, TOKEN, "instagram") == []


async def test_an_account_without_a_name_is_malformed() -> None:
    client, fake = client_of(lambda request: {"user_id": "1"})
    with pytest.raises(MalformedAnswerError):
        await find_accounts(client, TOKEN, "instagram")
    assert len(fake.requests) == 10


def facts(scopes: list[str], targets: dict[str, list[str]]) -> dict[str, Any]:
    granular = [{"scope": scope, **({"target_ids": targets[scope]} if scope in targets else {})} for scope in scopes]
    return {
        "data": {"app_id": "1234", "is_valid": True, "expires_at": 0, "scopes": scopes, "granular_scopes": granular}
    }


async def test_pages_of_a_business_manager_are_found_by_what_was_granted() -> None:
    granted = facts(["instagram_basic", "pages_show_list"], {"instagram_basic": ["17841400000000001"]})
    client, fake = client_of(script({"data": []}, granted, node(1)))
    [found] = await find_granted_accounts(client, APP, TOKEN, "facebook")
    assert found.username == "user1"
    assert fake.requests[1].headers["Authorization"] == "Bearer 1234|app-secret"


async def test_granted_pages_lead_to_their_accounts() -> None:
    granted = facts(["pages_show_list"], {"pages_show_list": ["77", "78"]})
    page = {"id": "77", "instagram_business_account": node(1)}
    gone = refusal("Unsupported get request.", error_subcode=33)
    client, _ = client_of(script({"data": []}, granted, page, gone))
    assert [a.username for a in await find_granted_accounts(client, APP, TOKEN, "facebook")] == ["user1"]


async def test_without_the_business_scope_an_empty_listing_says_what_to_grant() -> None:
    client, fake = client_of(script({"data": []}, facts(["instagram_basic"], {}), {"data": []}))
    with pytest.raises(PermissionMissingError) as caught:
        await find_granted_accounts(client, APP, TOKEN, "facebook")
    assert caught.value.scope == "business_management"
    assert len(fake.requests) == 3


async def test_with_the_business_scope_an_empty_listing_is_empty() -> None:
    client, _ = client_of(script({"data": []}, facts(["business_management"], {}), {"data": []}))
    assert await find_granted_accounts(client, APP, TOKEN, "facebook") == []


@pytest.mark.parametrize("app", [APP, None])
async def test_an_empty_listing_is_asked_once_more_before_a_person_is_told(app: MetaApp | None) -> None:
    listing = {"data": [{"id": "1", "instagram_business_account": node(1)}]}
    inspected = [facts(["business_management"], {})] if app else []
    client, _ = client_of(script({"data": []}, *inspected, listing))
    assert [a.username for a in await find_granted_accounts(client, app, TOKEN, "facebook")] == ["user1"]


UNREADABLE: dict[str, list[Any]] = {
    "nonexisting field": [refusal("(#100) Tried accessing nonexisting field (username)")],
    "malformed": [{"id": "17841400000000009"}],
    "gone": [refusal("Unsupported get request.", error_subcode=33)],
    "no permission": [refusal("(#10) Application does not have permission for this action", code=10)],
    "foreign Page": [refusal("(#100) Pages Public Content Access requires either app secret proof or an app token")],
    "broken": [refusal("Please retry your request later.", code=2, status=500)] * 4,
}


@pytest.mark.parametrize("how", UNREADABLE)
async def test_one_granted_id_that_cannot_be_read_leaves_the_others(how: str) -> None:
    granted = facts(["instagram_basic"], {"instagram_basic": ["17841400000000009", "17841400000000001"]})
    client, _ = client_of(script({"data": []}, granted, *UNREADABLE[how], node(1)))
    [found] = await find_granted_accounts(client, APP, TOKEN, "facebook")
    assert found.username == "user1"


@pytest.mark.parametrize(
    ("hows", "error"),
    [
        (["nonexisting field", "broken"], TransientError),
        (["gone", "no permission"], PermissionMissingError),
        (["gone", "nonexisting field"], BadRequestError),
        (["nonexisting field", "malformed"], MalformedAnswerError),
    ],
)
async def test_when_none_can_be_read_the_most_telling_reason_is_raised(hows: list[str], error: type[Exception]) -> None:
    ids = [f"1784140000000000{number}" for number in range(len(hows))]
    granted = facts(["business_management", "instagram_basic"], {"instagram_basic": ids})
    client, _ = client_of(script({"data": []}, granted, *(a for how in hows for a in UNREADABLE[how]), {"data": []}))
    with pytest.raises(error):
        await find_granted_accounts(client, APP, TOKEN, "facebook")


async def test_what_is_no_id_is_not_asked_for() -> None:
    odd = ["", "../me", "17841400000000001/media", "17841400000000001"]
    client, fake = client_of(script({"data": []}, facts(["instagram_basic"], {"instagram_basic": odd}), node(1)))
    assert len(await find_granted_accounts(client, APP, TOKEN, "facebook")) == 1
    assert len(fake.requests) == 3


async def test_a_dead_token_is_not_tried_on_every_id() -> None:
    granted = facts(["instagram_basic"], {"instagram_basic": ["17841400000000001", "17841400000000002"]})
    dead = refusal("Error validating access token: The session is invalid.", code=190, error_subcode=467)
    client, fake = client_of(script({"data": []}, granted, dead))
    with pytest.raises(TokenDeadError):
        await find_granted_accounts(client, APP, TOKEN, "facebook")
    assert len(fake.requests) == 3


ODD_ROWS = [
    {"id": "1", "instagram_business_account": {"id": "17841400000000009"}},
    {"id": "1", "instagram_business_account": {"id": {}, "username": "x"}},
    {"id": "1", "instagram_business_account": "17841400000000009"},
    {"id": "1", "instagram_business_account": []},
    None,
    "1",
    [],
]


@pytest.mark.parametrize("row", [*ODD_ROWS, {"id": "1", "instagram_business_account": None}, {}])
async def test_one_odd_page_leaves_the_others(row: Any) -> None:
    listing = {"data": [row, {"id": "2", "instagram_business_account": node(2)}, row]}
    client, fake = client_of(script(listing))
    assert [a.username for a in await find_accounts(client, TOKEN, "facebook")] == ["user2"]
    assert len(fake.requests) == 1


@pytest.mark.parametrize("row", ODD_ROWS)
async def test_a_page_that_cannot_be_read_is_not_taken_for_a_page_without_an_account(row: Any) -> None:
    granted = facts(["business_management"], {})
    client, _ = client_of(script({"data": [row]}, granted, {"data": [row]}))
    with pytest.raises(MalformedAnswerError):
        await find_granted_accounts(client, APP, TOKEN, "facebook")


async def test_a_listing_that_repeats_a_cursor_is_asked_again() -> None:
    link = "https://graph.facebook.com/v25.0/me/accounts?after=c"
    first = {"data": [], "paging": {"cursors": {"after": "c"}, "next": link}}
    last = {"data": [{"id": "2", "instagram_business_account": node(2)}]}
    client, fake = client_of(script(first, first, last))
    assert [a.username for a in await find_accounts(client, TOKEN, "facebook")] == ["user2"]
    assert [params.get("after") for params in fake.params] == [None, "c", "c"]


async def test_a_token_that_never_expires_has_no_expiry() -> None:
    client, _ = client_of(script(facts(["instagram_basic"], {})))
    found = await inspect_token(client, APP, TOKEN)
    assert (found.is_valid, found.expires_at, found.expiry, found.targets) == (True, None, "never", {})


@pytest.mark.parametrize("said", [{}, {"expires_at": None}, {"expires_at": False}, {"expires_at": 10**15}])
def test_an_end_that_is_not_told_is_not_never(said: dict[str, Any]) -> None:
    found = read_token_facts({"data": {"is_valid": True, **said}})
    assert (found.expires_at, found.expiry) == (None, "assumed")


@pytest.mark.parametrize("said", [{}, {"expires_in": 0}, {"expires_in": "soon"}, {"expires_in": 10**12}])
def test_a_token_answer_without_a_usable_end_does_not_tell_it(said: dict[str, Any]) -> None:
    fresh = read_token({"access_token": "long", "token_type": "bearer", **said}, now=NOON)
    assert (fresh.expires_at, fresh.expiry) == (None, "assumed")
    assert read_code_grant({"access_token": "short", **said}, now=NOON).expires_at is None


@needs_recordings
def test_the_recorded_shapes_of_the_token_endpoints_are_read() -> None:
    shapes = load("oauth_responses.json")
    for name in ("fb_code_exchange_or_fb_exchange_token", "ig_long_lived_exchange", "ig_refresh"):
        fresh = read_token(shapes[name], now=NOON)
        assert fresh.token.get_secret_value() == shapes[name]["access_token"]
        assert fresh.expires_at == NOON + SIXTY_DAYS
    grant = read_code_grant(shapes["ig_short_lived_documented"], now=NOON)
    assert (grant.user_id, grant.scopes[0]) == ("1020...", "instagram_business_basic")
    found = read_token_facts(shapes["debug_token"])
    assert found.expires_at == datetime.fromtimestamp(1577347200, UTC)
    assert "pages_show_list" in found.scopes
