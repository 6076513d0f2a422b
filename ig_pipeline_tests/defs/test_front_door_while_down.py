"""Dagster away for an hour: what people and admins asked for meanwhile happens when it is back, once each."""

from datetime import timedelta
from pathlib import Path

from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.storage import sync_requests
from ig_pipeline_tests.defs.stand_ins import World, instance_with


def test_ten_connections_and_five_requests_of_an_hour_happen_once_each(tmp_path: Path) -> None:
    with instance_with() as instance:
        world = World(tmp_path, instance)
        old = world.connect("before")[0]
        world.sensor_tick("new_connections")
        names = [f"person{n}" for n in range(10)]
        for n, name in enumerate(names):
            world.now += timedelta(minutes=6)
            world.connect(name)
            if n % 2:
                with world.pipeline.writing() as db:
                    day = last_complete_day(world.now) - timedelta(days=n)
                    sync_requests.enqueue(
                        db,
                        kind="insights",
                        account_key=old.account_key,
                        first=day,
                        last=day,
                        requested_by="admin",
                        reason="asked for over HTTP",
                        now=world.now,
                    )
        backfills = [run for _ in range(3) for run in world.sensor_tick("new_connections")]
        assert len(backfills) == 10
        asked = [run for _ in range(3) for run in world.sensor_tick("requested_syncs")]
        answered = sum(len([tag for tag in run.tags if tag.startswith("ig_pipeline/request")]) for run in asked)
        assert answered == 5, [run.tags for run in asked]
        with world.pipeline.reading() as db:
            assert len(sync_requests.launched(db)) == 5
