"""Media files cell by cell: green when the day's files are all there, red when one is missing, each told apart."""

from collections.abc import Sequence
from datetime import date, timedelta

import httpx
import pytest

from ig_pipeline.simulator.posts import Post
from ig_pipeline.storage import tables
from ig_pipeline.sync.media_files.results import BackfillResult
from ig_pipeline.sync.media_files.runs import media_file_days
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Library, Make
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account

pytestmark = pytest.mark.anyio

LAST = NEWEST.date()
ONLY_FILES = {"assets": ["media_files"]}


def days(count: int) -> list[date]:
    return [LAST - timedelta(days=n) for n in reversed(range(count))]


async def test_each_day_is_a_cell_with_its_files_bytes_and_calls(library: Make) -> None:
    media = library(*["image", "album 2", "video"] * 9)  # nine posts a day for three days
    results = await media.fill_days(days(5))
    assert sorted(result.date for result in results) == days(5)
    assert {result.status for result in results} == {"complete"}
    by_day = {result.date: result for result in results}
    assert [by_day[day].rows for day in days(5)] == [0, 0, 12, 12, 12]
    assert by_day[LAST].values["posts"] == 9
    assert sum(result.calls for result in results) == 2
    stored = sum(row["file_size_bytes"] for row in media.rows())
    assert sum(int(result.values["bytes"] or 0) for result in results) == stored
    media.check_whole()
    ledger = media.small.rows(tables.instagram_sync_logs)
    assert [(row["asset"], row["status"]) for row in ledger] == [("media_files", "complete")] * 5


@sqlite_only
async def test_days_without_posts_are_complete_with_nothing(library: Make) -> None:
    media = library("image")
    (result,) = await media.fill_days([LAST - timedelta(days=40)])
    assert (result.status, result.rows) == ("complete", 0)
    assert not media.rows()


@sqlite_only
async def test_one_lost_file_makes_its_day_red_and_only_that_one(library: Make) -> None:
    media = library(*["image"] * 27)
    bad = posts(media)[12]
    media.small.simulator.cdn.faults[bad.id].extend(["html"] * 5)
    results = {result.date: result for result in await media.fill_days(days(3))}
    assert [results[day].status for day in days(3)] == ["complete", "failed", "complete"]
    assert results[bad.day].rows == 8
    assert bad.id in (results[bad.day].error or "")
    media.small.simulator.cdn.faults.clear()
    (again,) = await media.fill_days([bad.day])
    assert (again.status, again.rows, again.values["duplicates"]) == ("complete", 1, 8)
    media.check_whole()


async def test_a_day_that_lacks_a_file_the_cdn_did_not_deliver_is_asked_for_again_by_itself(library: Make) -> None:
    media = library(*["image"] * 27)
    bad = posts(media)[12]
    media.small.simulator.cdn.faults[bad.id].extend(["status 503"] * 4)
    results = {result.date: result for result in await media.fill_days(days(3))}
    assert [results[day].status for day in days(3)] == ["complete", "failed", "complete"]
    (request,) = media.small.rows(tables.sync_requests)
    assert (request["kind"], request["requested_by"], request["options"]) == ("media_files", "retry", ONLY_FILES)
    assert (request["first"], request["last"]) == (bad.day, bad.day)
    assert results[bad.day].retry_at == request["not_before"] > media.small.clock()
    (again,) = await media.fill_days([bad.day])
    assert (again.status, again.rows, again.retry_at) == ("complete", 1, None)
    media.check_whole()


async def test_days_of_a_listing_that_meta_did_not_answer_are_asked_for_again_by_themselves(library: Make) -> None:
    media = library(*["image"] * 27)
    small, ended = media.small, list[BackfillResult]()
    async with small.services_over(lambda _: httpx.Response(503)) as services, open_media(small.settings) as files:
        cells = {media.key: days(3)}
        filled = media_file_days(services, files, cells, run_id="run", triggered_by="test", ended=ended.append)
        results = [result async for result in filled]
    (request,) = small.rows(tables.sync_requests)
    assert {(result.status, result.retry_at) for result in results} == {("failed", request["not_before"])}
    assert (request["kind"], request["options"]) == ("media_files", ONLY_FILES)
    assert (request["first"], request["last"]) == (days(3)[0], LAST)


@sqlite_only
async def test_what_a_limit_left_out_is_not_fetched_by_asking_again(library: Make) -> None:
    media = library(*["image"] * 9)
    media.small.simulator.cdn.faults[posts(media)[3].id].extend(["status 503"] * 4)
    await media.backfill(limit=100)
    assert [result.status for result in media.days if result.date == LAST] == ["failed"]
    assert not media.small.rows(tables.sync_requests)


def posts(media: Library) -> Sequence[Post]:
    """The account's posts, as the simulator has them."""
    assert media.account.archive is not None
    return media.account.archive


async def test_a_rate_limit_keeps_what_is_done_and_asks_for_the_rest_later(library: Make) -> None:
    media = library(*["image"] * 250)
    media.small.throttle(media.key, after=2, lasting=timedelta(minutes=30))
    wanted = days(28)
    results = {result.date: result for result in await media.fill_days(wanted)}
    assert set(results) == set(wanted)
    assert {result.status for result in results.values()} == {"complete", "deferred"}
    deferred = sorted(day for day, result in results.items() if result.status == "deferred")
    (request,) = media.small.rows(tables.sync_requests)
    assert (request["kind"], request["first"], request["last"]) == ("media_files", deferred[0], deferred[-1])
    assert request["not_before"] > media.small.clock()
    rows = {row["date"] for row in media.rows()}
    assert {day for day, result in results.items() if result.status == "complete"} <= rows
    media.check_whole(complete=False)


@sqlite_only
async def test_one_account_in_trouble_leaves_the_others_alone(library: Make) -> None:
    accounts = [
        archive_account(["image"] * 9, username="good.one", position=0),
        archive_account(["image"] * 9, username="revoked.one", position=1),
    ]
    media = library(accounts=accounts)
    media.small.revoke("revoked.one")
    results = await media.fill_days([LAST], "good.one", "revoked.one", "nobody")
    statuses = {result.account_key: (result.status, result.error_type) for result in results}
    assert statuses == {
        "good.one": ("complete", None),
        "revoked.one": ("failed", "TokenDeadError"),
        "nobody": ("failed", "UnknownAccountError"),
    }
    assert media.small.connection("revoked.one").status == "reconnect_required"


@sqlite_only
async def test_a_failed_listing_fails_the_days_it_did_not_reach(library: Make) -> None:
    media = library(*["image"] * 9)
    media.small.revoke(media.key)
    results = await media.fill_days(days(3))
    assert [result.status for result in results] == ["failed"] * 3
    assert not media.rows()
