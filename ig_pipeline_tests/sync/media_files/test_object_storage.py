"""The library in object storage: as whole as in a folder, also where the service refuses one write in five."""

import pytest

from ig_pipeline.media_store.object_storage import ObjectStorage
from ig_pipeline_tests.chaos.refusing_store import refusing_s3
from ig_pipeline_tests.media_store.conftest import s3_store
from ig_pipeline_tests.sync.harness import sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Make

pytestmark = [pytest.mark.anyio, sqlite_only]


async def test_a_store_that_refuses_one_write_in_five_ends_with_a_whole_library(library: Make) -> None:
    media = library(*["image", "album 3", "video"] * 5)
    with refusing_s3() as s3:
        spool = media.small.settings.home / "media_spool"
        client = s3_store(s3.address, "refusing", retries=8)  # the product's own: one file may be refused several times
        media.store = ObjectStorage(client, location="s3://refusing", spool=spool)
        result = await media.backfill()
        assert (result.status, result.tally.new) == ("complete", 25)
        assert s3.refused
        media.check_whole()
