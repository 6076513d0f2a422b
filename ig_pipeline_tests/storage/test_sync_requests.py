"""Rows of the queue: each becomes part of one batch, not before its time, and ends once."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import sqlalchemy as sa
from alembic import command

from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.connections import mark_initial_backfill_requested, mark_reconnect_required
from ig_pipeline.storage.database import _alembic, _migrating, migrate, reading
from ig_pipeline.storage.sync_requests import DONE, FAILED, SyncRequest
from ig_pipeline.storage.tables import sync_requests as table
from ig_pipeline_tests.storage.side_by_side import at_once
from ig_pipeline_tests.storage.test_connections import connect

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 19)


def ask(
    db: sa.Connection,
    *,
    dedupe: str | None = None,
    account_key: str = "acme.studio",
    not_before: datetime | None = None,
    requested_by: str = "admin",
) -> SyncRequest:
    return sync_requests.enqueue(
        db,
        kind="insights",
        account_key=account_key,
        first=DAY,
        last=DAY,
        requested_by=requested_by,
        reason="asked for",
        options={"assets": ["account_insights"]},
        dedupe=dedupe,
        not_before=not_before,
        now=NOW,
    )


def claim(db: sa.Connection, *requests: SyncRequest, batch: str = "b1") -> list[int]:
    ids = [request.id for request in requests]
    return sync_requests.claim(db, ids, batch=batch, first=DAY, last=DAY, now=NOW)


def stored(db: sa.Connection, request: SyncRequest) -> SyncRequest:
    found = sync_requests.by_id(db, request.id)
    assert found is not None
    return found


def test_the_same_request_asked_for_twice_is_one(db: sa.Connection) -> None:
    assert ask(db, dedupe="x").id == ask(db, dedupe="x").id
    assert len(sync_requests.due(db, now=NOW)) == 1


def test_requests_without_a_dedupe_key_are_all_kept(db: sa.Connection) -> None:
    assert ask(db).id != ask(db).id
    assert len(sync_requests.recent(db)) == 2


def test_a_request_is_not_due_before_its_time(db: sa.Connection) -> None:
    later = ask(db, not_before=NOW + timedelta(minutes=19))
    assert sync_requests.due(db, now=NOW + timedelta(minutes=18)) == []
    assert sync_requests.due(db, now=NOW + timedelta(minutes=19)) == [later]


def test_what_the_pipeline_asks_for_waits_while_the_account_is_not_connected(db: sa.Connection) -> None:
    one = connect(db)
    own = ask(db, account_key=one.account_key, requested_by="rate_limit")
    asked = ask(db, account_key=one.account_key)
    assert sync_requests.due(db, now=NOW) == [own, asked]
    mark_reconnect_required(db, one.id, message="Connect again.", now=NOW)
    assert sync_requests.due(db, now=NOW) == [asked], "whoever asked gets an answer"


def test_a_request_is_claimed_by_one_batch_and_ends_once(db: sa.Connection) -> None:
    made = ask(db)
    assert claim(db, made, batch="b1") == [made.id]
    assert claim(db, made, batch="b2") == []
    sync_requests.note_run(db, "b1", run_id="r1")
    assert sync_requests.end(db, [made.id], status=DONE, now=NOW) == [made.id]
    assert sync_requests.end(db, [made.id], status=FAILED, detail="too late", now=NOW) == []
    found = stored(db, made)
    assert (found.status, found.batch, found.attempts, found.run_id, found.detail) == ("done", "b1", 1, "r1", None)
    assert found.options == {"assets": ["account_insights"]}


def test_a_request_that_is_queued_again_belongs_to_no_batch_and_counts_its_attempts(db: sa.Connection) -> None:
    made, later = ask(db), NOW + timedelta(minutes=5)
    claim(db, made)
    sync_requests.queue_again(db, made.id, not_before=later, detail="Its run died.")
    assert sync_requests.due(db, now=NOW) == []
    assert [request.id for request in sync_requests.due(db, now=later)] == [made.id]
    assert claim(db, made, batch="b2") == [made.id]
    assert (stored(db, made).batch, stored(db, made).attempts, stored(db, made).detail) == ("b2", 2, None)


def test_what_is_under_way_or_over_may_be_asked_for_again(db: sa.Connection) -> None:
    first = ask(db, dedupe="x")
    claim(db, first)
    second = ask(db, dedupe="x")
    assert second.id != first.id
    sync_requests.end(db, [second.id], status=FAILED, detail="no", now=NOW)
    assert ask(db, dedupe="x").id not in (first.id, second.id)


def test_counts_and_a_sentence_of_the_run_outlive_the_mark_of_its_end(db: sa.Connection) -> None:
    made, other = ask(db), ask(db)
    claim(db, made)
    counts = {"downloaded": 3}
    assert sync_requests.note_counts(db, "b1", "somebody", counts=counts, detail=None) == []
    assert sync_requests.note_counts(db, "b1", made.account_key, counts=counts, detail="So.") == [stored(db, made)]
    assert sync_requests.end(db, [made.id], status=DONE, run_id="r1", now=NOW)
    assert (stored(db, made).counts, stored(db, made).detail, stored(db, other).counts) == (counts, "So.", None)


def test_requests_that_ended_long_ago_are_pruned_and_no_others(db: sa.Connection) -> None:
    old, recent, queued, under_way = (ask(db) for _ in range(4))
    claim(db, under_way)
    sync_requests.end(db, [old.id], status=DONE, now=NOW)
    sync_requests.end(db, [recent.id], status=FAILED, detail="no", now=NOW + timedelta(days=1))
    assert sync_requests.prune(db, before=NOW + timedelta(seconds=1)) == 1
    left = {request.id for request in sync_requests.recent(db)}
    assert left == {recent.id, queued.id, under_way.id}


def test_many_who_ask_for_the_same_at_once_get_one_request(database: sa.Engine) -> None:
    asked: list[int] = []

    def once() -> None:
        with database.begin() as db:
            asked.append(ask(db, dedupe="x").id)

    at_once(*[once] * 6)
    with reading(database) as db:
        assert len(sync_requests.recent(db)) == 1
    assert len(set(asked)) == 1


def test_of_many_who_claim_a_request_at_once_one_does(database: sa.Engine) -> None:
    with database.begin() as db:
        made = ask(db)
    claimed: list[list[int]] = []

    def once(batch: str) -> None:
        with database.begin() as db:
            claimed.append(claim(db, made, batch=batch))

    at_once(*[partial(once, f"b{n}") for n in range(6)])
    assert sorted(claimed) == [[]] * 5 + [[made.id]]


def test_a_database_with_requests_of_before_gets_one_queue(database: sa.Engine) -> None:
    """What 0012 makes of first backfills that were marks on connections, and of requests in whatever state."""
    with database.begin() as db:
        new, begun, dead = (connect(db, account_id=f"17{n}", username=f"user{n}") for n in range(3))
        mark_initial_backfill_requested(db, begun.id, first=DAY, last=DAY, now=NOW)
        mark_reconnect_required(db, dead.id, message="Connect again.", now=NOW)
    with _migrating(database) as migrating:
        command.downgrade(_alembic(migrating), "0011")
        for n, (status, run_id) in enumerate((("queued", None), ("launched", "r1"), ("done", "r2"), ("failed", None))):
            migrating.execute(
                sa.text(
                    "insert into sync_requests (kind, account_key, first, last, requested_by, reason, options, "
                    "not_before, status, dedupe_key, run_id, created_at, launched_at) values ('insights', 'user1', "
                    "'2026-11-19', '2026-11-19', 'retry', 'down', '{}', :at, :status, :key, :run, :at, null)"
                ),
                {"at": "2026-11-20 12:00:00", "status": status, "key": f"k{n}", "run": run_id},
            )
    migrate(database)
    with reading(database) as db:
        found = sync_requests.recent(db)[::-1]
        ended = dict(db.execute(sa.select(table.c.status, table.c.ended_at)).all())
    asked = [(request.status, request.batch, request.attempts) for request in found[:4]]
    assert asked == [("queued", None, 0), ("launched", "r1", 1), ("done", None, 0), ("failed", None, 0)]
    assert (ended["done"], ended["failed"], ended["launched"]) == (NOW, NOW, None)
    firsts = [(request.account_key, request.requested_by, request.status) for request in found[4:]]
    assert firsts == [(one.account_key, "first_backfill", "queued") for one in (new, dead)]
    with database.begin() as db:
        later = NOW + timedelta(days=3650)
        assert [r.account_key for r in sync_requests.due(db, now=later, first_backfills=True)] == [new.account_key]
    with _migrating(database) as migrating:
        command.downgrade(_alembic(migrating), "0011")
        left = migrating.execute(sa.text("select count(*) from sync_requests")).scalar_one()
    assert left == 4, "the release before finds them by itself"
    migrate(database)
