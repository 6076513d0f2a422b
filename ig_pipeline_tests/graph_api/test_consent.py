"""Consent as a whole: from the code to token, scopes and accounts, or one clear reason why not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.consent import (
    UNKNOWN_AGE_LIFE,
    NoProfessionalAccountError,
    adopt_token,
    complete_login,
)
from ig_pipeline.graph_api.errors import AppFaultError, PermissionMissingError
from ig_pipeline.graph_api.oauth import SCOPES, MetaApp
from ig_pipeline_tests.graph_api.fake import NOON, client_of, refusal, script

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


def facts(*scopes: str, **more: int) -> dict[str, Any]:
    return {"data": {"is_valid": True, "expires_at": 1800000000, "scopes": list(scopes), **more}}


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
    client, _ = client_of(script(SHORT, granted, LONG, empty, granted, empty))
    with pytest.raises(NoProfessionalAccountError, match="switch to a Business or Creator account and link it"):
        await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)


async def test_a_long_token_without_an_end_has_it_looked_up() -> None:
    untold = {"access_token": "long", "token_type": "bearer"}
    granted = facts(*SCOPES["facebook"], data_access_expires_at=1790000000)
    of_the_long_one = facts(*SCOPES["facebook"], expires_at=1795000000, data_access_expires_at=1791000000)
    client, fake = client_of(script(SHORT, granted, untold, of_the_long_one, PAGES))
    consent = await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)
    assert (consent.expires_at, consent.expiry) == (datetime.fromtimestamp(1795000000, UTC), "stated")
    assert consent.data_access_expires_at == datetime.fromtimestamp(1791000000, UTC)
    assert fake.params[3]["input_token"] == "long"


async def test_an_end_that_cannot_be_looked_up_is_not_told_and_spoils_no_consent() -> None:
    untold = {"access_token": "long", "token_type": "bearer"}
    granted = facts(*SCOPES["facebook"], data_access_expires_at=1790000000)
    away = refusal("An unknown error occurred", code=1, status=500)
    client, _ = client_of(script(SHORT, granted, untold, away, away, PAGES))
    consent = await complete_login(client, APP, "facebook", "code", redirect_uri=BACK)
    assert (consent.expires_at, consent.expiry) == (None, "assumed")
    assert consent.data_access_expires_at == datetime.fromtimestamp(1790000000, UTC)


async def test_instagrams_token_without_an_end_is_one_whose_end_was_not_told() -> None:
    short = {**SHORT, "user_id": 17841400000000001, "permissions": list(SCOPES["instagram"])}
    client, _ = client_of(script(short, {"access_token": "long"}, ME))
    consent = await complete_login(client, APP, "instagram", "code#_", redirect_uri=BACK)
    assert (consent.expires_at, consent.expiry) == (None, "assumed")


async def test_a_pasted_token_that_never_ends_is_not_exchanged_for_one_that_does() -> None:
    client, fake = client_of(script(facts(*SCOPES["facebook"], expires_at=0), PAGES))
    consent = await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert (consent.expires_at, consent.expiry, len(fake.requests)) == (None, "never", 2)


async def test_a_pasted_token_whose_end_is_not_told_is_exchanged() -> None:
    said_nothing = {"data": {"is_valid": True, "scopes": list(SCOPES["facebook"])}}
    client, _ = client_of(script(said_nothing, LONG, PAGES))
    consent = await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert (consent.token.get_secret_value(), consent.expiry) == ("long", "stated")


async def test_an_instagram_token_of_unknown_age_is_refreshed_as_soon_as_it_may_be() -> None:
    too_young = refusal("The access token must be at least 24 hours old to be refreshed")
    client, _ = client_of(script(refusal("Session key invalid", code=452), too_young, ME))
    consent = await adopt_token(client, APP, "instagram", SecretStr("pasted"))
    assert (consent.expires_at, consent.expiry) == (NOON + UNKNOWN_AGE_LIFE, "assumed")


async def test_a_wrong_secret_is_not_taken_for_a_dead_token() -> None:
    """`debug_token` is asked with the app's own token, and refuses it in the words for any token."""
    refused = refusal("Invalid OAuth access token - Cannot parse access token", code=190)
    client, _ = client_of(script(refused))
    with pytest.raises(AppFaultError) as caught:
        await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert caught.value.about == ("app_id", "app_secret")


async def test_a_pasted_token_is_looked_at_exchanged_and_owned_by_who_consented() -> None:
    granted = facts(*SCOPES["facebook"], data_access_expires_at=1790000000, user_id=77)
    client, fake = client_of(script(granted, LONG, PAGES))
    consent = await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert (consent.token.get_secret_value(), consent.expires_at) == ("long", NOON + timedelta(seconds=5183944))
    assert consent.data_access_expires_at == datetime.fromtimestamp(1790000000, UTC)
    assert (consent.scopes, consent.person_ids, len(fake.requests)) == (SCOPES["facebook"], ("77",), 3)


async def test_without_the_app_a_pasted_token_is_taken_as_it_is() -> None:
    client, fake = client_of(script(PAGES, {"id": "77"}))
    consent = await adopt_token(client, None, "facebook", SecretStr("pasted"))
    assert (consent.token.get_secret_value(), consent.expires_at, consent.expiry) == ("pasted", None, "assumed")
    assert (consent.person_ids, fake.requests[-1].url.path.rpartition("/")[2]) == (("77",), "me")


async def test_both_ids_of_an_instagram_accounts_owner_are_known() -> None:
    client, _ = client_of(script(LONG, {**ME, "id": "300"}))
    consent = await adopt_token(client, None, "instagram", SecretStr("pasted"))
    assert consent.person_ids == ("17841400000000001", "300")


async def test_a_pasted_token_without_a_scope_is_refused_like_any_other() -> None:
    client, fake = client_of(script(facts("instagram_basic")))
    with pytest.raises(PermissionMissingError, match="instagram_manage_insights, pages_show_list"):
        await adopt_token(client, APP, "facebook", SecretStr("pasted"))
    assert len(fake.requests) == 1
