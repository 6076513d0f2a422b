"""Consent as a whole: from the code to token, scopes and accounts, or one clear reason why not."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.consent import NoProfessionalAccountError, adopt_token, complete_login
from ig_pipeline.graph_api.errors import PermissionMissingError
from ig_pipeline.graph_api.oauth import SCOPES, MetaApp
from ig_pipeline_tests.graph_api.fake import NOON, client_of, script

pytestmark = pytest.mark.anyio
APP = MetaApp("1234", SecretStr("app-secret"))
BACK = "https://app.example/back"
SHORT: dict[str, Any] = {"access_token": "short", "expires_in": 3600}
LONG: dict[str, Any] = {"access_token": "long", "expires_in": 5183944}
ME = {"user_id": "17841400000000001", "username": "u", "account_type": "BUSINESS"}
PAGES = {"data": [{"id": "1", "instagram_business_account": {"id": "17841400000000001", "username": "u"}}]}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def facts(*scopes: str) -> dict[str, Any]:
    return {"data": {"is_valid": True, "expires_at": 1800000000, "scopes": list(scopes)}}


async def test_a_facebook_login_ends_in_a_long_token_and_its_accounts() -> None:
    client, fake = client_of(script(SHORT, facts(*SCOPES["facebook"]), LONG, PAGES))
    consent = await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)
    assert consent.token.get_secret_value() == "long"
    assert consent.expires_at == NOON + timedelta(seconds=5183944)
    assert [account.username for account in consent.accounts] == ["u"]
    assert len(fake.requests) == 4
    assert "long" not in repr(consent)


async def test_an_instagram_login_ends_in_a_long_token_and_its_account() -> None:
    short = {**SHORT, "user_id": 17841400000000001, "permissions": list(SCOPES["instagram"])}
    client, _ = client_of(script(short, LONG, ME))
    consent = await complete_login(client, APP, "instagram", "code#_", redirect_uri=BACK)
    assert (consent.scopes, consent.accounts[0].account_id) == (SCOPES["instagram"], "17841400000000001")


async def test_a_scope_that_was_not_granted_is_named_before_anything_is_kept() -> None:
    client, fake = client_of(script(SHORT, facts("instagram_basic")))
    with pytest.raises(PermissionMissingError, match="instagram_manage_insights, pages_show_list") as caught:
        await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)
    assert caught.value.scope == "instagram_manage_insights"
    assert len(fake.requests) == 2


async def test_a_login_without_a_professional_account_says_what_to_do() -> None:
    empty: dict[str, Any] = {"data": []}
    granted = facts(*SCOPES["facebook"])
    client, _ = client_of(script(SHORT, granted, LONG, empty, granted))
    with pytest.raises(NoProfessionalAccountError, match="switch to a Business or Creator account and link it"):
        await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)


async def test_a_pasted_token_is_taken_as_it_is() -> None:
    client, _ = client_of(script(PAGES, facts("instagram_basic")))
    consent = await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert consent.token.get_secret_value() == "pasted"
    assert consent.expires_at is not None
    client, fake = client_of(script(ME))
    consent = await adopt_token(client, None, "instagram", SecretStr("pasted"))
    assert (consent.expires_at, len(fake.requests)) == (None, 1)
