"""The picture of the imports in docs/architecture.md: an arrow from each package to those it imports.

`python -m ig_pipeline_tests.import_picture` prints it, `make docs` writes it, `test_docs` compares. An arrow is left
out where a longer way leads to the same package: with all of them, what rests on what could not be seen.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

import grimp

ROOT = "ig_pipeline"

Imports = Mapping[str, AbstractSet[str]]
"""Package → the packages it imports. Every package is a key."""


class ImportCircleError(ValueError):
    """Packages import each other in a circle; the message names them."""


def package_imports(root: str = ROOT) -> dict[str, set[str]]:
    """The imports between the packages (and single modules) right below `root`, from the source."""
    graph = grimp.build_graph(root, cache_dir=None)
    imports: dict[str, set[str]] = {_package(child): set() for child in graph.find_children(root)}
    for module in graph.modules - {root}:
        importer = _package(module)
        for imported in graph.find_modules_directly_imported_by(module) - {root}:
            if _package(imported) != importer:
                imports[importer].add(_package(imported))
    return imports


def picture(imports: Imports) -> str:
    """`imports` as a Mermaid flowchart in a fence, the same for the same imports. Raises `ImportCircleError`."""
    kept = without_detours(imports)
    arrows = [f"    {importer} --> {imported}" for importer in sorted(kept) for imported in sorted(kept[importer])]
    joined = {name for importer, imported in kept.items() if imported for name in (importer, *imported)}
    alone = [f"    {name}" for name in sorted(set(imports) - joined)]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, *alone, "```"])


def without_detours(imports: Imports) -> dict[str, set[str]]:
    """`imports` without those that follow from the others. Raises `ImportCircleError`."""
    below = {name: set(_below(name, imports, ())) for name in imports}
    return {
        name: {each for each in imported if not any(each in below[other] for other in imported)}
        for name, imported in imports.items()
    }


def _below(name: str, imports: Imports, path: tuple[str, ...]) -> Iterator[str]:
    """What `name` imports, and what that imports."""
    if name in path:
        raise ImportCircleError(f"Imports run in a circle: {' → '.join((*path[path.index(name) :], name))}.")
    for imported in imports[name]:
        yield imported
        yield from _below(imported, imports, (*path, name))


def _package(module: str) -> str:
    return module.split(".")[1]


if __name__ == "__main__":
    print(picture(package_imports()))
