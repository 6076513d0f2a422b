"""Days that a backfill from outside Dagster settles: whole ones alone, once, and failed ones with their reason."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from ig_pipeline.storage import tables
from ig_pipeline.storage.connections import mark_initial_backfill_requested
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.overview import standings
from ig_pipeline.sync.media_files.days import settled_by
from ig_pipeline.sync.media_files.results import BackfillOptions
from ig_pipeline.sync.plan import Window
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Library, Make
from ig_pipeline_tests.sync.media_files.worlds import NEWEST

pytestmark = pytest.mark.anyio

LAST = NEWEST.date()  # yesterday, by the small world's clock
FIVE = [LAST - timedelta(days=n) for n in reversed(range(5))]


def ledger(media: Library) -> list[tuple[date, str, int]]:
    rows = media.small.rows(tables.instagram_sync_logs)
    assert {row["asset"] for row in rows} <= {"media_files"}
    return [(row["date"], row["status"], row["rows"]) for row in rows]


async def test_every_day_of_the_grid_is_settled_and_older_posts_are_fetched_without_a_cell(library: Make) -> None:
    media = library(*["image"] * 63, first_day=FIVE[0])  # nine a day, of seven days
    await media.backfill()
    assert len(media.rows()) == 63
    assert sorted(ledger(media)) == [(day, "complete", 9) for day in FIVE]
    assert sorted(result.date for result in media.days) == FIVE
    assert {result.values["posts"] for result in media.days} == {9}


async def test_a_second_backfill_finds_the_days_complete_and_adds_no_rows(library: Make) -> None:
    media = library(*["image"] * 12, first_day=FIVE[0])
    await media.backfill()
    before = ledger(media)
    await media.backfill()
    assert ledger(media) == before
    assert [(result.status, result.rows) for result in media.days] == [("complete", 0)] * 5
    assert sum(int(result.values["duplicates"] or 0) for result in media.days) == 12


@sqlite_only
async def test_a_limit_settles_the_days_it_got_through_and_no_other(library: Make) -> None:
    media = library(*["image"] * 27, first_day=FIVE[0])
    await media.backfill(limit=5)
    assert ledger(media) == []
    await media.backfill(limit=9)  # four of the newest day, five of the one before
    assert ledger(media) == [(LAST, "complete", 4)]
    await media.backfill(limit=30)  # not reached: the listing came to its end
    assert sorted(result.date for result in media.days) == FIVE


@sqlite_only
async def test_a_limit_counts_what_a_run_took_that_died_and_not_what_one_took_that_ended(library: Make) -> None:
    media = library(*["image"] * 27, first_day=FIVE[0])
    limited = BackfillOptions(limit=5)
    await media.fill_days([LAST], options=limited)
    assert len(media.rows()) == 5
    await media.fill_days([LAST], options=limited)
    assert len(media.rows()) == 10
    with media.small.engine.begin() as db:  # as if the second had been killed after its last file
        last = sa.select(sa.func.max(tables.media_backfills.c.id)).scalar_subquery()
        killed = tables.media_backfills.update().where(tables.media_backfills.c.id == last)
        db.execute(killed.values(status="running", counts={}, finished_at=None))
        newest = tables.media_items.c.id > 7  # two came before it, three were left to do
        db.execute(tables.media_items.delete().where(newest))
        db.execute(tables.media_items.update().where(tables.media_items.c.id <= 5).values(backfilled_at=NEWEST))
    await media.fill_days([LAST], options=limited)
    assert len(media.rows()) == 10


@sqlite_only
async def test_flags_settle_days_beyond_the_cells_of_the_run(library: Make) -> None:
    media = library(*["image"] * 9, first_day=FIVE[0])
    results = await media.fill_days([LAST], options=BackfillOptions())
    assert sorted(result.date for result in results) == FIVE


@sqlite_only
async def test_a_limit_within_an_album_leaves_its_day_open(library: Make) -> None:
    media = library("image", "album 4", first_day=FIVE[0])
    await media.backfill(limit=3)
    assert len(media.rows()) == 3
    assert ledger(media) == []


@sqlite_only
async def test_a_dry_run_and_stories_alone_settle_nothing(library: Make) -> None:
    media = library(*["image"] * 9, first_day=FIVE[0])
    await media.backfill(dry_run=True)
    await media.backfill(media_types="stories")
    assert (ledger(media), media.days) == ([], [])


NOW = datetime(2026, 11, 20, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (BackfillOptions(), Window(FIVE[0], LAST)),
        (BackfillOptions("feed"), Window(FIVE[0], FIVE[3])),  # a story of yesterday may still be alive
        (BackfillOptions(since=FIVE[2]), Window(FIVE[2], LAST)),
        (BackfillOptions(since=date(2011, 1, 1)), Window(FIVE[0], LAST)),
        (BackfillOptions(since=LAST + timedelta(days=1)), None),  # today is still running
        (BackfillOptions("feed", since=LAST), None),
        (BackfillOptions(limit=5), Window(FIVE[0], LAST)),
        (BackfillOptions("stories"), None),
        (BackfillOptions(dry_run=True), None),
    ],
)
async def test_what_is_asked_for_decides_which_days_can_be_settled(
    options: BackfillOptions, expected: Window | None
) -> None:
    assert settled_by(options, first_day=FIVE[0], now=NOW) == expected


@sqlite_only
async def test_a_lost_file_makes_its_day_failed_and_the_next_backfill_mends_it(library: Make) -> None:
    media = library(*["image"] * 18, first_day=FIVE[0])
    bad = (media.account.archive or ())[12]
    media.small.simulator.cdn.faults[bad.id].extend(["html"] * 5)
    await media.backfill()
    (failed,) = [result for result in media.days if result.status == "failed"]
    assert (failed.date, failed.rows) == (bad.day, 8)
    assert bad.id in (failed.error or "")
    media.small.simulator.cdn.faults.clear()
    await media.backfill()
    entries = [row for row in ledger(media) if row[0] == bad.day]
    assert entries == [(bad.day, "failed", 8), (bad.day, "complete", 1)]


@sqlite_only
async def test_a_lost_file_is_no_failed_day_of_the_first_backfill_of_numbers(library: Make) -> None:
    media = library(*["image"] * 3, first_day=LAST)
    connection = media.small.connection(media.key)
    with media.small.engine.begin() as db:
        mark_initial_backfill_requested(db, connection.id, first=LAST, last=LAST, now=media.small.clock())
    media.small.simulator.cdn.faults["*"].append("html")
    await media.backfill()
    assert [status for _, status, _ in ledger(media)] == ["failed"]
    with reading(media.small.engine) as db:
        (standing,) = standings(db, initial_days=30)
    assert (standing.backfill.state, standing.backfill.failed) == ("running", 0)


@sqlite_only
async def test_a_day_that_was_put_off_is_noted_again_when_nothing_is_missing_any_more(library: Make) -> None:
    media = library(*["image"] * 9, first_day=LAST)
    await media.backfill()
    media.small.throttle(media.key, lasting=timedelta(minutes=30))
    await media.backfill()
    media.small.clock.advance(timedelta(hours=1))
    await media.backfill()
    assert [status for _, status, _ in ledger(media)] == ["complete", "deferred", "complete"]


@sqlite_only
async def test_a_dead_token_fails_the_days_asked_for_but_not_those_a_limit_might_never_have_reached(
    library: Make,
) -> None:
    media = library(*["image"] * 9, first_day=FIVE[0])
    media.small.revoke(media.key)
    limited = await media.backfill(limit=3)
    assert (limited.status, ledger(media)) == ("failed", [])
    media.small.connect(media.key, email=f"{media.key}@b.example")
    whole = await media.backfill()
    assert whole.status == "failed"
    assert ledger(media) == [(day, "failed", 0) for day in FIVE]
    assert {result.error_type for result in media.days} == {"TokenDeadError"}


async def test_what_a_rate_limit_left_over_is_asked_for_again_with_the_same_flags(library: Make) -> None:
    media = library(*["image"] * 250, first_day=FIVE[0])
    media.small.throttle(media.key, after=2, lasting=timedelta(minutes=30))
    result = await media.backfill(limit=240)
    assert result.status == "deferred"
    (request,) = media.small.rows(tables.sync_requests)
    assert (request["kind"], request["not_before"]) == ("media_files", result.retry_at)
    left = 240 - result.tally.taken
    assert request["options"] == {"media_type": "both", "limit": left, "since": None, "dry_run": False}
    assert "the rest is due at" in (result.error or "")


@sqlite_only
async def test_a_count_that_meets_a_rate_limit_says_when_to_ask_again_and_writes_nothing(library: Make) -> None:
    media = library(*["image"] * 9)
    media.small.throttle(media.key, lasting=timedelta(minutes=30))
    result = await media.backfill(dry_run=True)
    assert (result.status, media.small.rows(tables.sync_requests)) == ("deferred", [])
    assert "count again after 2026-11-20" in (result.error or "")


@sqlite_only
async def test_a_ledger_that_is_away_for_a_moment_is_caught_up(library: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    media = library(*["image"] * 27, first_day=FIVE[0])
    begin, refused = sa.Engine.begin, iter(range(2))

    def sometimes(engine: sa.Engine) -> object:
        if media.small.rows(tables.media_items) and next(refused, None) is not None:
            raise sa.exc.OperationalError("insert", {}, Exception("server closed the connection unexpectedly"))
        return begin(engine)

    monkeypatch.setattr(sa.Engine, "begin", sometimes)
    assert (await media.backfill()).status == "complete"
    assert sorted(day for day, _, _ in ledger(media)) == FIVE
