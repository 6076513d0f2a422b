"""One process at a time holds a lease; one that is not renewed ends by itself."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from ig_pipeline.storage import leases

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + leases.LIFETIME


def test_one_holds_it_and_renews_it_and_others_get_it_when_it_is_over(database: sa.Engine) -> None:
    with database.begin() as db:
        assert leases.take(db, "deletions", owner="a", now=NOW)
        assert leases.take(db, "another", owner="b", now=NOW)
        assert not leases.take(db, "deletions", owner="b", now=NOW)
        assert leases.take(db, "deletions", owner="a", now=NOW + timedelta(minutes=1))
        assert not leases.take(db, "deletions", owner="b", now=LATER)
        assert leases.take(db, "deletions", owner="b", now=LATER + timedelta(minutes=1))
        leases.release(db, "deletions", owner="a")
        assert leases.is_taken(db, "deletions", now=LATER + timedelta(minutes=1))


def test_it_is_given_back_at_the_end_whatever_happened(database: sa.Engine) -> None:
    held = partial(leases.held, database.begin, "deletions", clock=lambda: NOW)
    with pytest.raises(ValueError, match="broke"), held(owner="a") as mine:
        assert mine
        with held(owner="b") as too:
            assert not too
        raise ValueError("broke")
    with held(owner="b") as mine:
        assert mine


def test_who_holds_it_renews_it_for_as_long_as_it_works(database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEWED_EVERY_S", 0.01)
    now, renewed = [NOW], threading.Event()
    take = leases.take

    def watched(db: sa.Connection, name: str, *, owner: str, now: datetime) -> bool:
        taken = take(db, name, owner=owner, now=now)
        if now == LATER:
            renewed.set()
        return taken

    monkeypatch.setattr(leases, "take", watched)
    with leases.held(database.begin, "deletions", owner="a", clock=lambda: now[0]):
        now[0] = LATER
        assert renewed.wait(30)
    with database.begin() as db:
        assert not leases.is_taken(db, "deletions", now=NOW)


def test_of_two_that_take_it_at_once_one_gets_it(database: sa.Engine) -> None:
    start, got = threading.Barrier(2), []

    def take(owner: str) -> None:
        start.wait(30)
        with database.begin() as db:
            got.append(leases.take(db, "deletions", owner=owner, now=NOW))

    threads = [threading.Thread(target=take, args=(owner,)) for owner in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == [False, True]
