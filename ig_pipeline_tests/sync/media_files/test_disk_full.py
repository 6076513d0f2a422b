"""A small disk that is full in the middle of a backfill; larger disks and other fillers are in `make chaos-media`."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from ig_pipeline.media_store import parts
from ig_pipeline.storage import media_items, tables
from ig_pipeline_tests.chaos.disk_full import MEGABYTE, small_disk
from ig_pipeline_tests.chaos.trial import CannotTryError
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Make

pytestmark = [pytest.mark.anyio, sqlite_only]


@pytest.mark.parametrize("reserve", [parts.RESERVE, 0], ids=["to the reserve", "to the last byte"])
async def test_a_full_disk_ends_a_backfill_at_once_in_words_and_whole(
    library: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserve: int
) -> None:
    monkeypatch.setattr(parts, "RESERVE", reserve)
    try:
        with small_disk(tmp_path / "disk", reserve + MEGABYTE) as disk:
            media = library(*["image"] * 60, media_url=str(disk.path))
            result = await media.backfill()
            assert (result.status, result.error_type) == ("partial", "StoreFullError")
            assert "Make room" in (result.error or "")
            assert result.tally.files["failed"] <= 16  # one for each download under way
            media.check_whole(complete=False)
            assert [row["status"] for row in media.small.rows(tables.media_backfills)] == ["partial"]
            disk.resize(reserve + 20 * MEGABYTE)
            assert (await media.backfill()).status == "complete"
            media.check_whole()
    except CannotTryError as error:
        pytest.skip(str(error))


async def test_a_database_without_room_ends_it_at_once_and_the_next_backfill_writes_the_rows(
    library: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = library(*["image"] * 12)

    def full(*_: object) -> None:
        raise sa.exc.OperationalError("insert", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(media_items, "index", full)
        result = await media.backfill()
    assert (result.status, result.error_type) == ("failed", "DatabaseUnreachableError")
    assert "Make room" in (result.error or "")
    media.check_whole(complete=False, waiting=media.without_row())
    (row,) = media.small.rows(tables.media_backfills)
    assert row["status"] == "interrupted"
    assert "Make room" in row["errors"][0]
    assert (await media.backfill()).status == "complete"
    media.check_whole()
    assert [row["status"] for row in media.small.rows(tables.media_backfills)] == ["recovered", "complete"]
