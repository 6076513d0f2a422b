"""`make attack`: runs the tests that docs/security.md names and prints its table with what became of each attack."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ig_pipeline_tests.readme_blocks import README

PAGE = README.parent / "docs" / "security.md"
_TESTS = re.compile(r"`([\w/]+\.py::\w+)`")


@dataclass(frozen=True)
class Attack:
    """A row of the table: what was tried, what holds, and the tests that keep it (`folder/test_file.py::test_name`)."""

    what: str
    holds: str
    tests: tuple[str, ...]


@dataclass(eq=False)  # pytest keeps its plugins in a set
class Outcomes:
    """A plugin: what became of each test, the worst of its parameters."""

    worst: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            test = report.nodeid.removeprefix("ig_pipeline_tests/").partition("[")[0]
            order = ("skipped", "passed", "failed")
            self.worst[test] = max(self.worst.get(test, "skipped"), report.outcome, key=order.index)


def attacks() -> Iterator[Attack]:
    """The rows of the table."""
    table = PAGE.read_text().partition("<!-- attacks -->")[2].partition("<!-- /attacks -->")[0]
    for line in table.strip().splitlines()[2:]:
        what, holds, tests = (cell.strip() for cell in line.strip("| ").split(" | "))
        yield Attack(what, holds, tuple(_TESTS.findall(tests)))


def verdict(attack: Attack, worst: dict[str, str]) -> str:
    """`held`, `got through`, that it was skipped, in whole or in part, or not run at all."""
    seen = [worst.get(test) for test in attack.tests]
    if "failed" in seen:
        return "GOT THROUGH"
    if None in seen:
        return "NOT RUN"
    if "skipped" in seen:
        return "skipped" if "passed" not in seen else "held, in part skipped"
    return "held"


def main(arguments: list[str]) -> int:
    """Run them all; `arguments` are pytest's. Its exit code."""
    outcomes = Outcomes()
    named = dict.fromkeys(test for attack in attacks() for test in attack.tests)
    code = pytest.main(
        [*(str(README.parent / "ig_pipeline_tests" / test) for test in named), "--tb=short", *arguments], [outcomes]
    )
    for attack in attacks():
        print(f"{verdict(attack, outcomes.worst):<22}{attack.what}  [{attack.holds}]")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
