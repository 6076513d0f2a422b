"""A version about to be switched off is said in time, with the date."""

from datetime import date, timedelta

import pytest

from ig_pipeline.graph_api.versions import (
    SWITCHED_OFF,
    is_newer_than_known,
    newest_known,
    served_warning,
    version_warning,
    worth_asking_for,
)
from ig_pipeline.meta import advice_on
from ig_pipeline.settings import Settings

END = date(2028, 7, 29)


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (END - timedelta(days=91), None),
        (END - timedelta(days=90), "will be switched off on 2028-07-29, in 90 days"),
        (END - timedelta(days=1), "in 1 days"),
        (END, "was switched off on 2028-07-29"),
        (END + timedelta(days=400), "was switched off"),
    ],
)
def test_a_warning_comes_ninety_days_before(today: date, words: str | None) -> None:
    warning = version_warning("v25.0", today)
    if words is None:
        assert warning is None
    else:
        assert warning is not None
        assert words in warning.sentence
        assert warning.switched_off == END


def test_versions_outside_the_table() -> None:
    today = date(2026, 11, 25)
    assert version_warning("v26.0", today) is None
    assert version_warning("v27.0", today) is None
    assert version_warning("v99.0", today) is None
    old = version_warning("v9.0", today)
    assert old is not None
    assert "was switched off" in old.sentence
    dead = version_warning("v20.0", today)
    assert dead is not None
    assert "Set IG_PIPELINE_GRAPH_VERSION to v27.0. See https://" in advice_on(dead)
    elsewhere = version_warning("v20.0", today, move_to="v28.0")
    assert elsewhere is not None
    assert elsewhere.move_to == "v28.0"


def test_what_is_asked_for_begins_beyond_the_table_and_ends_with_its_oldest() -> None:
    assert newest_known() == "v27.0"
    asked = worth_asking_for()
    assert asked[:5] == ["v31.0", "v30.0", "v29.0", "v28.0", "v27.0"]
    assert set(asked[4:]) == set(SWITCHED_OFF)
    assert [is_newer_than_known(version) for version in ("v26.0", "v27.0", "v28.0", "v9.0")] == [
        False,
        False,
        True,
        False,
    ]


def test_an_answer_from_another_version_is_noticed() -> None:
    assert served_warning("v25.0", None) is None
    assert served_warning("v25.0", "v25.0") is None
    warning = served_warning("v21.0", "v26.0")
    assert warning is not None
    assert "answered with v26.0" in warning.sentence
    assert warning.move_to == "v26.0"


def test_the_default_version_is_in_the_table() -> None:
    assert Settings.model_fields["graph_version"].default in SWITCHED_OFF
