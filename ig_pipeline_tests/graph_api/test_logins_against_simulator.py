"""Both logins end to end over a real socket: dialog, consent, code, long-lived token, accounts, refresh."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.accounts import find_accounts, read_profile_fields
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.consent import adopt_token, complete_login
from ig_pipeline.graph_api.errors import (
    AppFaultError,
    BadRequestError,
    LoginCodeError,
    PermissionMissingError,
    TokenDeadError,
)
from ig_pipeline.graph_api.grants import find_granted_accounts
from ig_pipeline.graph_api.hosts import Login, MetaHosts
from ig_pipeline.graph_api.oauth import (
    SCOPES,
    LoginDeclinedError,
    MetaApp,
    MetaLogin,
    TokenTooYoungError,
    code_of_callback,
    inspect_token,
)
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline_tests.graph_api.fake import Time

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
BACK = "http://127.0.0.1:9/back"
LOGINS: tuple[Login, ...] = ("facebook", "instagram")
LIFE = timedelta(seconds=5_183_944)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def time() -> Time:
    return Time(NOW)


@pytest.fixture
def simulator(time: Time) -> Iterator[RunningSimulator]:
    with running_simulator(World(seed=4, accounts=4), clock=time) as running:
        yield running


def app_of(simulator: RunningSimulator) -> MetaApp:
    return MetaApp(simulator.world.app_id, SecretStr(simulator.world.app_secret))


@asynccontextmanager
async def client_at(simulator: RunningSimulator, time: Time) -> AsyncIterator[GraphClient]:
    secret = SecretStr(simulator.world.app_secret)
    async with GraphClient(
        MetaHosts.at(simulator.url, "v25.0"), app_secret=secret, clock=time, sleep=time.sleep
    ) as client:
        yield client


async def agree(url: str, *, who: str, do: str = "continue", granted: tuple[str, ...]) -> dict[str, str]:
    """What a person does in the browser; the query the browser comes back with."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    async with httpx.AsyncClient() as browser:
        page = await browser.get(url)
        assert page.status_code == 200
        assert who in page.text
        form = {**query, "as": who, "do": do, "granted": ",".join(granted)}
        back = await browser.post(url.split("?", maxsplit=1)[0], data=form)
    assert back.status_code == 302
    location = urlsplit(back.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == BACK
    return {name: values[0] for name, values in parse_qs(location.query).items()}


@pytest.mark.parametrize("position", [0, 1])  # Instagram's token answer has two shapes, one for every other account
@pytest.mark.parametrize("login", LOGINS)
async def test_consent_ends_in_a_long_lived_token_that_reads_the_account(
    simulator: RunningSimulator, time: Time, login: Login, position: int
) -> None:
    account = simulator.world.accounts[position]
    async with client_at(simulator, time) as client:
        url = MetaLogin(client, app_of(simulator)).authorize_url(login, redirect_uri=BACK, state="the state")
        query = await agree(url, who=account.username, granted=SCOPES[login])
        assert query["state"] == "the state"
        code = code_of_callback(query)
        consent = await complete_login(client, app_of(simulator), login, code, redirect_uri=BACK)
        assert [(found.account_id, found.username) for found in consent.accounts] == [(account.id, account.username)]
        assert consent.expires_at == NOW + LIFE
        assert set(consent.scopes) >= set(SCOPES[login])
        profile = await client.fetch(
            account.id,
            {"fields": "id,username,followers_count"},
            credentials=Credentials(account.id, consent.token, login),
            parse=read_profile_fields,
        )
        assert (profile.username, profile.followers_count) == (account.username, account.followers_count())
        with pytest.raises(LoginCodeError):
            await complete_login(client, app_of(simulator), login, code, redirect_uri=BACK)


@pytest.mark.parametrize("login", LOGINS)
async def test_a_code_is_bound_to_its_redirect(simulator: RunningSimulator, time: Time, login: Login) -> None:
    account = simulator.world.accounts[0]
    async with client_at(simulator, time) as client:
        meta = MetaLogin(client, app_of(simulator))
        url = meta.authorize_url(login, redirect_uri=BACK, state="s")
        code = code_of_callback(await agree(url, who=account.username, granted=SCOPES[login]))
        with pytest.raises(BadRequestError):
            await meta.exchange_code(login, code, redirect_uri=BACK + "/elsewhere")
        with pytest.raises(LoginCodeError):
            await meta.exchange_code(login, "forged", redirect_uri=BACK)


@pytest.mark.parametrize("login", LOGINS)
async def test_declined_consent_is_said_so(simulator: RunningSimulator, time: Time, login: Login) -> None:
    async with client_at(simulator, time) as client:
        url = MetaLogin(client, app_of(simulator)).authorize_url(login, redirect_uri=BACK, state="s")
        query = await agree(url, who=simulator.world.accounts[0].username, do="cancel", granted=())
    with pytest.raises(LoginDeclinedError):
        code_of_callback(query)


@pytest.mark.parametrize("login", LOGINS)
async def test_a_permission_that_was_unticked_is_named(simulator: RunningSimulator, time: Time, login: Login) -> None:
    account = simulator.world.accounts[0]
    insights = next(scope for scope in SCOPES[login] if "insights" in scope)
    granted = tuple(scope for scope in SCOPES[login] if scope != insights)
    async with client_at(simulator, time) as client:
        url = MetaLogin(client, app_of(simulator)).authorize_url(login, redirect_uri=BACK, state="s")
        code = code_of_callback(await agree(url, who=account.username, granted=granted))
        with pytest.raises(PermissionMissingError) as caught:
            await complete_login(client, app_of(simulator), login, code, redirect_uri=BACK)
    assert caught.value.scope == insights


async def test_pages_of_a_business_are_found_without_its_permission(simulator: RunningSimulator, time: Time) -> None:
    account = next(account for account in simulator.world.accounts if account.owned_by_business)
    granted = tuple(scope for scope in SCOPES["facebook"] if scope != "business_management")
    async with client_at(simulator, time) as client:
        app = app_of(simulator)
        url = MetaLogin(client, app).authorize_url("facebook", redirect_uri=BACK, state="s")
        code = code_of_callback(await agree(url, who=account.username, granted=granted))
        consent = await complete_login(client, app, "facebook", code, redirect_uri=BACK)
        assert await find_accounts(client, consent.token, "facebook") == []
        found = await find_granted_accounts(client, app, consent.token, "facebook")
    assert [a.username for a in found] == [a.username for a in consent.accounts] == [account.username]


async def test_a_person_with_many_pages_opens_all_their_accounts(time: Time) -> None:
    with running_simulator(World(seed=4, accounts=130), clock=time) as simulator:
        async with client_at(simulator, time) as client:
            app = app_of(simulator)
            url = MetaLogin(client, app).authorize_url("facebook", redirect_uri=BACK, state="s")
            code = code_of_callback(await agree(url, who="agency", granted=SCOPES["facebook"]))
            consent = await complete_login(client, app, "facebook", code, redirect_uri=BACK)
        assert {a.account_id for a in consent.accounts} == {a.id for a in simulator.world.accounts}


@pytest.mark.parametrize("login", LOGINS)
async def test_a_refresh_counts_sixty_days_anew(simulator: RunningSimulator, time: Time, login: Login) -> None:
    account = simulator.world.accounts[0]
    async with client_at(simulator, time) as client:
        meta = MetaLogin(client, app_of(simulator))
        token = SecretStr(simulator.token(account.username, login))
        time.now += timedelta(days=54)
        fresh = await meta.refresh(login, token)
        assert fresh.expires_at == time.now + LIFE
        time.now += timedelta(days=10)  # the old one is dead by now
        [found] = await find_accounts(client, fresh.token, login)
        assert found.account_id == account.id
        with pytest.raises(TokenDeadError) as caught:
            await meta.refresh(login, token)
    assert caught.value.cause == "expired"


async def test_instagram_keeps_its_rule_of_24_hours(simulator: RunningSimulator, time: Time) -> None:
    account = simulator.world.accounts[0]
    async with client_at(simulator, time) as client:
        meta = MetaLogin(client, app_of(simulator))
        time.now += timedelta(days=2)
        fresh = await meta.refresh("instagram", SecretStr(simulator.token(account.username, "instagram")))
        with pytest.raises(TokenTooYoungError):
            await meta.refresh("instagram", fresh.token)
        time.now += timedelta(hours=24)
        await meta.refresh("instagram", fresh.token)


async def test_a_token_tells_what_it_is(simulator: RunningSimulator, time: Time) -> None:
    account = simulator.world.accounts[0]
    token = SecretStr(simulator.token(account.username))
    async with client_at(simulator, time) as client:
        facts = await inspect_token(client, app_of(simulator), token)
        adopted = await adopt_token(client, app_of(simulator), "facebook", token)
        assert facts.is_valid
        assert facts.expires_at is not None
        assert NOW < facts.expires_at <= NOW + LIFE
        assert facts.targets["instagram_basic"] == (account.id,)
        assert (adopted.expires_at, adopted.accounts[0].username) == (NOW + LIFE, account.username)


@pytest.mark.parametrize("login", LOGINS)
async def test_a_wrong_app_secret_is_said_once_and_not_tried_again(
    simulator: RunningSimulator, time: Time, login: Login
) -> None:
    account = simulator.world.accounts[0]
    async with client_at(simulator, time) as client:
        meta = MetaLogin(client, app_of(simulator))
        url = meta.authorize_url(login, redirect_uri=BACK, state="s")
        code = code_of_callback(await agree(url, who=account.username, granted=SCOPES[login]))
        wrong = MetaLogin(client, MetaApp(simulator.world.app_id, SecretStr("wrong")))
        with pytest.raises(AppFaultError, match="client secret"):
            await wrong.exchange_code(login, code, redirect_uri=BACK)
        assert client.calls_of("") == 1
