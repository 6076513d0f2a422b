"""Ends of tokens that Meta tells, does not tell, or moves: no token dies for want of asking."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.meta import refresher as refresher_of
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant
from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import DatabaseUnreachableError
from ig_pipeline.sync import token_refresh
from ig_pipeline.sync.data_access import ending_data_access
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.token_refresh import TokenResult, refresh_tokens
from ig_pipeline.token_ends import TokenEnd
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import REFRESH_WITHIN, RefreshOutcome, TokenVault
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio
KEY = "acme.studio"


async def job(small: SmallWorld) -> list[TokenResult]:
    """What the schedule runs every six hours."""
    async with open_services(small.settings, clock=small.clock) as services:
        return await refresh_tokens(services.engine, services.tokens)


def end_of(connection: Connection) -> TokenEnd:
    assert connection.token_end is not None
    return connection.token_end


def whole(instant: datetime) -> datetime:
    """Meta tells whole seconds."""
    return datetime.fromtimestamp(int(instant.timestamp()), UTC)


def forget_its_end(small: SmallWorld) -> None:
    """As an older release stored what it had not been told."""
    with small.engine.begin() as db:
        db.execute(sa.update(tables.user_tokens).values(expires_at=None, inspected_at=None))


async def test_the_job_looks_up_what_an_older_release_did_not_know(small: SmallWorld) -> None:
    small.connect(KEY, expires_in=None)
    forget_its_end(small)
    [result] = await job(small)
    held_since = small.clock() - timedelta(days=2)
    ends_at = whole(held_since + timedelta(seconds=5_183_944))
    reads_until = whole(held_since + timedelta(days=90))
    assert (result.outcome, result.expires_at, result.assumed) == ("not_due", ends_at, False)
    assert result.data_access_expires_at == reads_until
    connection = small.connection(KEY)
    assert (end_of(connection), connection.data_access_expires_at) == (TokenEnd(ends_at, "stated"), reads_until)
    # Known now: the next look is in a week.
    await job(small)
    assert small.simulator.calls.of(KEY, "debug_token") == 1


@pytest.mark.parametrize("login", ["facebook", "instagram"])
async def test_without_a_word_on_their_end_tokens_outlive_two_hundred_days(small: SmallWorld, login: Login) -> None:
    small.simulator.simulation.oddities.expires_in_omitted = True
    small.connect(KEY, login=login, expires_in=None)
    forget_its_end(small)
    for _ in range(50):
        [result] = await job(small)
        assert result.error is None
        assert result.outcome in ("refreshed", "not_due")
        small.clock.advance(timedelta(days=4))
    assert small.connection(KEY).status == "connected"
    # Facebook is asked about each new token, Instagram cannot be.
    assert end_of(small.connection(KEY)).assumed == (login == "instagram")
    counted = "token_exchange" if login == "facebook" else "token_refresh"
    assert 3 <= small.simulator.calls.of(KEY, counted) <= 5


@sqlite_only
async def test_a_token_that_never_ends_is_left_alone(small: SmallWorld) -> None:
    user = small.world.account(KEY).user_id
    scopes = frozenset(USUAL_SCOPES["facebook"])
    endless = small.simulator.simulation.book.issue(
        Grant("facebook", "system_user", user, 0, small.clock(), None, scopes)
    )
    small.connect(KEY, token=endless, expires_in=None)
    for _ in range(3):
        [result] = await job(small)
        assert (result.outcome, result.expires_at, result.assumed) == ("not_due", None, False)
        small.clock.advance(timedelta(days=100))
    assert end_of(small.connection(KEY)) == TokenEnd(None, "never")
    assert small.simulator.calls.of(KEY, "token_exchange") == 0


@sqlite_only
async def test_without_the_app_an_end_stays_assumed_and_the_token_is_used_as_long_as_it_works(
    small: SmallWorld,
) -> None:
    small.connect(KEY, expires_in=None)
    small.settings = small.settings.model_copy(update={"app_id": None})
    [result] = await job(small)
    assert (result.assumed, result.expires_at) == (True, small.clock() + timedelta(days=60))
    small.clock.advance(timedelta(days=55))
    [result] = await job(small)
    assert "IG_PIPELINE_APP_ID" in str(result.error)
    assert {found.status for found in await small.sync([KEY], days=1)} == {"complete"}


async def test_the_end_of_reading_is_warned_of_and_then_told_for_what_it_is(small: SmallWorld) -> None:
    account = small.world.account(KEY)
    small.connect(KEY)
    book = small.simulator.simulation.book
    book.end_data_access(account.user_id, at=small.clock() + timedelta(days=20))
    await job(small)
    with small.engine.connect() as db:
        assert ending_data_access(db, now=small.clock()) == []
    small.clock.advance(timedelta(days=7))
    with small.engine.connect() as db:
        [warning] = ending_data_access(db, now=small.clock())
    assert (warning.account_key, warning.urgent) == (KEY, False)
    assert "Connect again: that counts as using it." in warning.sentence
    # A renewal does not move it, and the job keeps what Meta tells.
    async with open_services(small.settings, clock=small.clock) as services:
        await refresh_tokens(services.engine, services.tokens, within=timedelta(days=90))
    small.clock.advance(timedelta(days=11))
    await job(small)
    with small.engine.connect() as db:
        [warning] = ending_data_access(db, now=small.clock())
    assert warning.urgent
    small.clock.advance(timedelta(days=2))
    results = await small.sync([KEY], days=1)
    assert {result.error_type for result in results} == {"TokenDeadError"}
    assert "90 days" in str(results[0].error)
    connection = small.connection(KEY)
    assert connection.status == "reconnect_required"
    assert "counts as using it" in str(connection.status_message)


async def test_somebody_who_used_the_app_meanwhile_is_not_warned(small: SmallWorld) -> None:
    account = small.world.account(KEY)
    small.connect(KEY)
    book = small.simulator.simulation.book
    book.end_data_access(account.user_id, at=small.clock() + timedelta(days=15))
    await job(small)
    book.end_data_access(account.user_id, at=small.clock() + timedelta(days=90))
    small.clock.advance(timedelta(days=1))
    await job(small)
    with small.engine.connect() as db:
        assert ending_data_access(db, now=small.clock()) == []


@sqlite_only
async def test_a_switched_off_app_costs_no_token_and_is_asked_once(small: SmallWorld) -> None:
    keys = small.connect_all()
    small.connect(KEY, login="instagram", email="instagram@b.example", expires_in=timedelta(days=3))
    small.simulator.simulation.oddities.app = "deleted"
    before = small.simulator.calls.total()
    results = await job(small)
    assert small.simulator.calls.total() - before == 2  # one of each login
    assert [result.outcome for result in results] == [None, *["not_asked"] * (len(keys) - 1), None]
    assert all("Application has been deleted" in str(result.error) for result in results if result.outcome is None)
    assert {row["status"] for row in small.rows(tables.user_tokens)} == {"connected"}
    small.simulator.simulation.oddities.app = None
    assert {result.outcome for result in await job(small)} == {"not_due", "refreshed"}


@sqlite_only
async def test_a_token_that_takes_long_holds_up_no_other(small: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_refresh, "HEAD_START_S", 0.01)
    keys = small.connect_all()
    slow, others = keys[0], set(keys[1:])
    refreshed: set[str] = set()
    all_others = asyncio.Event()

    class OneIsSlow(TokenVault):
        async def refresh_if_due(self, account_key: str, *, within: timedelta = REFRESH_WITHIN) -> RefreshOutcome:
            if account_key == slow:
                await asyncio.wait_for(all_others.wait(), 30)
            outcome = await super().refresh_if_due(account_key, within=within)
            refreshed.add(account_key)
            if refreshed >= others:
                all_others.set()
            return outcome

    async with open_services(small.settings, clock=small.clock) as services:
        keyring, refresher = KeyRing.from_settings(small.settings), refresher_of(services.client, small.settings)
        vault = OneIsSlow(services.engine, keyring, refresher, clock=small.clock)
        results = await refresh_tokens(services.engine, vault)
    assert [result.account_key for result in results] == keys
    assert {result.outcome for result in results} == {"not_due"}


@sqlite_only
async def test_a_fault_of_the_app_that_several_meet_is_told_once(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_refresh, "HEAD_START_S", 0.0)
    small.connect_all()
    small.simulator.simulation.oddities.app = "deleted"
    before = small.simulator.calls.total()
    results = await job(small)
    assert sum("Application has been deleted" in str(result.error) for result in results) == 1
    assert {result.outcome for result in results} == {None, "not_asked"}
    assert small.simulator.calls.total() - before <= token_refresh.ACCOUNTS_AT_ONCE


@sqlite_only
async def test_what_one_account_raises_is_raised_after_the_others_are_through(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = small.connect_all()
    seen: list[str] = []

    async def refresh(_: TokenVault, account_key: str, *, within: timedelta) -> RefreshOutcome:
        await asyncio.sleep(0)
        if account_key == keys[1]:
            raise DatabaseUnreachableError("The database does not answer.")
        seen.append(account_key)
        return "not_due"

    monkeypatch.setattr(TokenVault, "refresh_if_due", refresh)
    with pytest.raises(DatabaseUnreachableError):
        await job(small)
    assert sorted(seen) == sorted(set(keys) - {keys[1]})
