"""What goes wrong with files, accounts or the store, and what of the library is left: always a whole one."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ig_pipeline.media_store.errors import StoreError, StoreFullError
from ig_pipeline.media_store.local_folder import LocalFolder
from ig_pipeline.media_store.naming import file_stem
from ig_pipeline.media_store.parts import Part
from ig_pipeline.media_store.sniffing import FileType
from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.storage import media_backfills, tables
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Library, Make

pytestmark = pytest.mark.anyio

IMAGES = ("image",) * 12


def posts(media: Library) -> list[str]:
    assert media.account.archive is not None
    return [post.id for post in media.account.archive]


@sqlite_only
async def test_an_expired_url_is_read_again_once_and_costs_one_call(library: Make) -> None:
    media = library(*IMAGES, "album 3")
    album = (media.account.archive or ())[-1]
    for media_id in (posts(media)[2], posts(media)[5], album.children[0].id):
        media.small.simulator.cdn.faults[media_id].append("expired")
    result = await media.backfill(media_types="feed")
    assert result.status == "complete"
    assert media.small.calls_of(media.key) == 1 + 3
    media.check_whole()


@sqlite_only
async def test_a_file_that_is_gone_fails_alone_after_one_fresh_url(library: Make) -> None:
    media = library(*IMAGES)
    gone = posts(media)[3]
    media.small.simulator.cdn.faults[gone].extend(["status 404", "status 410"])
    result = await media.backfill(media_types="feed")
    assert (result.status, result.tally.new, result.tally.files["failed"]) == ("partial", 11, 1)
    assert gone in result.tally.errors[0]
    assert media.small.simulator.cdn.requests[gone] == 2
    media.check_whole(complete=False)
    again = await media.backfill(media_types="feed")
    assert (again.status, again.tally.new) == ("complete", 1)
    media.check_whole()


@sqlite_only
@pytest.mark.parametrize(
    "fault",
    ["html", "broken", "video", "cut-unsized", "oversize 3000000000", "status 500", "redirect http://10.0.0.1/"],
)
async def test_what_is_not_the_file_never_enters_the_library(library: Make, fault: str) -> None:
    media = library("image", "image", "image", max_media_bytes=2_000_000)
    bad = posts(media)[1]
    media.small.simulator.cdn.faults[bad].extend([fault] * 5)
    result = await media.backfill()
    assert (result.tally.new, result.tally.files["failed"]) == (2, 1)
    media.check_whole(complete=False)
    assert bad not in {row["instagram_media_id"] for row in media.rows()}


@sqlite_only
async def test_cuts_and_slowness_do_not_show_in_the_library(library: Make) -> None:
    media = library("video", "video", "image", "video")
    for media_id in posts(media):
        media.small.simulator.cdn.faults[media_id].extend(["cut 9000", "status 503", "cut 12000", "slow 0.01"])
    assert (await media.backfill()).status == "complete"
    media.check_whole()


@sqlite_only
async def test_at_most_twenty_errors_are_kept_and_all_are_counted(library: Make) -> None:
    media = library(*["image"] * 30)
    media.small.simulator.cdn.faults["*"].append("html")
    result = await media.backfill()
    assert (result.status, result.tally.files["failed"], len(result.tally.errors)) == ("partial", 30, 20)
    (row,) = media.small.rows(tables.media_backfills)
    assert len(row["errors"]) == 20
    assert not media.files()


class FullAfter(LocalFolder):
    """A disk that is full after so many files."""

    left = 5

    def commit(self, part: Part, key: str, file_type: FileType) -> None:
        if self.left == 0:
            part.discard()
            raise StoreFullError("No space is left for media files. Make room, then run the backfill again.")
        self.left -= 1
        super().commit(part, key, file_type)


@sqlite_only
async def test_a_full_disk_ends_the_backfill_in_words_and_the_library_is_whole(library: Make) -> None:
    media = library(*["image"] * 60)
    media.store = FullAfter(media.root)
    result = await media.backfill()
    assert (result.status, result.error_type, result.tally.new) == ("partial", "StoreFullError", 5)
    assert "Make room" in (result.error or "")
    assert result.tally.files["failed"] <= 16
    media.check_whole(complete=False)
    media.store = None
    assert (await media.backfill()).status == "complete"
    media.check_whole()


class Refusing(LocalFolder):
    """A store that refuses every fifth file."""

    asked = 0

    def commit(self, part: Part, key: str, file_type: FileType) -> None:
        self.asked += 1
        if self.asked % 5 == 0:
            part.discard()
            raise StoreError("The store refused this file.")
        super().commit(part, key, file_type)


@sqlite_only
async def test_files_that_a_store_refuses_come_with_the_next_backfill(library: Make) -> None:
    media = library(*["image"] * 20)
    for post in posts(media)[:10]:
        media.small.simulator.cdn.files[post] = CdnFile("the same", "image", 0)
    media.store = Refusing(media.root)
    first = await media.backfill()
    assert first.status == "partial"
    media.check_whole(complete=False)
    media.store = None
    assert (await media.backfill()).status == "complete"
    media.check_whole()


class Watched(LocalFolder):
    """A store that looks, whenever names are settled, which of them have a row already."""

    rows: Callable[[], list[dict[str, Any]]]

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.settled: list[str] = []
        self.too_early: set[str] = set()

    def settle(self, keys: Iterable[str]) -> None:
        named = list(keys)
        self.too_early |= {row["file_path"] for row in self.rows()} & set(named)
        super().settle(named)
        self.settled += named


@sqlite_only
async def test_a_row_is_written_only_when_its_files_name_would_outlive_a_power_cut(library: Make) -> None:
    media = library(*["image"] * 20)
    media.store = store = Watched(media.root)
    store.rows = media.rows
    assert (await media.backfill()).status == "complete"
    assert sorted(store.settled) == sorted(row["file_path"] for row in media.rows())
    assert not store.too_early


@sqlite_only
async def test_a_cancelled_backfill_leaves_no_part(library: Make) -> None:
    media = library(*["video"] * 8)
    media.small.simulator.cdn.faults["*"].append("slow 0.02")
    task = asyncio.create_task(media.backfill())
    while not list(media.root.rglob("*.part")):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(media.root.rglob("*.part"))
    media.small.simulator.cdn.faults.clear()
    await media.backfill()
    media.check_whole()


async def test_a_file_left_without_its_row_by_a_dead_process_is_looked_after(library: Make) -> None:
    """Three ways: of a post still listed, of one deleted since, and bytes that the library has under another name."""
    media = library(*IMAGES)
    await media.backfill(limit=4)
    connection = media.small.connection(media.key)
    with media.small.engine.begin() as db:
        media_backfills.begin(db, connection, run_id="dead", triggered_by="x", options={}, now=media.small.clock())
    folder = media.root / "instagram_backfill" / "1" / media.account.id
    content = next(folder.iterdir()).read_bytes()
    listed, unlisted = (media.account.archive or ())[6], "17900000000000017"
    other = CdnFile("other", "image", 0)
    media.small.simulator.cdn.files[posts(media)[7]] = other
    (folder / f"20261101_000000_{unlisted}.jpg").write_bytes(content[:2] + b"\xff\xfe\x00\x04aa" + content[2:])
    (folder / f"20261102_000000_{int(unlisted) + 1}.jpg").write_bytes(content)
    (folder / f"{file_stem(listed.id, listed.at)}.jpg").write_bytes(b"\xff\xd8\xffhalf")
    (folder / f"{file_stem(listed.id, listed.at)}.deadbeef.part").write_bytes(b"half")
    (folder / "my own holiday.txt").write_text("not ours")
    assert (await media.backfill()).status == "complete"
    rows = {row["instagram_media_id"]: row for row in media.rows()}
    assert rows[unlisted]["caption"] is None
    again = rows[str(int(unlisted) + 1)]
    assert sum(row["file_path"] == again["file_path"] for row in rows.values()) == 2
    files = media.files()
    assert not [name for name in files if name.endswith(".part")]
    assert {name for name in files if "holiday" in name}
    assert {row["file_path"] for row in rows.values()} == {name for name in files if "holiday" not in name}


async def test_two_backfills_of_one_account_at_once_leave_one_library(library: Make) -> None:
    media = library(*["image", "album 3"] * 10)
    for post in posts(media)[::2][:5]:
        media.small.simulator.cdn.files[post] = CdnFile("the same", "image", 0)
    results = await asyncio.gather(media.backfill(), media.backfill())
    assert {result.status for result in results} == {"complete"}
    media.check_whole()


@sqlite_only
async def test_a_revoked_token_ends_in_the_sentence_for_its_owner(library: Make) -> None:
    media = library(*IMAGES)
    media.small.revoke(media.key)
    result = await media.backfill()
    assert (result.status, result.error_type) == ("failed", "TokenDeadError")
    assert media.small.connection(media.key).status == "reconnect_required"


@sqlite_only
async def test_a_rate_limit_defers_what_is_left(library: Make) -> None:
    media = library(*["image"] * 250)
    media.small.throttle(media.key, after=2, lasting=timedelta(minutes=30))
    result = await media.backfill(media_types="feed")
    assert result.status == "deferred"
    assert result.retry_at is not None and result.retry_at > media.small.clock()
    media.check_whole(complete=False)


@sqlite_only
@pytest.mark.parametrize("size", [300_000, 3_000_000])
async def test_a_limit_on_bytes_keeps_larger_files_out(library: Make, size: int) -> None:
    media = library("video", "video", max_media_bytes=1_000_000)
    first, second = posts(media)
    media.small.simulator.cdn.files[first] = CdnFile("small", "video", 500_000)
    media.small.simulator.cdn.files[second] = CdnFile("size", "video", size)
    result = await media.backfill()
    assert result.tally.new == (2 if size < 1_000_000 else 1)
    assert result.tally.files["failed"] == (0 if size < 1_000_000 else 1)
