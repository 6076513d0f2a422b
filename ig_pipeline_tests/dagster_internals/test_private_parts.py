"""Where Dagster's private parts are used, and what each use relies on: a release that changes it fails a test here."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import DynamicPartitionsRequestResult, TickStatus
from dagster._core.storage import tags as dagsters_tags
from dagster_shared.error import SerializableErrorInfo
from dagster_webserver.app import create_app_from_workspace_process_context

from ig_pipeline.dagster_internals import daemon_records, names, tables, versions
from ig_pipeline.dagster_internals.event_log import EventLog
from ig_pipeline.dagster_internals.workspace import open_workspace
from ig_pipeline.defs import forgetting
from ig_pipeline.defs.partitions import RANGE_END, RANGE_START

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "ig_pipeline" / "dagster_internals"
# Tests that stand in for Dagster's daemon, its UI or its storage.
TESTS_THAT_USE_THEM = {
    "bench/events.py",
    "chaos/deployment.py",
    "clock_runs/instants.py",
    "dagster_internals/test_private_parts.py",
    "dagster_storage/storages.py",
    "dagster_storage/test_storages.py",
    "dagster_ui/site.py",
    "defs/deployments.py",
    "defs/stand_ins.py",
    "defs/test_deletions.py",
    "defs/test_forgetting.py",
    "defs/test_insights.py",
    "defs/test_instance.py",
}

WATCHED = """
import builtins, sys
private, real = [], builtins.__import__

def spy(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    hidden = "._" in name or any(item.startswith("_") and not item.startswith("__") for item in fromlist or ())
    if importer.partition(".")[0] == "ig_pipeline" and name.partition(".")[0].startswith("dagster") and hidden:
        private.append((importer, name))
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = spy
import ig_pipeline.definitions
ig_pipeline.definitions.build(ig_pipeline.definitions.Pipeline()).get_repository_def()
print(private, [name for name in sys.modules if name.startswith("ig_pipeline.dagster_internals")])
"""


def private_uses(file: Path) -> Iterator[tuple[int, bool]]:
    """Line, and whether it is inside a function, of each import of a private module and each private attribute."""
    tree = ast.parse(file.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            modules = [node.value] if node.value.startswith("dagster._") else []
        hidden = any(re.match(r"dagster\w*(\.\w+)*\._(?!_)", name) for name in modules)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            hidden = ast.unparse(node.value).rpartition(".")[2] in {"instance", "_instance", "dg", "dagster", "context"}
        if hidden:
            yield getattr(node, "lineno", 0), id(node) in inside


def test_only_one_package_uses_private_parts_and_only_inside_functions() -> None:
    # The event log extends Dagster's own classes, and Dagster alone loads it: a contract in pyproject.toml.
    apart = ROOT / "ig_pipeline" / "dagster_storage"
    found = {file: list(private_uses(file)) for file in (ROOT / "ig_pipeline").rglob("*.py") if file.parent != apart}
    assert {
        file.relative_to(ROOT).as_posix() for file, uses in found.items() if uses and file.parent != PACKAGE
    } == set()
    assert [(file.name, line) for file, uses in found.items() for line, inside in uses if not inside] == []
    assert any(found.values()), "the search finds nothing at all"


def test_the_tests_that_use_private_parts_are_listed() -> None:
    tests = ROOT / "ig_pipeline_tests"
    assert {file.relative_to(tests).as_posix() for file in tests.rglob("*.py") if any(private_uses(file))} == (
        TESTS_THAT_USE_THEM
    )


def test_definitions_load_without_a_private_part() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[] []"


def test_the_bounds_of_the_requirements_are_those_of_the_tested_releases() -> None:
    (first, last), installed = versions.TESTED, dg.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = f">={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}"
    assert [each for each in project["dependencies"] if each.startswith(("dagster>", "dagster-webserver"))] == [
        f"dagster{wanted}",
        f"dagster-webserver{wanted}",
    ]
    assert versions.is_tested(), installed


@pytest.mark.parametrize("version", ["1.11.16", "1.14.0", "2.0.0", "1!0+dev", "unknown.0"])
def test_a_release_outside_them_is_not_known(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster.__version__", version)
    assert not versions.is_tested()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def run_of(instance: dg.DagsterInstance) -> str:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["ann|2026-11-01", "bob|2026-11-01"]))
    def cells() -> None:
        pass

    return dg.materialize([cells], instance=instance, partition_key="ann|2026-11-01").run_id


def test_tables_and_columns_are_named_as_dagster_names_them(instance: dg.DagsterInstance) -> None:
    run_of(instance)
    stores = {
        tables.events: [tables.EVENTS, tables.EVENT_TAGS, tables.CHECKS, tables.ASSETS],
        tables.runs: [tables.BACKFILLS, tables.BACKFILL_TAGS, tables.HEARTBEATS],
        tables.ticks: [tables.TICKS],
    }
    for connect, named in stores.items():
        with connect(instance) as db:
            for table in named:
                there = {column["name"] for column in sa.inspect(db).get_columns(table.name)}
                assert set(table.c.keys()) <= there, table.name


def test_a_run_has_a_file_of_its_own_on_sqlite_with_the_same_table(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance)
    file = tables.file_of(instance, run_id)
    assert file is not None
    assert tables.file_of(instance, "none") is None
    with tables.events_of(instance, run_id) as db:
        assert set(db.execute(sa.select(tables.EVENTS.c.run_id).distinct()).scalars()) == {run_id}


def test_cells_are_found_by_an_index(instance: dg.DagsterInstance) -> None:
    run_id = run_of(instance)
    wanted = names.Names({"ann"}, set(), dimension="accounts")
    log = EventLog(instance, wanted, grid=[dg.AssetKey("cells")], beside=[], account_tag="account")
    assert log.runs() == {run_id}
    statement = sa.select(tables.EVENTS.c.run_id).where(log._cells())
    with tables.events(instance) as db:
        compiled = statement.compile(db, compile_kwargs={"literal_binds": True})
        plan = " ".join(str(row) for row in db.exec_driver_sql(f"explain query plan {compiled}".replace("%%", "%")))
    assert "idx_events_by_asset_partition" in plan
    assert "partition>" in plan, "not the range within the index"


def test_dagster_still_cannot_remove_single_cells_by_itself(instance: dg.DagsterInstance) -> None:
    """The reason for the SQL over its event log: when this fails, a public call may do instead."""
    run_of(instance)
    with pytest.raises(NotImplementedError):
        instance.wipe_asset_partitions(dg.AssetKey("cells"), ["ann|2026-11-01"])


def test_statuses_are_dagsters() -> None:
    unfinished = set(BulkActionStatus) - set(BULK_ACTION_TERMINAL_STATUSES)
    assert {status.value for status in unfinished} == set(daemon_records.UNFINISHED)
    assert TickStatus.SKIPPED.value == "SKIPPED"


def test_tags_are_dagsters() -> None:
    assert (RANGE_START, RANGE_END, forgetting._PARTITION, f"{forgetting._PARTITION}/account") == (
        dagsters_tags.ASSET_PARTITION_RANGE_START_TAG,
        dagsters_tags.ASSET_PARTITION_RANGE_END_TAG,
        dagsters_tags.PARTITION_NAME_TAG,
        f"{dagsters_tags.MULTIDIMENSIONAL_PARTITION_PREFIX}account",
    )


def stored(kind: str) -> Any:
    """An object of each kind in which an account can stand, with a text in each of its fields."""
    made = {
        "SerializableErrorInfo": SerializableErrorInfo("ann", [], None),
        "AssetObservation": dg.AssetObservation("a", description="ann"),
        "MarkdownMetadataEntryData": dg.MetadataValue.md("ann"),
        "DynamicPartitionsRequestResult": DynamicPartitionsRequestResult("accounts", ["ann"], None, []),
        "UserFailureData": failure_of(dg.Failure("ann")),
        "PartitionBackfill": PartitionBackfill(
            "b",
            BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={"account": "ann"},
            backfill_timestamp=0.0,
            title="ann",
            description="ann",
        ),
    }
    return json.loads(dg.serialize_value(made[kind]))


def failure_of(failure: dg.Failure) -> Any:
    @dg.op
    def fails() -> None:
        raise failure

    @dg.job
    def failing() -> None:
        fails()

    done = failing.execute_in_process(raise_on_error=False)
    (event,) = (event for event in done.all_events if event.is_step_failure)
    return event.step_failure_data.user_failure_data


@pytest.mark.parametrize(("kind", "field"), [*sorted(names._SENTENCES), names._MARKDOWN])
def test_fields_of_stored_objects_are_called_as_dagster_calls_them(kind: str, field: str) -> None:
    found = stored(kind)
    assert found["__class__"] == kind
    assert found[field] == "ann"


def test_stored_partitions_and_tags_are_called_as_dagster_calls_them() -> None:
    found = stored(names._PARTITIONS)
    assert (found["__class__"], found["partitions_def_name"], found["added_partitions"]) == (
        names._PARTITIONS,
        "accounts",
        ["ann"],
    )
    assert stored("PartitionBackfill")[names._TAGS] == {"account": "ann"}


def test_the_web_server_makes_its_app_of_an_open_workspace(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text("load_from: []\n")
    with open_workspace(instance, file, version="1") as context:
        assert create_app_from_workspace_process_context(context).routes
