"""The documentation is true: what it names exists, and what exists is named."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ig_pipeline.definitions import build
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.settings import PREFIX, Settings
from ig_pipeline.storage.tables import metadata
from ig_pipeline_tests.attacks import PAGE, Attack, attacks, verdict
from ig_pipeline_tests.readme_blocks import ARCHITECTURE, DOCS, PAGES, README, filled, leaf_commands

ROOT = README.parent
TEXT = "\n".join(page.read_text() for page in [README, *sorted(DOCS.glob("*.md"))])
SECURITY = PAGE.read_text()


def code_in(text: str) -> list[str]:
    fenced = re.findall(r"```(\w*)\n(.*?)```", text, re.S)
    return [
        *(code for language, code in fenced if language != "mermaid"),
        *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_pictures_are_those_of_the_code(page: Path) -> None:
    assert filled(page) == page.read_text(), "run `make docs`"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert [page.name for page in DOCS.glob("*.md") if f"](docs/{page.name}" not in text] == []


def test_a_picture_that_is_out_of_date_is_noticed() -> None:
    text = ARCHITECTURE.read_text()
    older = text.replace("flowchart TD\n", "flowchart TD\n    charts --> web\n")
    assert older != text
    assert filled(ARCHITECTURE, older) == text


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="imports"):
        filled(ARCHITECTURE, ARCHITECTURE.read_text().replace("<!-- /imports -->", ""))


def test_every_table_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "tables.md").read_text(), re.M))
    assert described == set(metadata.tables), "describe the table in docs/tables.md"


def test_every_table_is_said_to_hold_personal_data_or_none() -> None:
    tables = SECURITY.split("\n## Where personal data is\n", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", tables, re.M)) == set(metadata.tables), "describe the table"


def test_every_attack_is_kept_by_tests_that_exist() -> None:
    tried = list(attacks())
    assert len(tried) > 30
    assert [attack.what for attack in tried if not attack.tests] == []
    missing = []
    for test in (test for attack in tried for test in attack.tests):
        file, _, name = test.partition("::")
        path = ROOT / "ig_pipeline_tests" / file
        defined = ast.walk(ast.parse(path.read_text())) if path.exists() else ()
        if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name for node in defined):
            missing.append(test)
    assert missing == []


def test_what_becomes_of_an_attack_is_the_worst_that_became_of_its_tests() -> None:
    attack = Attack("a", "b", ("one", "two"))
    assert verdict(attack, {"one": "passed", "two": "passed"}) == "held"
    assert verdict(attack, {"one": "passed", "two": "failed"}) == "GOT THROUGH"
    assert verdict(attack, {"one": "passed", "two": "skipped"}) == "held, in part skipped"
    assert verdict(attack, {"one": "skipped", "two": "skipped"}) == "skipped"
    assert verdict(attack, {"one": "passed"}) == "NOT RUN"


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`?make ([a-z-]+)", "\n".join(code_in(TEXT))))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_setting_it_names_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", TEXT + SECURITY)) <= known


def test_every_schedule_and_sensor_is_named() -> None:
    repository = build(Pipeline()).get_repository_def()
    names = {schedule.name for schedule in repository.schedule_defs} | {s.name for s in repository.sensor_defs}
    assert {name for name in names if f"`{name}`" not in TEXT} == set()


def example_calls() -> list[str]:
    """Every `ig-pipeline …` in the README's code, without what stands before and after it in a pipe."""
    found: dict[str, None] = {}
    for code in code_in(TEXT):
        for match in re.finditer(r"ig-pipeline ([a-z][^|`#\n]*)", code):
            found[match[1].strip()] = None
    return list(found)


@pytest.mark.parametrize("call", example_calls())
def test_every_command_it_shows_can_be_called_so(call: str) -> None:
    commands = dict(leaf_commands())
    words = shlex.split(call)
    name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in commands), None)
    groups = {known.split()[0] for known in commands if " " in known}
    if name is None:
        assert words[0] in groups, f"no such command: {call}"
        return
    options = {option for parameter in commands[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}


def test_nothing_of_a_working_folder_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("no git checkout")
    assert not [name for name in listed if Path(name).name in {".env", "token.key"} or name.endswith((".db", ".part"))]
