"""Requests for work: each becomes one run, not before its time."""

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.storage import sync_requests
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline_tests.storage.side_by_side import at_once

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 19)


def ask(
    db: sa.Connection,
    *,
    dedupe: str | None = None,
    account_key: str = "acme.studio",
    not_before: datetime | None = None,
) -> SyncRequest:
    return sync_requests.enqueue(
        db,
        kind="insights",
        account_key=account_key,
        first=DAY,
        last=DAY,
        requested_by="admin",
        reason="asked for",
        options={"assets": ["account_insights"]},
        dedupe=dedupe,
        not_before=not_before,
        now=NOW,
    )


def test_the_same_request_asked_for_twice_is_one(db: sa.Connection) -> None:
    assert ask(db, dedupe="x").id == ask(db, dedupe="x").id
    assert len(sync_requests.due(db, now=NOW)) == 1


def test_requests_without_a_dedupe_key_are_all_kept(db: sa.Connection) -> None:
    assert ask(db).id != ask(db).id
    assert sync_requests.waiting(db) == 2


def test_a_request_is_not_due_before_its_time(db: sa.Connection) -> None:
    later = ask(db, not_before=NOW + timedelta(minutes=19))
    assert sync_requests.due(db, now=NOW + timedelta(minutes=18)) == []
    assert sync_requests.due(db, now=NOW + timedelta(minutes=19)) == [later]


def test_a_request_is_launched_by_one(db: sa.Connection) -> None:
    made = ask(db)
    assert sync_requests.mark_launched(db, made.id, run_id="r1", now=NOW)
    assert not sync_requests.mark_launched(db, made.id, run_id="r2", now=NOW)
    assert sync_requests.mark_done(db, made.id)
    assert not sync_requests.mark_failed(db, made.id, detail="too late")
    stored = sync_requests.by_id(db, made.id)
    assert stored is not None
    assert (stored.status, stored.run_id, stored.options) == ("done", "r1", {"assets": ["account_insights"]})


def test_what_is_under_way_or_over_may_be_asked_for_again(db: sa.Connection) -> None:
    first = ask(db, dedupe="x")
    sync_requests.mark_launched(db, first.id, run_id="r1", now=NOW)
    second = ask(db, dedupe="x")
    assert second.id != first.id
    sync_requests.mark_failed(db, second.id, detail="no")
    assert ask(db, dedupe="x").id not in (first.id, second.id)


def test_counts_and_a_sentence_of_the_run_outlive_the_mark_of_its_end(db: sa.Connection) -> None:
    made, other = ask(db), ask(db)
    sync_requests.mark_launched(db, made.id, run_id="r1", now=NOW)
    counts = {"downloaded": 3}
    assert sync_requests.note_counts(db, [made.id], "somebody", counts=counts, detail=None) == []
    assert sync_requests.note_counts(db, [made.id], made.account_key, counts=counts, detail="So.") == [made.id]
    assert sync_requests.mark_done(db, made.id, run_id="r1")
    stored, untouched = sync_requests.by_id(db, made.id), sync_requests.by_id(db, other.id)
    assert stored is not None and untouched is not None
    assert (stored.counts, stored.detail, untouched.counts) == (counts, "So.", None)


def test_many_who_ask_for_the_same_at_once_get_one_request(database: sa.Engine) -> None:
    asked: list[int] = []

    def once() -> None:
        with database.begin() as db:
            asked.append(ask(db, dedupe="x").id)

    at_once(*[once] * 6)
    with reading(database) as db:
        assert sync_requests.waiting(db) == 1
    assert len(set(asked)) == 1


def test_of_many_who_launch_a_request_at_once_one_does(database: sa.Engine) -> None:
    with database.begin() as db:
        made = ask(db)
    launched: list[bool] = []

    def once() -> None:
        with database.begin() as db:
            launched.append(sync_requests.mark_launched(db, made.id, run_id="r", now=NOW))

    at_once(*[once] * 6)
    assert sorted(launched) == [False] * 5 + [True]
