"""What others wrote stays text in the operator's UI: no picture is loaded, no link made, no cell added to a table."""

import re
from datetime import date

import pytest

from ig_pipeline.defs.cell_events import event_of
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.defs.markdown import literal
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline_tests.hostile import CAPTIONS

OBEYED = re.compile(r"(?<!\\)[\[\]<>`*!|]|[\r\n\u2028\u2029]")


@pytest.mark.parametrize("text", CAPTIONS.values(), ids=CAPTIONS)
def test_nothing_of_it_is_obeyed(text: str) -> None:
    assert not OBEYED.search(literal(text))


def test_plain_words_stay_as_they_are() -> None:
    assert literal("hidden_by_owner (3 of 9 posts): (#100) see IG_PIPELINE_MEDIA_URL.") == (
        "hidden_by_owner (3 of 9 posts): (#100) see IG_PIPELINE_MEDIA_URL."
    )


@pytest.mark.parametrize("text", CAPTIONS.values(), ids=CAPTIONS)
def test_an_error_or_a_reason_cannot_write_into_a_cell(text: str) -> None:
    result = AccountDayResult("media_files", "acme", date(2026, 11, 19), "failed", error=text, absences={text: text})
    failure = failure_of([result])
    assert failure is not None
    table = str(failure.metadata["failed"].value).splitlines()
    assert len(table) == 3
    assert len(re.findall(r"(?<!\\)\|", table[2])) == 5
    (line,) = str(event_of(result).metadata["not available"].value).splitlines()
    assert line.startswith("- **")
    assert not OBEYED.search(line.removeprefix("- **").replace("**: ", "", 1))
