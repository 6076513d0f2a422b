"""Connections: their keys, their statuses, and the first backfill that is claimed once."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from ig_pipeline.graph_api.accounts import read_account
from ig_pipeline.storage import connections
from ig_pipeline.storage.connections import Connection, UnknownAccountError
from ig_pipeline.storage.database import reading
from ig_pipeline_tests.hostile import USERNAMES
from ig_pipeline_tests.storage.side_by_side import at_once

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def connect(
    db: sa.Connection,
    *,
    email: str = "a@b.example",
    account_id: str = "17841400000000001",
    username: str = "acme.studio",
) -> Connection:
    return connections.connect(
        db,
        email=email,
        login="facebook",
        account_id=account_id,
        username=username,
        encrypt=lambda connection_id: f"sealed for {connection_id}",
        expires_at=NOW + timedelta(days=60),
        scopes="instagram_basic",
        now=NOW,
    )


def test_the_key_is_the_username_and_stays_when_the_username_changes(db: sa.Connection) -> None:
    first = connect(db)
    again = connect(db, username="acme.renamed")
    assert first.account_key == again.account_key == "acme.studio"
    assert (again.id, again.username) == (first.id, "acme.renamed")
    assert again.token_version > first.token_version


def test_two_users_of_one_account_have_a_key_each(db: sa.Connection) -> None:
    assert [connect(db, email=f"{n}@b.example").account_key for n in range(3)] == [
        "acme.studio",
        "acme.studio-2",
        "acme.studio-3",
    ]


@pytest.mark.parametrize("username", ["a|b", "a,b", "a b", "a...b", "../x", "ä", "", "a" * 5000])
def test_a_key_is_always_legal_in_a_partition(db: sa.Connection, username: str) -> None:
    key = connect(db, username=username).account_key
    assert key
    assert not set(key) & set("|, /\\")
    assert "..." not in key
    assert len(key) <= 60


@pytest.mark.parametrize(("username", "expected"), USERNAMES.items())
def test_a_key_is_no_path_no_option_and_no_formula(db: sa.Connection, username: str, expected: str) -> None:
    read = read_account({"id": "178", "username": username}, "facebook")
    made = connect(db, username=read.username)
    assert (made.account_key, made.username) == (expected, read.username)


def test_an_email_is_the_same_user_however_it_is_written(db: sa.Connection) -> None:
    assert connect(db).u_id == connect(db, email=" A@B.example ").u_id


def test_connecting_again_revives_a_dead_connection(db: sa.Connection) -> None:
    first = connect(db)
    connections.mark_reconnect_required(db, first.id, message="Connect again.", now=NOW)
    assert connections.list_connections(db, statuses=[connections.CONNECTED]) == []
    assert connect(db).status == connections.CONNECTED
    assert connections.by_id(db, first.id).status_message is None


def test_a_first_backfill_is_claimed_once_and_its_window_never_moves_until_it_is_taken_back(db: sa.Connection) -> None:
    made = connect(db)
    assert made.initial_backfill_requested_at is None
    first, last = date(2026, 10, 21), date(2026, 11, 19)
    assert connections.mark_initial_backfill_requested(db, made.id, first=first, last=last, now=NOW)
    assert not connections.mark_initial_backfill_requested(db, made.id, first=last, last=last, now=NOW)
    assert connections.by_id(db, made.id).initial_backfill_first == first
    assert connections.by_id(db, made.id).initial_backfill_requested_at == NOW
    connections.take_back_initial_backfill(db, made.id)
    assert connections.by_id(db, made.id) == made
    assert connections.mark_initial_backfill_requested(db, made.id, first=last, last=last, now=NOW)


def test_an_unknown_key_says_where_the_known_ones_are(db: sa.Connection) -> None:
    with pytest.raises(UnknownAccountError, match="ig-pipeline connections list"):
        connections.by_account_key(db, "nobody")


def test_one_consent_that_comes_back_twice_at_once_is_one_connection(database: sa.Engine) -> None:
    def consent() -> None:
        with database.begin() as db:
            connect(db)

    at_once(*[consent] * 6)
    with reading(database) as db:
        assert [made.account_key for made in connections.list_connections(db)] == ["acme.studio"]


def test_users_who_connect_one_account_at_once_have_a_key_each(database: sa.Engine) -> None:
    def consent(number: int) -> None:
        with database.begin() as db:
            connect(db, email=f"{number}@b.example")

    at_once(*(partial(consent, number) for number in range(6)))
    with reading(database) as db:
        keys = {made.account_key for made in connections.list_connections(db)}
    assert keys == {"acme.studio", *(f"acme.studio-{number}" for number in range(2, 7))}
