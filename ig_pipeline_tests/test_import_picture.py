"""The picture of the imports: what it shows, what it leaves out, and that a circle is refused."""

import pytest

from ig_pipeline_tests.import_picture import ImportCircleError, package_imports, picture, without_detours


def test_an_import_that_follows_from_others_is_left_out() -> None:
    imports = {"web": {"sync", "settings"}, "sync": {"settings"}, "settings": set()}
    assert without_detours(imports) == {"web": {"sync"}, "sync": {"settings"}, "settings": set()}


def test_it_is_a_mermaid_flowchart_in_order_of_names() -> None:
    imports = {"web": {"sync", "charts"}, "sync": set(), "charts": set(), "clock": set()}
    assert picture(imports).splitlines() == [
        "```mermaid",
        "flowchart TD",
        "    web --> charts",
        "    web --> sync",
        "    clock",
        "```",
    ]


def test_a_circle_is_refused_and_named() -> None:
    with pytest.raises(ImportCircleError, match="a → b → a"):
        picture({"a": {"b"}, "b": {"a"}})


def test_the_packages_of_the_project_are_found() -> None:
    imports = package_imports()
    assert {"definitions", "defs", "sync", "graph_api", "storage", "settings", "clock"} <= set(imports)
    assert "storage" in imports["sync"]
    assert "simulator" not in imports["graph_api"]
    assert "storage" not in imports["graph_api"]
