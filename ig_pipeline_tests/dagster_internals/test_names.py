"""Names are taken out where accounts stand in stored objects, without breaking them or touching those of others."""

import json

import dagster as dg
import pytest

from ig_pipeline.dagster_internals.names import FORGOTTEN, Names

TAGS = ("account", "dagster/asset_partition_range_start")
NAMES = Names({"ann"}, {"ann.new", "17841400000000001", "ann@mail.example"}, dimension="accounts", tags=TAGS)
# What Dagster, JSON and our own texts are made of.
COMMON = Names(
    {"complete", "status", "true", "path", "tags", "failed", "asset"}, set(), dimension="accounts", tags=TAGS
)


@pytest.mark.parametrize(
    "text", ["ann", "for ann.", "@ann", "ann: no", "17841400000000001", "ann.new", "ann@mail.example", "ann|2026-11-01"]
)
def test_a_name_is_found_in_a_sentence(text: str) -> None:
    assert NAMES.are_in(text)


@pytest.mark.parametrize(
    "text", ["joann", "anna", "ann-2", "ann_2", "ann.old", "my.ann", "x-ann", "ann@other.example", "117841400000000001"]
)
def test_a_name_of_someone_else_is_not(text: str) -> None:
    assert not NAMES.are_in(text)


@pytest.mark.parametrize("names", [NAMES, COMMON])
def test_values_and_descriptions_of_an_event_are_no_place_for_an_account(names: Names) -> None:
    event = dg.AssetMaterialization(
        dg.AssetKey(["ann", "complete"]),
        description="ann is complete",
        metadata={"status": "complete", "ann": dg.MetadataValue.text("ann"), "true": True},
        tags={"status": "complete", "why": "ann"},
        partition="bob|2026-11-01",
    )
    stored = dg.serialize_value(event)
    assert names.without_them(stored) is stored


def test_of_a_table_the_line_goes_and_of_several_accounts_in_one_the_name() -> None:
    table = (
        "| account | why |\n|---|---|\n| ann | x |\n| bob | ann |\n| bob, ann, eve | y |\n- **ann**: z\n- **bob**: z"
    )
    event = dg.AssetMaterialization(dg.AssetKey("a"), metadata={"who": dg.MetadataValue.md(table)})
    cleaned = NAMES.without_them(dg.serialize_value(event))
    assert cleaned is not None
    left = dg.deserialize_value(cleaned, dg.AssetMaterialization).metadata["who"].value
    assert left == "| account | why |\n|---|---|\n| bob | ann |\n| bob, eve | y |\n- **bob**: z"


def test_a_line_about_someone_else_stays_whatever_it_says() -> None:
    table = "| bob | complete | true |\n- **bob**: failed, status complete"
    stored = dg.serialize_value(dg.AssetMaterialization(dg.AssetKey("a"), metadata={"who": dg.MetadataValue.md(table)}))
    assert COMMON.without_them(stored) is stored


def test_of_an_errors_message_the_lines_that_name_someone_go() -> None:
    stored = json.dumps(
        {"__class__": "SerializableErrorInfo", "message": "1 failed.\nann: no", "stack": [], "cls_name": None}
    )
    cleaned = NAMES.without_them(stored)
    assert cleaned is not None
    assert json.loads(cleaned)["message"] == f"1 failed.\n{FORGOTTEN}"


def test_cells_go_from_lists_pairs_and_keys_also_inside_a_text() -> None:
    inside = json.dumps({"ann|2026-11-01": 1, "bob|2026-11-01": 2})
    stored = json.dumps(["ann|2026-11-01", "bob|2026-11-01", ["ann|2026-11-02", 1], "ann", "ann|x", inside])
    left = ["bob|2026-11-01", "ann", "ann|x", json.dumps({"bob|2026-11-01": 2})]
    assert NAMES.without_them(stored) == json.dumps(left)


def test_tags_are_cleaned_by_their_name() -> None:
    tags = {"account": "ann", "dagster/asset_partition_range_start": "ann|2026-11-01", "why": "ann"}
    assert NAMES.in_tags(tags) == dict.fromkeys(TAGS, FORGOTTEN)
    assert NAMES.in_tags({"account": "bob"}) == {}


def test_keys_of_other_dynamic_partitions_are_no_accounts() -> None:
    stored: dict[str, object] = {
        "__class__": "DynamicPartitionsRequestResult",
        "partitions_def_name": "others",
        "added_partitions": ["ann"],
        "deleted_partitions": None,
        "skipped_partitions": ["bob"],
    }
    assert NAMES.without_them(json.dumps(stored)) == json.dumps(stored)
    with dg.DagsterInstance.ephemeral():  # its storages register the class, as any instance's do
        cleaned = NAMES.without_them(json.dumps(stored | {"partitions_def_name": "accounts"}))
    assert cleaned is not None
    assert json.loads(cleaned)["added_partitions"] == []


def test_what_breaks_is_to_be_removed() -> None:
    assert NAMES.without_them(json.dumps({"__class__": "Unknown", "cells": ["ann|2026-11-01"]})) is None
