"""Secrets are planted, everything is done with them that is ever done, and every byte written is searched for them."""

import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.graph_api.errors import GraphError, TokenDeadError, UnreachableError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.token_answers import FreshToken, TokenFacts
from ig_pipeline.storage.connections import by_account_key, disconnect
from ig_pipeline.storage.tables import user_tokens
from ig_pipeline.vault.cipher import KeyRing, KeyRingError, new_key
from ig_pipeline.vault.token_vault import TokenVault
from ig_pipeline_tests.postgres import PostgresServer

PARAMETER = "canary-of-a-statement-that-fails"
pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (SecretStr(f"EAAcanary-{name}-0123456789abcdef") for name in ("first", "second", "third"))


class Meta:
    """Answers as it is told: a fresh token, or an error."""

    answer: SecretStr | GraphError = SECOND

    async def __call__(self, login: Login, token: SecretStr) -> FreshToken:
        if isinstance(self.answer, GraphError):
            raise self.answer
        return FreshToken(self.answer, NOW + timedelta(days=2))

    async def inspect(self, login: Login, token: SecretStr) -> TokenFacts | None:
        return None


@pytest.fixture
def written(request: pytest.FixtureRequest, database: sa.Engine, tmp_path: Path) -> Callable[[], bytes]:
    """Every byte of the database's files, its logs of changes included."""
    if database.dialect.name == "sqlite":
        folder = tmp_path
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        folder = server.data.parent

    def read() -> bytes:
        if database.dialect.name == "postgresql":
            server.execute("checkpoint")
        files = [path for path in folder.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)

    return read


async def test_no_token_and_no_key_is_in_any_byte_of_the_database_the_logs_or_an_error(
    database: sa.Engine, written: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys, meta = [new_key(), new_key()], Meta()
    errors: list[Exception] = []
    vault = TokenVault(database, KeyRing([keys[0]]), meta, clock=lambda: NOW)

    def store(token: SecretStr) -> None:
        with database.begin() as db:
            vault.store(
                db,
                email="searched-for@b.example",
                login="facebook",
                account_id="17841400000000001",
                username="acme.studio",
                token=token,
                expires_at=NOW + timedelta(days=2),
            )

    store(FIRST)
    assert await vault.token_of("acme.studio") == SECOND
    for failure in (UnreachableError("no answer"), TokenDeadError("gone", cause="expired", advice="Connect again.")):
        meta.answer = failure
        with pytest.raises(GraphError) as refused:
            await vault.refresh_now("acme.studio", SECOND)
        errors.append(refused.value)
    store(THIRD)
    with pytest.raises(KeyRingError) as unread:
        await TokenVault(database, KeyRing([keys[1]]), meta, clock=lambda: NOW).token_of("acme.studio")
    errors.append(unread.value)
    rotating = TokenVault(database, KeyRing(keys[::-1]), meta, clock=lambda: NOW)
    assert rotating.rotate() == 1
    with pytest.raises(sa.exc.IntegrityError) as collided, database.begin() as db:
        row = dict(db.execute(sa.select(user_tokens)).one()._mapping)
        db.execute(sa.insert(user_tokens).values(row | {"id": None, "access_token": PARAMETER}))
    errors.append(collided.value)
    with database.begin() as db:
        disconnect(db, by_account_key(db, "acme.studio").id, now=NOW)

    bytes_written, said = written(), caplog.text + "".join(map(_whole, errors))
    assert b"searched-for@b.example" in bytes_written  # the search finds what is there
    assert "user_tokens" in said
    assert PARAMETER not in said
    for secret in (*(token.get_secret_value() for token in (FIRST, SECOND, THIRD)), *map(_key, keys)):
        assert secret.encode() not in bytes_written
        assert secret not in said


def _whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)


def _key(key: SecretStr) -> str:
    return key.get_secret_value().rstrip("=")
