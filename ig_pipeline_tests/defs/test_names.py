"""Names are found whole, and taken out of stored objects without breaking them or touching those of others."""

import json

import pytest
from dagster import AssetKey, AssetMaterialization, EventLogEntry
from dagster._serdes import serialize_value

from ig_pipeline.defs.names import FORGOTTEN, Names

NAMES = Names({"ann"}, {"ann.new", "17841400000000001", "ann@mail.example"})


@pytest.mark.parametrize(
    "text",
    [
        "ann",
        "ann|2026-11-01",
        "for ann.",
        "@ann",
        "ann: no",
        "17841400000000001",
        "ann.new",
        "ann@mail.example",
    ],
)
def test_a_name_is_found(text: str) -> None:
    assert NAMES.are_in(text)
    assert NAMES.are_in(json.dumps({"a": f"x\n{text}"}))
    assert NAMES.are_in(json.dumps({"a": json.dumps({"b": f"x\n{text}"})}))


@pytest.mark.parametrize(
    "text", ["joann", "anna", "ann-2", "ann_2", "ann.old", "my.ann", "x-ann", "ann@other.example", "117841400000000001"]
)
def test_a_name_of_somebody_else_is_not(text: str) -> None:
    assert not NAMES.are_in(text)
    assert not NAMES.are_in(json.dumps({"a": text}))


def test_of_a_table_the_line_goes_and_of_a_sentence_all_of_it() -> None:
    event = AssetMaterialization(
        AssetKey("ann"), description="ann and bob", metadata={"who": "| ann | 1 |\n| bob | 2 |", "n": 3}
    )
    cleaned = NAMES.without_them(serialize_value(event), AssetMaterialization)
    assert cleaned is not None
    found = json.loads(cleaned)
    assert found["asset_key"]["path"] == ["ann"]  # an asset may be called like an account
    assert found["description"] == FORGOTTEN
    assert "| bob | 2 |" in cleaned
    assert "| 1 |" not in cleaned


def test_cells_go_from_lists_pairs_and_keys_also_inside_a_text() -> None:
    inside = json.dumps({"ann|2026-11-01": 1, "bob|2026-11-01": 2})
    stored = json.dumps(["ann|2026-11-01", "bob|2026-11-01", ["ann|2026-11-02", 1], inside])
    left = ["bob|2026-11-01", json.dumps({"bob|2026-11-01": 2})]
    assert NAMES.without_them(stored, list) == json.dumps(left)


def test_what_breaks_is_to_be_removed_and_what_only_looks_like_it_stays() -> None:
    assert NAMES.without_them(json.dumps({"__class__": "ann"}), EventLogEntry) is None
    untouched = json.dumps({"path": ["ann"]})
    assert NAMES.without_them(untouched, EventLogEntry) == untouched
