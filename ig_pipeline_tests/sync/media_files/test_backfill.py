"""A backfill leaves exactly what the world has: every file, once, whole, with its row."""

from datetime import date, timedelta

import pytest

from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Make
from ig_pipeline_tests.sync.media_files.worlds import NEWEST

pytestmark = pytest.mark.anyio

FEW = ("image", "video", "album 4", "image", "gone", "album 2", "image")


async def test_a_backfill_leaves_exactly_the_worlds_files_and_one_row_each(library: Make) -> None:
    media = library(*FEW)
    result = await media.backfill()
    assert (result.status, result.tally.new, result.tally.files["failed"]) == ("complete", 10, 0)
    assert result.tally.items == len(FEW)
    media.check_whole()


async def test_a_second_backfill_downloads_nothing_and_reads_the_listing_alone(library: Make) -> None:
    media = library(*FEW)
    await media.backfill()
    before = (media.files(), media.rows(), sum(media.small.simulator.cdn.requests.values()))
    calls = media.small.calls_of(media.key)
    result = await media.backfill()
    assert (media.files(), media.rows(), sum(media.small.simulator.cdn.requests.values())) == before
    assert result.tally.as_dict()["skipped_duplicate"] == 10
    assert result.tally.new == 0
    assert media.small.calls_of(media.key) - calls == 2  # one page, one look at the stories


@sqlite_only
async def test_a_backfill_costs_a_page_per_hundred_posts_and_nothing_per_child(library: Make) -> None:
    media = library(*(["image"] * 20 + ["album 3"]) * 10)
    result = await media.backfill(media_types="feed")
    assert result.tally.new == 230
    assert media.small.calls_of(media.key) == 3
    assert result.calls == 3


async def test_the_row_says_what_the_file_is_and_where_it_came_from(library: Make) -> None:
    media = library("image", "video", "album 3")
    await media.backfill()
    rows = {row["instagram_media_id"]: row for row in media.rows()}
    archive = media.account.archive
    assert archive is not None
    image, video = rows[archive[0].id], rows[archive[1].id]
    assert image["file_name"] == f"20261119_200000_{archive[0].id}.jpg"
    assert image["file_path"] == f"instagram_backfill/{image['u_id']}/{media.account.id}/{image['file_name']}"
    assert (image["mime_type"], image["category"], image["source_type"]) == (
        "image/jpeg", "instagram_backfill", "instagram_post",
    )  # fmt: skip
    assert (image["caption"], image["source_identifier"]) == ("Post number 0", archive[0].id)
    assert image["width"] > 300 and image["duration_seconds"] is None
    assert (video["mime_type"], video["duration_seconds"], video["source_type"]) == ("video/mp4", 2.0, "instagram_reel")
    for child in archive[2].children:
        row = rows[child.id]
        assert (row["caption"], row["source_identifier"]) == ("Post number 2", archive[2].id)
        assert row["permalink"] and row["source_type"] == "instagram_carousel"
        assert row["posted_at"] == archive[2].at


async def test_the_same_bytes_of_two_posts_are_stored_once_and_indexed_twice(library: Make) -> None:
    media = library(*["image"] * 12)
    archive = media.account.archive
    assert archive is not None
    for post in archive:
        media.small.simulator.cdn.files[post.id] = CdnFile("the same", "image", 0)
    result = await media.backfill()
    assert result.tally.as_dict() | {"bytes": 0} == {
        "downloaded": 12, "same_bytes": 11, "skipped_duplicate": 0, "skipped_unsupported": 0, "failed": 0,
        "would_download": 0, "total_items": 12, "bytes": 0,
    }  # fmt: skip
    assert len(media.files()) == 1
    media.check_whole()


@sqlite_only
async def test_a_limit_gives_exactly_so_many_files_and_the_next_one_goes_on(library: Make) -> None:
    media = library(*["image", "album 4"] * 30)
    for expected in (5, 10):
        result = await media.backfill(limit=5, media_types="feed")
        assert result.tally.new == 5
        assert len(media.rows()) == len(media.files()) == expected
    assert media.small.calls_of(media.key) == 2
    media.check_whole(complete=False)


@sqlite_only
async def test_since_stops_paging_at_the_first_older_post(library: Make) -> None:
    media = library(*["image"] * 450)
    since = (NEWEST - timedelta(days=2)).date()
    await media.backfill(since=since, media_types="feed")
    assert {row["date"] for row in media.rows()} == {since, since + timedelta(days=1), since + timedelta(days=2)}
    assert media.small.calls_of(media.key) == 1


@sqlite_only
async def test_a_dry_run_counts_and_leaves_nothing_behind(library: Make) -> None:
    media = library(*FEW)
    result = await media.backfill(dry_run=True)
    assert (result.status, result.tally.files["would_download"]) == ("complete", 10)
    assert not media.rows()
    assert not media.root.exists()
    assert not media.small.rows(tables.media_backfills)
    assert not media.small.simulator.cdn.requests


@sqlite_only
async def test_a_post_whose_file_is_withheld_is_recorded_with_its_reason(library: Make) -> None:
    media = library("image", "gone")
    result = await media.backfill()
    assert result.status == "complete"
    assert result.tally.as_dict()["skipped_unsupported"] == 1
    assert "withholds" in next(iter(result.tally.reasons))
    absences = media.small.rows(tables.metric_absences)
    archive = media.account.archive
    assert archive is not None
    assert [(row["subject"], row["metric"], row["reason"]) for row in absences] == [
        (archive[1].id, "media_url", "withheld")
    ]


@sqlite_only
async def test_live_stories_are_saved_and_told_apart(library: Make) -> None:
    account = World(accounts=1).accounts[0]
    media = library(accounts=[account])
    live = account.live_stories(media.small.clock())
    assert live
    result = await media.backfill(media_types="stories")
    assert result.tally.new == len(live)
    rows = media.rows()
    assert {row["instagram_media_id"] for row in rows} == {story.id for story in live}
    assert {row["source_type"] for row in rows} == {"instagram_story"}
    media.small.clock.advance(timedelta(hours=25))
    again = await media.backfill(media_types="stories")
    assert {row["instagram_media_id"] for row in media.rows()} >= {story.id for story in live}
    assert again.tally.files["skipped_duplicate"] == 0


async def test_a_backfill_is_noted_with_who_asked_and_what_became_of_it(library: Make) -> None:
    media = library(*FEW)
    await media.backfill(since=date(2020, 1, 1))
    (row,) = media.small.rows(tables.media_backfills)
    assert (row["triggered_by"], row["status"], row["options"]["since"]) == ("test", "complete", "2020-01-01")
    assert row["counts"]["downloaded"] == 10
    assert row["finished_at"] is not None


@sqlite_only
async def test_no_address_of_a_file_is_in_any_table(library: Make) -> None:
    media = library(*FEW)
    await media.backfill()
    for table in tables.metadata.sorted_tables:
        for row in media.small.rows(table) if "id" in table.c else []:
            text = repr(row)
            assert "_cdn" not in text and "oh=" not in text and "oe=" not in text
