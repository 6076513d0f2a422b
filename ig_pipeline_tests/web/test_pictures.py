"""Top posts with their pictures, out of the library and nowhere else."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydantic import SecretStr

from ig_pipeline.simulator.world import World
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.media_files.results import BackfillOptions, Watcher
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.session import SyncRun
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import archive_account
from ig_pipeline_tests.web.front_door import API_TOKEN, PAGE, READER, FrontDoor, front_door

pytestmark = pytest.mark.anyio
KEY = "acme.library"
SHAPES = ["image", "video", "album 2", "gone"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallWorld]:
    """One account: a picture, a reel, an album, and a post whose file Meta withholds."""
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    with small_world(url, tmp_path / "data", world=World(given=[archive_account(SHAPES)])) as small:
        small.connect_all()
        yield small


@pytest.fixture
def door(small: SmallWorld) -> Iterator[FrontDoor]:
    with front_door(small, api_token=SecretStr(API_TOKEN)) as door:
        yield door


async def fill_library(small: SmallWorld) -> None:
    async with open_services(small.settings, clock=small.clock) as services, open_media(small.settings) as media:
        run, all_of_it = SyncRun(services, "r"), BackfillOptions()
        done = await backfill_account(run, media, KEY, all_of_it, Watcher(), triggered_by="test")
        assert done.status == "complete"


async def test_a_post_in_the_library_is_shown_by_its_own_picture(door: FrontDoor, small: SmallWorld) -> None:
    await small.sync([KEY], days=3)
    before = door.client.get(f"/accounts/{KEY}", headers=READER | PAGE)
    assert "/pictures/" not in before.text
    await fill_library(small)
    page = door.client.get(f"/accounts/{KEY}", headers=READER | PAGE)
    addresses = set(re.findall(rf'"(/pictures/{KEY}/\d+)"', page.text))
    assert len(addresses) == 3
    for address in addresses:
        answer = door.client.get(address, headers=READER)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert 0 < max(shown.size) <= 640
    assert "fbcdn" not in page.text and "oe=" not in page.text


async def test_a_picture_is_for_readers_only_and_a_post_without_one_says_so(door: FrontDoor, small: SmallWorld) -> None:
    await fill_library(small)
    archive = small.world.accounts[0].archive
    assert archive is not None
    shown, withheld = archive[0].id, archive[3].id
    assert door.client.get(f"/pictures/{KEY}/{shown}").status_code == 401
    assert door.client.get(f"/pictures/{KEY}/{withheld}", headers=READER).status_code == 404
    assert door.client.get(f"/pictures/nobody/{shown}", headers=READER).status_code == 404
    assert door.client.get(f"/pictures/{KEY}/..%2f..%2fkeys", headers=READER).status_code == 404
