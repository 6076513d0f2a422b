"""docs/adding_a_stream.md is true: its two files in a copy of the package, and the stream is everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from click.testing import CliRunner, Result

import ig_pipeline
from ig_pipeline.cli.main import cli
from ig_pipeline.definitions import build
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.simulator.server import running_simulator
from ig_pipeline.simulator.world import World
from ig_pipeline.storage.database import VERSION_TABLE, open_engine
from ig_pipeline.storage.tables import metadata
from ig_pipeline.sync import registry
from ig_pipeline_tests import readme_blocks
from ig_pipeline_tests.cli.accounts import EMAIL, connect, database_url, environment, settings_in

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "adding_a_stream.md"
NAME, DAYS = "daily_reposts", 2


def example(name: str) -> str:
    """A file of the page."""
    found = re.search(f"<!-- {re.escape(name)} -->\n```python\n(.*?)```\n<!-- /", PAGE.read_text(), re.S)
    assert found
    return found[1]


def test_a_module_and_its_migration_are_all_that_a_stream_needs(tmp_path: Path) -> None:
    copy = tmp_path / "code" / "ig_pipeline"
    shutil.copytree(Path(ig_pipeline.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "sync" / "streams" / f"{NAME}.py").write_text(example(f"{NAME}.py"))
    versions = copy / "storage" / "migrations" / "versions"
    newest = max(path.stem.partition("_")[0] for path in versions.glob("0*.py"))
    migration = example("migration.py").replace("NNNN", "9999").replace("MMMM", newest)
    (versions / "9999_reposts.py").write_text(migration)
    work = tmp_path / "work"
    work.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IG_PIPELINE_")}
    looked = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "ig_pipeline_tests.sync.test_adding_a_stream", str(copy)],
        cwd=work,
        env=environ | {"PYTHONPATH": f"{copy.parent}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stdout + looked.stderr


def run(*arguments: str, env: dict[str, str] | None = None, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), env=env, input=stdin)


def it_is_everywhere() -> None:
    """What the page promises, in a process that runs the copy."""
    assert NAME in registry.grid()
    assert f"| `{NAME}` | account-day | How often" in readme_blocks.PAGES[readme_blocks.ARCHITECTURE]["streams"]()
    assert NAME in run("sync", "--help").output
    with running_simulator(World(seed=7, accounts=1)) as meta:
        env = environment(meta)
        it_is_in_dagster(env)
        connect(run, meta, "acme.studio")
        done = run("sync", "--account", "acme.studio", "--days", str(DAYS), "--asset", NAME, "--json", env=env)
        assert done.exit_code == 0, done.output
        rows = rows_about_it()
        assert [row["date"] for row in rows[NAME]] == [row["date"] for row in rows["instagram_sync_logs"]]
        assert len(rows[NAME]) == DAYS
        assert all(row["reposts"] is not None for row in rows[NAME])
        assert {(row["asset"], row["status"]) for row in rows["instagram_sync_logs"]} == {(NAME, "complete")}
        held = json.loads(run("connections", "export", "--email", EMAIL).stdout)["tables"]
        assert [row["reposts"] for row in held[NAME]] == [row["reposts"] for row in rows[NAME]]
        gone = run("connections", "forget", "--email", EMAIL, "--yes")
        assert gone.exit_code == 0, gone.output
        assert rows_about_it() == {NAME: [], "instagram_sync_logs": []}


def it_is_in_dagster(env: dict[str, str]) -> None:
    settings = settings_in(Path.cwd(), env)
    definitions = build(Pipeline(settings_of=lambda: settings))
    key, graph = dg.AssetKey(NAME), definitions.resolve_asset_graph()
    assert graph.get(key).partitions_def == graph.get(dg.AssetKey("account_insights")).partitions_def
    assert f"Table `{NAME}`" in (graph.get(key).description or "")
    repository = definitions.get_repository_def()
    nightly: Any = repository.get_schedule_def("nightly_sync").job
    asked = repository.get_sensor_def("new_connections")
    for selection in (nightly.selection, asked.asset_selection):
        assert isinstance(selection, dg.AssetSelection)
        assert key in selection.resolve(graph)


def rows_about_it() -> dict[str, list[dict[str, object]]]:
    engine = open_engine(database_url(Path.cwd()))
    with engine.connect() as db:
        assert MigrationContext.configure(db, opts={"version_table": VERSION_TABLE}).get_current_revision() == "9999"
        found = {
            name: [dict(row._mapping) for row in db.execute(sa.select(metadata.tables[name]).order_by("date"))]
            for name in (NAME, "instagram_sync_logs")
        }
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tables": ("graph_calls",)}, "rows of a person"),
        ({"tables": ("nowhere",)}, "no table of storage.tables.metadata"),
    ],
)
def test_a_stream_whose_rows_have_no_owner_does_not_load(change: dict[str, tuple[str, ...]], reason: str) -> None:
    fields: dict[str, object] = {"name": "x", "description": "X.", "grain": "snapshot", "schedule": "story_polling"}
    with pytest.raises(ValueError, match=reason):
        registry.Stream(**(fields | change))  # type: ignore[arg-type]


def test_every_stream_comes_after_those_it_is_made_of() -> None:
    names = [stream.name for stream in registry.streams()]
    assert all(names.index(up) < names.index(stream.name) for stream in registry.streams() for up in stream.upstream)
    assert registry.with_derived(["media_engagement"]) == ["media_engagement", "daily_metrics"]
    with pytest.raises(ValueError, match="no stream nothing"):
        registry.chosen(["stories", "nothing"])


if __name__ == "__main__":
    assert Path(ig_pipeline.__file__).parent == Path(sys.argv[1])
    it_is_everywhere()
