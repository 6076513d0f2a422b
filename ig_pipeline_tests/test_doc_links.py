"""Links between documents, and from comments into them, lead to a file and a heading that exist.

Read from the files alone: links to the web are not followed. Headings are named by GitHub's rule.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted(path for package in ("ig_pipeline", "ig_pipeline_tests") for path in (ROOT / package).rglob("*.py"))
CONFIGURATION = [
    ROOT / "Makefile",
    *sorted(ROOT.glob("*.toml")),
    *sorted(ROOT.glob("*.yaml")),
    *sorted(path for path in (ROOT / "deploy").iterdir() if path.is_file()),
]

# The end of `[text](target)`, also of a picture: the text may have begun on the line before.
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
# A page named in a sentence or a comment, from the root of the repository.
_MENTION = re.compile(r"(?<![\w./-])(?P<target>docs/[\w./-]*\w\.md(?:#[\w-]+)?)")
_HEADING = re.compile(r" {0,3}#{1,6}\s+(?P<title>.*?)\s*#*\s*$")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)

Line = tuple[int, str]


def prose(text: str) -> Iterator[Line]:
    """The lines of a page outside of fences, numbered from 1: in a shell's `# comment` there is no heading."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text: str) -> set[str]:
    """What a link to a heading of this page may say after `#`."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for _, line in prose(text):
        if heading := _HEADING.match(line):
            title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading["title"])
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def remarks(source: str) -> Iterator[Line]:
    """Comments and docstrings of a module, those under a constant included, line by line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                yield node.lineno + offset, line


def broken(path: Path, root: Path = ROOT) -> list[str]:
    """A line for each link of the file that leads nowhere; mentions of pages count from `root`."""
    text = path.read_text()
    if path.suffix == ".md":
        lines = list(prose(text))
        targets = [(number, path.parent, each["target"]) for number, line in lines for each in _LINK.finditer(line)]
        lines = [(number, _LINK.sub("", line)) for number, line in lines]
    elif "docs/" not in text:
        return []
    else:
        lines = list(remarks(text)) if path.suffix == ".py" else list(enumerate(text.splitlines(), start=1))
        targets = []
    targets += [(number, root, each["target"]) for number, line in lines for each in _MENTION.finditer(line)]
    name = path.relative_to(root)
    return [
        f"{name}:{number}: {target}: {problem}"
        for number, folder, target in sorted(targets)
        if not _ABSOLUTE.match(target) and (problem := _problem(target, folder, path))
    ]


def _problem(target: str, folder: Path, page: Path) -> str | None:
    file, _, heading = target.partition("#")
    found = folder / file if file else page
    if not found.exists():
        return "no such file"
    if heading and (found.suffix != ".md" or heading not in anchors(found.read_text())):
        return "no such heading"
    return None


def names(paths: Iterable[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", names(PAGES))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: str) -> None:
    assert broken(ROOT / page) == []


def test_every_page_named_in_a_comment_exists_with_its_heading() -> None:
    assert [line for path in SOURCES for line in broken(path)] == []


def test_every_page_named_in_a_configuration_exists_with_its_heading() -> None:
    assert [line for path in CONFIGURATION for line in broken(path)] == []


def test_there_is_something_to_follow() -> None:
    assert len(PAGES) >= 4
    assert len(SOURCES) > 300
    linked = [each for page in PAGES for _, line in prose(page.read_text()) for each in _LINK.findall(line)]
    assert len([target for target in linked if not _ABSOLUTE.match(target)]) > 100


# ---- the check itself can fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("See [it](missing.md).", "missing.md: no such file"),
        ("See [it](page.md#elsewhere).", "page.md#elsewhere: no such heading"),
        ("See [it](#elsewhere).", "#elsewhere: no such heading"),
        ("![A picture](none.png)", "none.png: no such file"),
        ("See docs/missing.md.", "docs/missing.md: no such file"),
        ("See docs/page.md#elsewhere, and so on.", "docs/page.md#elsewhere: no such heading"),
        ("See [source](../module.py#elsewhere).", "../module.py#elsewhere: no such heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, line: str, problem: str) -> None:
    page = _folder(tmp_path, f"# Page\n\n{line}\n")
    assert broken(page, tmp_path) == [f"docs/page.md:3: {problem}"]


@pytest.mark.parametrize(
    "line",
    [
        "See [it](page.md#days-and-windows), [the same](#days-and-windows), [code](../module.py).",
        "See docs/page.md#days-and-windows.",
        "See [the web](https://example.com/docs/missing.md#x) and https://example.com/docs/missing.md.",
        "Write to [us](mailto:us@example.com).",
        "```\n[an example](missing.md) and docs/missing.md\n```",
    ],
)
def test_a_link_that_leads_somewhere_is_not(tmp_path: Path, line: str) -> None:
    page = _folder(tmp_path, f"# Page\n\n## Days and windows\n\n{line}\n")
    assert broken(page, tmp_path) == []


def test_comments_and_docstrings_are_read_and_other_text_is_not(tmp_path: Path) -> None:
    _folder(tmp_path, "# Page\n")
    module = tmp_path / "module.py"
    module.write_text(
        '"""First line.\n\nSee docs/page.md#one.\n"""\n'
        "X = 1  # see docs/page.md#two\n"
        '"""Of a constant: docs/page.md#three."""\n'
        'Y = "docs/page.md#four is a value"\n'
        "def f():\n"
        '    """See docs/page.md#page."""\n'
    )
    assert broken(module, tmp_path) == [
        "module.py:3: docs/page.md#one: no such heading",
        "module.py:5: docs/page.md#two: no such heading",
        "module.py:6: docs/page.md#three: no such heading",
    ]


def test_headings_are_named_as_github_does() -> None:
    text = (
        "# The Graph API, as it *behaves*\n"
        "## `saved` and [saves](https://example.com)\n"
        "### 8. The night begins at 02:17\n"
        "## Errors & what to do ##\n"
        "## Größe_2 - is it so?\n"
        "## Twice\n## Twice\n"
        "```sh\n# no heading\n```\n"
        "#no heading\n"
    )
    assert anchors(text) == {
        "the-graph-api-as-it-behaves",
        "saved-and-saves",
        "8-the-night-begins-at-0217",
        "errors--what-to-do",
        "größe_2---is-it-so",
        "twice",
        "twice-1",
    }


def _folder(root: Path, page: str) -> Path:
    """A page in `docs/` and a module beside it."""
    (root / "docs").mkdir()
    (root / "module.py").write_text("X = 1\n")
    path = root / "docs" / "page.md"
    path.write_text(page)
    return path
