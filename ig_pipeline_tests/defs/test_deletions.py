"""After a deletion a search finds nothing of the account: not in a database file, a media file, a log or Dagster."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.reporting import GridReporter
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.storage import daily_metrics, deletion_requests, oauth_states, tables
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.user_data import export
from ig_pipeline.sync.plan import Rectangle
from ig_pipeline_tests.defs.stand_ins import FIRST, World, complete, run_rectangle

GONE, STAYS = "gone.canary", "stays.studio"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A persistent instance: its files are what is searched."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield World(tmp_path, instance)


def test_nothing_of_a_deleted_account_is_found_anywhere(world: World, tmp_path: Path) -> None:
    gone, stays = world.connect(GONE, STAYS)
    world.sensor_tick("new_connections", launch=False)
    world.add_to_grid(GONE, STAYS)
    run_rectangle(world.definitions, world.instance, Rectangle((GONE, STAYS), FIRST, FIRST + timedelta(days=1)))
    GridReporter(world.instance).report([complete("account_insights", GONE, FIRST + timedelta(days=4))])
    for connection in (gone, stays):
        _history(world, connection)
    assert _found(tmp_path, GONE, gone.email, gone.account_id)
    with world.pipeline.writing() as db:
        code = deletion_requests.request(db, [gone], origin="admin", now=world.now).code
        oauth_states.start(db, state="s", browser="b", email=gone.email, login="facebook", now=world.now)
    world.now += timedelta(minutes=1)
    world.sensor_tick("deletions")
    with world.pipeline.reading() as db:
        tombstone = deletion_requests.by_code(db, code)
        assert export(db, gone.email) is None
        kept = export(db, stays.email)
    assert tombstone is not None
    assert (tombstone.status, tombstone.targets) == ("done", ())
    assert tombstone.erased["files"] == 1
    assert kept is not None
    assert kept["tables"]["metrics"]
    assert list(world.instance.get_dynamic_partitions(str(ACCOUNTS.name))) == [STAYS]
    assert not _found(tmp_path, GONE, gone.email, gone.account_id)
    assert len(list(open_store(world.settings).keys("instagram_backfill"))) == 1


def test_a_deletion_waits_for_the_run_under_way(world: World) -> None:
    [gone] = world.connect(GONE)
    with world.pipeline.writing() as db:
        deletion_requests.request(db, [gone], origin="meta", now=world.now)
    world.sensor_tick("new_connections")
    world.instance.create_run_for_job(dg.job(name="busy")(lambda: None))
    world.sensor_tick("deletions")
    with world.pipeline.reading() as db:
        assert deletion_requests.waiting(db)


def _history(world: World, connection: Connection) -> None:
    """A day of numbers and a file of the account."""
    owner = {"u_id": connection.u_id, "account_id": connection.account_id}
    key = f"instagram_backfill/{connection.id}.jpg"
    path = world.settings.home / "media" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"picture of {connection.account_key}".encode())
    item = {
        **owner,
        "instagram_media_id": f"17{connection.id}",
        "date": FIRST,
        "posted_at": world.now,
        "backfilled_at": world.now,
        "file_path": key,
        "file_name": path.name,
        "file_hash": f"hash{connection.id}",
        "file_size_bytes": 1,
        "mime_type": "image/jpeg",
        "category": "instagram_backfill",
        "source_type": "instagram",
        "source_identifier": connection.account_key,
        "media_type": "IMAGE",
    }
    day = {**owner, "date": FIRST, "source": "instagram", "reach": 1, "engagement": 1, "observed_at": world.now}
    with world.pipeline.writing() as db:
        daily_metrics.save(db, [day])
        db.execute(sa.insert(tables.media_items).values(item))


def _found(folder: Path, *words: str) -> list[str]:
    """Files below `folder` whose name or bytes hold one of `words`."""
    return [
        f"{word} in {path.relative_to(folder)}"
        for path in folder.rglob("*")
        for word in words
        if word in path.name or (path.is_file() and word.encode() in path.read_bytes())
    ]
