"""The rules of the house that a machine can keep."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ig_pipeline"


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_module_says_what_it_is_for() -> None:
    without = [path for path in sources() if not path.read_text().lstrip().startswith('"""')]
    assert not without


def test_no_module_is_named_after_nothing() -> None:
    names = {path.stem for path in sources()} | {path.parent.name for path in sources()}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


def test_no_module_outgrows_four_hundred_lines() -> None:
    assert not [(path, n) for path in sources() if (n := len(path.read_text().splitlines())) > 400]


def test_only_the_packages_of_dagster_import_it() -> None:
    importing = re.compile(r"^\s*(?:from|import) dagster(?:_\w+)?\b", re.M)
    allowed = {"defs", "definitions.py", "dagster_internals", "dagster_storage", "dagster_ui"}
    strangers = [
        path.relative_to(PACKAGE).as_posix()
        for path in sources()
        if importing.search(path.read_text()) and path.relative_to(PACKAGE).parts[0] not in allowed
    ]
    assert not strangers


def test_only_one_package_writes_the_queue() -> None:
    writing = re.compile(r"sync_requests\.(enqueue|claim|note_run|queue_again|end|note_counts|prune)\b")
    writers = {path.parent.relative_to(PACKAGE).as_posix() for path in sources() if writing.search(path.read_text())}
    assert writers == {"sync/requests"}


def test_constraints_pin_versions_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert not [line for line in lines if "://" in line or "==" not in line]


def test_each_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    bare = [name for name in declared if not re.search(rf'^\s+"{re.escape(name)}",\s+# \S', text, re.M)]
    assert not bare


def test_sessions_and_what_their_accounts_share_are_made_in_one_place() -> None:
    making = re.compile(r"\b(?:AccountSession|AppBrake)\(")
    places = [path.relative_to(PACKAGE).as_posix() for path in sources() if making.search(path.read_text())]
    assert places == ["sync/session.py"]
