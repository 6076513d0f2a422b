"""Tokens that never silently die, and are renewed by one process at a time."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.errors import BadRequestError, GraphError, TokenDeadError, UnreachableError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.token_answers import FreshToken, TokenFacts
from ig_pipeline.storage import token_rows
from ig_pipeline.storage.connections import by_account_key, disconnect
from ig_pipeline.storage.database import DatabaseUnreachableError, reading
from ig_pipeline.storage.tables import user_tokens
from ig_pipeline.token_ends import Expiry, TokenEnd
from ig_pipeline.vault import token_vault as vault_tokens
from ig_pipeline.vault.cipher import KeyRing, KeyRingError, new_key
from ig_pipeline.vault.token_vault import TokenVault

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD, FRESH = SecretStr("EAAcanary-old-0123456789"), SecretStr("EAAcanary-fresh-0123456789")
pytestmark = pytest.mark.anyio


class Meta:
    """Counts renewals; answers with `FRESH`, or raises what it was told to. `facts`: what it says of a token."""

    def __init__(
        self,
        error: Exception | None = None,
        *,
        facts: TokenFacts | GraphError | None = None,
        lives: timedelta | None = timedelta(days=60),
    ) -> None:
        self.calls = 0
        self.asked = 0
        self.error = error
        self.facts = facts
        self.lives = lives

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        self.calls += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return FreshToken(FRESH, NOW + self.lives if self.lives else None)

    async def inspect(self, login: Login, token: SecretStr) -> TokenFacts | None:
        self.asked += 1
        if isinstance(self.facts, GraphError):
            raise self.facts
        return self.facts


def says(
    expires_at: datetime | None,
    expiry: Expiry = "stated",
    *,
    reads_until: datetime | None = None,
    is_valid: bool = True,
) -> TokenFacts:
    return TokenFacts(is_valid, expires_at, expiry, reads_until, ("instagram_basic",), {}, "1", "2")


def vault_with(
    database: sa.Engine,
    meta: Meta,
    *,
    days_left: float | None,
    keys: KeyRing | None = None,
    clock: Clock = lambda: NOW,
    expiry: Expiry = "stated",
) -> TokenVault:
    vault = TokenVault(database, keys or KeyRing([new_key()]), meta, clock=clock)
    with database.begin() as db:
        vault.store(
            db,
            email="a@b.example",
            login="facebook",
            account_id="17841400000000001",
            username="acme.studio",
            token=OLD,
            expires_at=None if days_left is None else NOW + timedelta(days=days_left),
            expiry=expiry,
        )
    return vault


def expiry(database: sa.Engine) -> datetime | None:
    with reading(database) as db:
        return by_account_key(db, "acme.studio").expires_at


def end_of(database: sa.Engine) -> TokenEnd | None:
    with reading(database) as db:
        return by_account_key(db, "acme.studio").token_end


def as_an_older_release_stored_it(database: sa.Engine, *, days_old: float) -> None:
    """Without an end, and without a word on why."""
    values = {"expires_at": None, "issued_at": NOW - timedelta(days=days_old), "inspected_at": None}
    with database.begin() as db:
        db.execute(sa.update(user_tokens).values(values))


@pytest.mark.parametrize(
    ("days_left", "outcome", "calls"), [(6, "refreshed", 1), (8, "not_due", 0), (None, "not_due", 0)]
)
async def test_a_token_six_days_from_its_end_is_renewed_and_one_of_eight_is_not(
    database: sa.Engine, days_left: float | None, outcome: str, calls: int
) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=days_left)
    assert await vault.refresh_if_due("acme.studio") == outcome
    assert meta.calls == calls
    if calls:
        assert expiry(database) == NOW + timedelta(days=60)
        assert await vault.token_of("acme.studio") == FRESH


async def test_a_token_that_works_is_handed_out_without_a_call(database: sa.Engine) -> None:
    meta = Meta()
    assert await vault_with(database, meta, days_left=40).token_of("acme.studio") == OLD
    assert meta.calls == 0


async def test_many_who_ask_at_once_cause_one_renewal(database: sa.Engine) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=2)
    found = await asyncio.gather(*(vault.token_of("acme.studio") for _ in range(8)))
    assert set(found) == {FRESH}
    assert meta.calls == 1


async def test_a_renewal_that_fails_for_a_moment_leaves_the_valid_token(database: sa.Engine) -> None:
    meta = Meta(UnreachableError("no answer"))
    vault = vault_with(database, meta, days_left=2)
    assert await vault.token_of("acme.studio") == OLD
    meta.error = None
    assert await vault.token_of("acme.studio") == FRESH


async def test_a_token_dead_at_renewal_is_marked_with_the_owners_sentence(database: sa.Engine) -> None:
    dead = TokenDeadError("gone", cause="password_changed", advice="Connect again: the password was changed.")
    vault = vault_with(database, Meta(dead), days_left=2)
    assert await vault.refresh_if_due("acme.studio") == "reconnect_required"
    with reading(database) as db:
        connection = by_account_key(db, "acme.studio")
    assert (connection.status, connection.status_message) == ("reconnect_required", dead.advice)
    with pytest.raises(TokenDeadError):
        await vault.token_of("acme.studio")


async def test_a_rejected_token_is_renewed_once_and_a_newer_one_is_handed_out_as_it_is(database: sa.Engine) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=40)
    assert await vault.refresh_now("acme.studio", OLD) == FRESH
    assert await vault.refresh_now("acme.studio", OLD) == FRESH
    assert meta.calls == 1


async def test_a_renewal_survives_whoever_died_holding_the_lease(database: sa.Engine) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=2)
    with database.begin() as db:
        row = token_rows.read(db, "acme.studio")
        past = NOW - timedelta(minutes=10)
        assert token_rows.take_lease(db, row, owner="dead", now=past, until=past + timedelta(seconds=90))
    assert await vault.token_of("acme.studio") == FRESH


async def test_a_disconnected_account_has_no_token_left(database: sa.Engine) -> None:
    vault = vault_with(database, Meta(), days_left=40)
    with database.begin() as db:
        disconnect(db, by_account_key(db, "acme.studio").id, now=NOW)
        assert token_rows.read(db, "acme.studio").ciphertext is None
    with pytest.raises(TokenDeadError):
        await vault.token_of("acme.studio")


async def test_rotation_moves_every_token_to_the_first_key(database: sa.Engine) -> None:
    old, new = new_key(), new_key()
    vault_with(database, Meta(), days_left=40, keys=KeyRing([old]))
    assert TokenVault(database, KeyRing([new, old]), Meta(), clock=lambda: NOW).rotate() == 1
    assert await TokenVault(database, KeyRing([new]), Meta(), clock=lambda: NOW).token_of("acme.studio") == OLD


async def test_a_token_that_cannot_be_read_keeps_no_other_under_a_leaked_key(database: sa.Engine) -> None:
    leaked, new, lost = new_key(), new_key(), new_key()
    vault = vault_with(database, Meta(), days_left=40, keys=KeyRing([leaked]))
    other = TokenVault(database, KeyRing([lost]), Meta(), clock=lambda: NOW)
    with database.begin() as db:
        other.store(
            db, email="a@b.example", login="facebook", account_id="2", username="lost", token=OLD, expires_at=None
        )
    with pytest.raises(
        KeyRingError, match=r"^Tokens encrypted with the first key: 1; not those of lost: .*not on the ring"
    ):
        TokenVault(database, KeyRing([new, leaked]), Meta(), clock=lambda: NOW).rotate()
    assert await TokenVault(database, KeyRing([new]), Meta(), clock=lambda: NOW).token_of("acme.studio") == OLD
    with pytest.raises(KeyRingError):
        await vault.token_of("acme.studio")


async def test_a_death_sentence_for_a_token_that_was_replaced_meanwhile_is_not_carried_out(
    database: sa.Engine,
) -> None:
    """The owner connects again while Meta is still refusing the old token."""
    keys = KeyRing([new_key()])

    class SlowRefusal(Meta):
        async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
            vault_with(database, Meta(), days_left=60, keys=keys)
            raise TokenDeadError("gone", cause="expired", advice="Connect again.")

    vault = vault_with(database, SlowRefusal(), days_left=2, keys=keys)
    await vault.refresh_if_due("acme.studio")
    with reading(database) as db:
        assert by_account_key(db, "acme.studio").status == "connected"


async def test_a_lease_is_waited_for_until_it_ends_and_then_passes_on(database: sa.Engine) -> None:
    """Its holder was killed in the middle: nobody gives it back."""
    meta, passed = Meta(), timedelta()

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=max(seconds, 5))

    keys = KeyRing([new_key()])
    vault_with(database, meta, days_left=2, keys=keys)
    vault = TokenVault(database, keys, meta, clock=lambda: NOW + passed, sleep=sleep)
    with database.begin() as db:
        row = token_rows.read(db, "acme.studio")
        assert token_rows.take_lease(db, row, owner="killed", now=NOW, until=NOW + timedelta(seconds=90))
    assert await vault.token_of("acme.studio") == FRESH
    assert meta.calls == 1
    assert timedelta(seconds=90) < passed < timedelta(seconds=120)


async def test_a_lease_lasts_until_the_slowest_renewal_is_saved(database: sa.Engine) -> None:
    """Meta answers after eighty seconds, and the database is away for fifty-five more."""
    passed, taken_over = timedelta(), []
    keys = KeyRing([new_key()])

    class Slow(Meta):
        async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
            nonlocal passed
            fresh = await super().__call__(login, token)
            passed += timedelta(seconds=80 + 55)
            with database.begin() as db:
                row, now = token_rows.read(db, "acme.studio"), NOW + passed
                taken_over.append(token_rows.take_lease(db, row, owner="another", now=now, until=now))
            return fresh

    vault = vault_with(database, Slow(), days_left=2, keys=keys, clock=lambda: NOW + passed)
    assert await vault.token_of("acme.studio") == FRESH
    assert taken_over == [False]


async def test_a_renewed_token_is_kept_though_another_has_the_lease_by_now(database: sa.Engine) -> None:
    """The machine slept for an hour while Meta answered."""
    keys, newer = KeyRing([new_key()]), Meta()

    class Asleep(Meta):
        async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
            fresh = await super().__call__(login, token)
            with database.begin() as db:
                row, now = token_rows.read(db, "acme.studio"), NOW + timedelta(hours=1)
                assert token_rows.take_lease(db, row, owner="another", now=now, until=now + timedelta(minutes=5))
            return fresh

    vault = vault_with(database, Asleep(), days_left=2, keys=keys)
    assert await vault.refresh_if_due("acme.studio") == "refreshed"
    afterwards = TokenVault(database, keys, newer, clock=lambda: NOW + timedelta(hours=2))
    assert await afterwards.token_of("acme.studio") == FRESH
    assert (newer.calls, expiry(database)) == (0, NOW + timedelta(days=60))


class Overtaken(Meta):
    """The first renewal is held up for an hour, in which a second one begins; that one ends when `go_on` is set.

    `first`: how the first one ends. `second`: what the second one gets.
    """

    def __init__(self, first: FreshToken | TokenDeadError, second: SecretStr) -> None:
        super().__init__()
        self.first, self.second = first, FreshToken(second, NOW + timedelta(days=60))
        self.now = NOW
        self.go_on, self._begun = asyncio.Event(), asyncio.Event()

    def overtaken_by(self, vault: TokenVault) -> None:
        self._vault = vault

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        self.calls += 1
        if self.calls > 1:
            self._begun.set()
            await self.go_on.wait()
            return self.second
        self.now += timedelta(hours=1)
        self.later = asyncio.create_task(self._vault.token_of("acme.studio"))
        await self._begun.wait()
        if isinstance(self.first, TokenDeadError):
            raise self.first
        return self.first


async def test_of_two_tokens_that_meta_issued_the_one_of_the_lease_holder_stands(database: sa.Engine) -> None:
    newest = SecretStr("EAAcanary-newest-0123456789")
    meta = Overtaken(FreshToken(FRESH, NOW + timedelta(days=60)), newest)
    vault = vault_with(database, meta, days_left=2, clock=lambda: meta.now)
    meta.overtaken_by(vault)
    assert await vault.refresh_if_due("acme.studio") == "refreshed"
    assert await vault.token_of("acme.studio") == FRESH
    meta.go_on.set()
    assert await meta.later == newest
    assert await vault.token_of("acme.studio") == newest
    with reading(database) as db:
        assert token_rows.read(db, "acme.studio").lease_until is None


async def test_two_renewals_of_one_vault_are_two_holders(database: sa.Engine) -> None:
    """The refusal of one that took too long does not disconnect the account that a later one is renewing."""
    meta = Overtaken(TokenDeadError("gone", cause="expired", advice="Connect again."), FRESH)
    vault = vault_with(database, meta, days_left=2, clock=lambda: meta.now)
    meta.overtaken_by(vault)
    await vault.refresh_if_due("acme.studio")
    meta.go_on.set()
    assert await meta.later == FRESH
    assert await vault.token_of("acme.studio") == FRESH


async def test_a_late_refusal_does_not_spoil_the_renewal_of_whoever_has_the_lease_by_now(database: sa.Engine) -> None:
    class LateRefusal(Meta):
        async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
            with database.begin() as db:
                row, now = token_rows.read(db, "acme.studio"), NOW + timedelta(hours=1)
                assert token_rows.take_lease(db, row, owner="another", now=now, until=now + timedelta(minutes=5))
            raise TokenDeadError("gone", cause="expired", advice="Connect again.")

    await vault_with(database, LateRefusal(), days_left=2).refresh_if_due("acme.studio")
    with reading(database) as db:
        assert by_account_key(db, "acme.studio").status == "connected"


async def test_a_renewal_that_is_cancelled_while_it_saves_keeps_the_token(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, away = asyncio.Event(), 1
    replace = token_rows.replace

    def once_away(db: sa.Connection, *rest: Any, **named: Any) -> bool:
        nonlocal away
        loop.call_soon_threadsafe(saving.set)
        if away:
            away -= 1
            raise DatabaseUnreachableError("The database does not answer.")
        return replace(db, *rest, **named)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(token_rows, "replace", once_away)
    keys = KeyRing([new_key()])
    task = asyncio.create_task(vault_with(database, Meta(), days_left=2, keys=keys).token_of("acme.studio"))
    await saving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    newer = Meta()
    afterwards = TokenVault(database, keys, newer, clock=lambda: NOW + timedelta(hours=2))
    assert await afterwards.token_of("acme.studio") == FRESH
    assert newer.calls == 0


async def test_a_renewal_that_hangs_is_given_up_and_the_lease_given_back(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Meta):
        async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(vault_tokens, "REFRESH_TIMEOUT_S", 0.01)
    vault = vault_with(database, Hanging(), days_left=2)
    assert await vault.token_of("acme.studio") == OLD
    with pytest.raises(UnreachableError):
        await vault.refresh_if_due("acme.studio")
    with reading(database) as db:
        assert token_rows.read(db, "acme.studio").lease_until is None


@pytest.mark.parametrize(
    ("days_old", "outcome", "calls"), [(52, "not_due", 0), (54, "refreshed", 1), (70, "refreshed", 1)]
)
async def test_a_token_whose_end_was_not_told_is_renewed_within_sixty_days(
    database: sa.Engine, days_old: float, outcome: str, calls: int
) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=None)
    as_an_older_release_stored_it(database, days_old=days_old)
    assert await vault.refresh_if_due("acme.studio") == outcome
    assert meta.calls == calls
    assert await vault.token_of("acme.studio") == (FRESH if calls else OLD)
    with reading(database) as db:
        assert not token_rows.read(db, "acme.studio").end.within(timedelta(days=7), now=NOW)


async def test_a_sync_renews_a_token_whose_end_was_not_told_before_it_may_have_ended(database: sa.Engine) -> None:
    meta = Meta()
    vault = vault_with(database, meta, days_left=None)
    as_an_older_release_stored_it(database, days_old=58)
    assert await vault.token_of("acme.studio") == FRESH


async def test_a_token_past_an_assumed_end_is_still_tried_and_one_past_a_stated_end_is_not(database: sa.Engine) -> None:
    meta = Meta(UnreachableError("no answer"))
    vault = vault_with(database, meta, days_left=None)
    as_an_older_release_stored_it(database, days_old=90)
    assert await vault.token_of("acme.studio") == OLD
    vault = vault_with(database, meta, days_left=-1)
    with pytest.raises(UnreachableError):
        await vault.token_of("acme.studio")


async def test_only_metas_never_is_never(database: sa.Engine) -> None:
    meta = Meta(facts=says(None, "never"))
    vault = vault_with(database, meta, days_left=None)
    as_an_older_release_stored_it(database, days_old=70)
    assert await vault.refresh_if_due("acme.studio") == "not_due"
    assert end_of(database) == TokenEnd(None, "never")
    assert (await vault.token_of("acme.studio"), meta.calls) == (OLD, 0)


async def test_an_end_that_was_not_told_is_looked_up(database: sa.Engine) -> None:
    told = NOW + timedelta(days=5)
    meta = Meta(facts=says(told, reads_until=NOW + timedelta(days=33)))
    vault = vault_with(database, meta, days_left=None)
    assert end_of(database) == TokenEnd(NOW + timedelta(days=60), "assumed")
    # It ends within seven days: that is learned, and acted upon at once.
    assert await vault.refresh_if_due("acme.studio") == "refreshed"
    assert end_of(database) == TokenEnd(NOW + timedelta(days=60), "stated")
    with reading(database) as db:
        assert by_account_key(db, "acme.studio").data_access_expires_at == NOW + timedelta(days=33)


async def test_a_renewed_token_that_comes_without_an_end_gets_one(database: sa.Engine) -> None:
    looked_up = NOW + timedelta(days=59)
    meta = Meta(facts=says(looked_up), lives=None)
    assert await vault_with(database, meta, days_left=2).token_of("acme.studio") == FRESH
    assert end_of(database) == TokenEnd(looked_up, "stated")
    meta.facts = UnreachableError("no answer")
    assert await vault_with(database, meta, days_left=2).token_of("acme.studio") == FRESH
    assert end_of(database) == TokenEnd(NOW + timedelta(days=60), "assumed")


@pytest.mark.parametrize(("told", "kept"), [(20, 20), (60, 40)])
async def test_a_stated_end_is_only_ever_brought_forward(database: sa.Engine, told: float, kept: float) -> None:
    vault = vault_with(database, Meta(facts=says(NOW + timedelta(days=told))), days_left=40)
    assert await vault.refresh_if_due("acme.studio") == "not_due"
    assert end_of(database) == TokenEnd(NOW + timedelta(days=kept), "stated")


async def test_a_token_that_meta_calls_invalid_is_not_waited_for(database: sa.Engine) -> None:
    dead = TokenDeadError("gone", cause="password_changed", advice="Connect again.")
    vault = vault_with(database, Meta(dead, facts=says(None, "assumed", is_valid=False)), days_left=40)
    assert await vault.refresh_if_due("acme.studio") == "reconnect_required"
    with reading(database) as db:
        assert by_account_key(db, "acme.studio").status_message == "Connect again."


async def test_what_cannot_be_asked_is_told_and_changes_nothing(database: sa.Engine) -> None:
    meta = Meta(facts=BadRequestError("The App_id in the input_token did not match the Viewing App"))
    vault = vault_with(database, meta, days_left=40)
    with pytest.raises(BadRequestError):
        await vault.refresh_if_due("acme.studio")
    assert expiry(database) == NOW + timedelta(days=40)
    # Another app's token: the next answer would be the same.
    assert await vault.refresh_if_due("acme.studio") == "not_due"
    # A renewal that is due does not wait for it.
    vault = vault_with(database, Meta(facts=UnreachableError("no answer")), days_left=3)
    assert await vault.refresh_if_due("acme.studio") == "refreshed"


async def test_meta_is_asked_about_a_token_weekly_and_daily_when_reading_ends_soon(database: sa.Engine) -> None:
    now = NOW
    meta = Meta(facts=says(NOW + timedelta(days=400), reads_until=NOW + timedelta(days=30)))
    vault = vault_with(database, meta, days_left=400, clock=lambda: now)
    asked_on = []
    for hours in range(0, 24 * 30, 6):
        now, before = NOW + timedelta(hours=hours), meta.asked
        await vault.refresh_if_due("acme.studio")
        if meta.asked > before:
            asked_on.append(hours / 24)
    assert asked_on[:2] == [0.0, 7.0]
    assert asked_on[2:] == [14.0, *(float(day) for day in range(15, 30))]


# Two processes, each with its own interpreter, ask for the same due token at the same moment.
_PROCESS = """
import asyncio, sys, urllib.request
from datetime import UTC, datetime, timedelta
from pydantic import SecretStr
from ig_pipeline.graph_api.token_answers import FreshToken
from ig_pipeline.storage.database import open_engine
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import TokenVault

url, key, meta, now = sys.argv[1:]
now = datetime.fromisoformat(now)

async def refresher(login, token):
    await asyncio.to_thread(lambda: urllib.request.urlopen(meta).read())
    return FreshToken(SecretStr("EAAcanary-fresh-0123456789"), now + timedelta(days=60))

vault = TokenVault(open_engine(SecretStr(url)), KeyRing([SecretStr(key)]), refresher, clock=lambda: now)
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(vault.token_of("acme.studio")).get_secret_value())
"""


async def test_two_processes_renewing_at_once_call_meta_once(database: sa.Engine, database_url: SecretStr) -> None:
    key, calls = new_key(), []

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Tests are quiet."""

    vault_with(database, Meta(), days_left=2, keys=KeyRing([key]))
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        arguments = [
            database_url.get_secret_value(),
            key.get_secret_value(),
            f"http://127.0.0.1:{server.server_port}/",
            NOW.isoformat(),
        ]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _PROCESS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].strip() for process in processes]
        server.shutdown()
    assert answers == [FRESH.get_secret_value()] * 2
    assert len(calls) == 1
