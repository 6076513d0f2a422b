"""What our event storages write and read, beside the shipped ones."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry

from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.dagster_storage.gathering import GATHERED
from ig_pipeline.dagster_storage.sqlite import BatchingSqliteEventLogStorage
from ig_pipeline.settings import Settings
from ig_pipeline_tests.dagster_storage.storages import (
    Place,
    events_of_runs,
    opened,
    postgres_place,
    sqlite_place,
    stored,
    without_numbers,
)
from ig_pipeline_tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[EventLogEntry]:
    return events_of_runs(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Two empty places of one kind."""
    if request.param == "sqlite":
        yield sqlite_place(tmp_path / "one"), sqlite_place(tmp_path / "two")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    urls = [server.create(), server.create()]
    yield postgres_place(urls[0]), postgres_place(urls[1])
    for url in urls:
        server.drop(url)


@pytest.fixture
def place(places: tuple[Place, Place]) -> Place:
    return places[0]


def asset_events(events: list[EventLogEntry]) -> list[EventLogEntry]:
    return [event for event in events if event.is_dagster_event and event.dagster_event_type in GATHERED]


def test_every_table_says_what_the_shipped_storage_writes(
    places: tuple[Place, Place], events: list[EventLogEntry]
) -> None:
    ours, shipped = places
    with opened(ours.ours()) as storage:
        stored(storage, events)
    with opened(shipped.shipped()) as storage:
        stored(storage, events)
    found = ours.rows()
    assert found == shipped.rows()
    kinds = {row["dagster_event_type"] for rows in found.values() for row in rows if "dagster_event_type" in row}
    assert {"ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED", "ASSET_OBSERVATION", "RUN_FAILURE"} <= {
        str(kind).replace("PIPELINE", "RUN") for kind in kinds
    }


def test_each_storage_continues_what_the_other_began(places: tuple[Place, Place], events: list[EventLogEntry]) -> None:
    mixed, shipped = places
    parts = [events[:20], events[20:50], events[50:]]
    for part, make in zip(parts, (mixed.shipped, mixed.ours, mixed.shipped), strict=True):
        with opened(make()) as storage:
            stored(storage, part)
    with opened(shipped.shipped()) as storage:
        stored(storage, events)
    assert mixed.rows() == shipped.rows()


def test_a_batch_is_stored_as_its_events_one_by_one(places: tuple[Place, Place], events: list[EventLogEntry]) -> None:
    batch, shipped = places
    some = asset_events(events)
    with opened(batch.ours()) as storage:
        storage.store_event_batch(some)
    with opened(shipped.shipped()) as storage:
        stored(storage, some)
    assert batch.rows() == shipped.rows()


def test_both_answer_the_questions_of_the_ui_alike(places: tuple[Place, Place], events: list[EventLogEntry]) -> None:
    ours, shipped = places
    answers: list[Any] = []
    for make in (ours.ours, shipped.shipped):
        with opened(make()) as storage:
            stored(storage, events)
            key = dg.AssetKey("numbers")
            [record] = storage.get_asset_records([key])
            materializations = storage.fetch_materializations(key, limit=100).records
            answers.append(
                (
                    storage.get_materialized_partitions(key),
                    record.asset_entry.last_run_id,
                    record.asset_entry.last_materialization_storage_id,
                    [(each.storage_id, each.partition_key) for each in materializations],
                    storage.get_event_tags_for_asset(key, {"dagster/partition/date": "2026-01-03"}),
                    {run: len(storage.get_logs_for_run(run)) for run in {event.run_id for event in events}},
                )
            )
    assert answers[0] == answers[1]
    assert "2026-01-05" in answers[0][0]


def test_one_s_own_reads_see_what_is_gathered(place: Place, events: list[EventLogEntry]) -> None:
    some = asset_events(events)
    with opened(place.ours()) as storage:
        stored(storage, some)
        assert sum(map(len, place.rows().values())) == 0
        assert storage.get_materialized_partitions(dg.AssetKey("numbers"))


def test_what_is_gathered_is_written_before_what_comes_next(place: Place, events: list[EventLogEntry]) -> None:
    run = events[0].run_id
    expected = [event.dagster_event_type for event in events if event.run_id == run]
    with opened(place.ours()) as storage:
        stored(storage, events)
        assert [entry.dagster_event_type for entry in storage.get_logs_for_run(run)] == expected


def test_what_is_gathered_is_written_by_itself_after_a_moment(place: Place, events: list[EventLogEntry]) -> None:
    storage = place.ours()
    storage.linger = 0.01
    written = threading.Event()
    write = storage.write_batch

    def noticing(batch: list[EventLogEntry]) -> None:
        write(batch)
        written.set()

    storage.write_batch = noticing  # type: ignore[method-assign,assignment]
    with opened(storage):
        stored(storage, asset_events(events)[:3])
        assert written.wait(60)
    assert len([row for name, rows in place.rows().items() if name.endswith("event_logs") for row in rows]) >= 3


def test_many_are_written_without_waiting(place: Place, events: list[EventLogEntry]) -> None:
    storage = place.ours()
    storage.linger, storage.most = 3600, 5
    with opened(storage):
        stored(storage, asset_events(events)[:5])
        assert sum(map(len, place.rows().values())) >= 5


def test_what_could_not_be_written_is_written_once_later(
    places: tuple[Place, Place], events: list[EventLogEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the statements of a batch in turn; nothing is lost and nothing is doubled."""
    place, shipped = places
    some = asset_events(events)
    storage = place.ours()
    storage.linger = 3600
    with opened(storage):
        storage.flush()
        for name in ("insert_events", "insert_tags", "_upsert_assets"):
            part, some = some[:10], some[10:]
            stored(storage, part)
            with monkeypatch.context() as broken:
                broken.setattr(type(storage), name, _away)
                with pytest.raises(sa.exc.OperationalError):
                    storage.flush()
            storage.flush()
    with opened(shipped.shipped()) as reference:
        stored(reference, asset_events(events)[:30])
    assert without_numbers(place.rows()) == without_numbers(shipped.rows())


def test_an_index_that_cannot_be_written_does_not_double_the_run_s_own_file(
    tmp_path: Path, events: list[EventLogEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sqlite_place(tmp_path)
    storage = place.ours()
    some = asset_events(events)[:4]
    with opened(storage):
        stored(storage, some)
        with monkeypatch.context() as broken:
            broken.setattr(BatchingSqliteEventLogStorage, "insert_tags", _away)
            broken.setattr(BatchingSqliteEventLogStorage, "_upsert_assets", _away)
            with pytest.raises(sa.exc.OperationalError):
                storage.flush()
        storage.flush()
    counts = {name: len(rows) for name, rows in place.rows().items() if name.endswith("/event_logs")}
    assert sorted(counts.values()) == [4, 4]


def test_a_run_s_file_that_was_deleted_is_made_again(tmp_path: Path, events: list[EventLogEntry]) -> None:
    place = sqlite_place(tmp_path)
    run = events[0].run_id
    with opened(place.ours()) as storage:
        stored(storage, events[:6])
        assert len(storage.get_logs_for_run(run)) == 6
        for path in tmp_path.glob(f"{run}.db*"):
            path.unlink()
        assert storage.get_logs_for_run(run) == []
        stored(storage, events[6:8])
        assert len(storage.get_logs_for_run(run)) == 2


def test_few_files_of_runs_stay_open(tmp_path: Path, events: list[EventLogEntry]) -> None:
    with opened(BatchingSqliteEventLogStorage(str(tmp_path))) as storage:
        for number in range(30):
            storage.get_logs_for_run(f"run-{number}")
        opened_files = [path.name for path in Path("/proc/self/fd").iterdir() if _is_in(path, tmp_path)]
    assert len(opened_files) < 40
    assert len(set(opened_files)) == len(opened_files)


def _is_in(link: Path, folder: Path) -> bool:
    try:
        return link.readlink().is_relative_to(folder)
    except OSError:  # it was closed meanwhile
        return False


def test_events_are_written_when_a_process_ends_in_order(tmp_path: Path) -> None:
    script = (
        "import sys, dagster as dg\n"
        "from ig_pipeline.dagster_storage.sqlite import BatchingSqliteEventLogStorage as Storage\n"
        "Storage.linger = 3600\n"
        "instance = dg.DagsterInstance.from_config(sys.argv[1])\n"
        "instance.report_runless_asset_event(dg.AssetMaterialization('numbers', partition='2026-01-01'))\n"
    )
    settings = Settings(data_dir=tmp_path)
    subprocess.run([sys.executable, "-c", script, prepare_home(settings)], check=True, timeout=100)
    with opened(sqlite_place(settings.dagster_home / "history" / "runs").shipped()) as storage:
        assert storage.get_materialized_partitions(dg.AssetKey("numbers")) == {"2026-01-01"}


def test_a_server_that_was_away_is_connected_to_again(postgres: PostgresServer, events: list[EventLogEntry]) -> None:
    url = postgres.create()
    some = asset_events(events)
    with opened(postgres_place(url).ours()) as storage:
        stored(storage, some[:3])
        assert len(storage.get_logs_for_run(some[0].run_id)) == 3
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            f"where datname = '{url.rsplit('/', 1)[1]}' and pid <> pg_backend_pid()"
        )
        stored(storage, some[3:6])
        assert len(storage.get_logs_for_run(some[0].run_id)) == 6
    postgres.drop(url)


def _away(*_: Any) -> None:
    raise sa.exc.OperationalError("insert", {}, Exception("the database is away"))
