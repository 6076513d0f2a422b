"""The releases of Dagster whose private parts are known here."""

import re

import dagster

TESTED = ((1, 12), (1, 13))
"""First and last minor release that the tests of this package were run with; pyproject.toml has the same bounds."""


def is_tested() -> bool:
    """Whether the private parts of the Dagster that is installed are known."""
    found = re.match(r"(\d+)\.(\d+)\.", dagster.__version__)
    return found is not None and TESTED[0] <= (int(found[1]), int(found[2])) <= TESTED[1]
