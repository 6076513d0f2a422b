"""The parts of the documents that are made from the code: commands, exit codes, settings, streams, the imports.

`make docs` writes them, `test_docs` compares. Prose is written by hand.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.cli.main import cli
from ig_pipeline.settings import PREFIX, Settings
from ig_pipeline.sync.registry import streams
from ig_pipeline_tests.import_picture import package_imports, picture

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
ARCHITECTURE = DOCS / "architecture.md"


def leaf_commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name: `("connections add", …)`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaf_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def filled(page: Path, text: str | None = None) -> str:
    """The page's text with every block as it should be. Raises `ValueError` when a marker is missing.

    `text`: instead of what stands in the file.
    """
    text = page.read_text() if text is None else text
    for name, make in PAGES[page].items():
        block = make()
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not start or not end:
            raise ValueError(f"The marks of the block {name} are missing.")
        text = f"{before}{start}{block}\n{end}{after}"
    return text


def _commands() -> str:
    rows = [f"| `ig-pipeline {name}` | {first_sentence(command)} |" for name, command in leaf_commands()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def _exit_codes() -> str:
    return "\n".join(["| exit code | meaning |", "|---|---|", *(f"| {code:d} | {code.meaning} |" for code in ExitCode)])


def _streams() -> str:
    """The first sentence of each stream, with its tables; account-days first."""
    rows = [
        f"| `{stream.name}` | {stream.grain} | {stream.description.split('. ')[0].rstrip('.')} "
        f"| {', '.join(f'`{table}`' for table in stream.tables)} | `{stream.schedule}` |"
        for stream in sorted(streams(), key=lambda stream: stream.grain)
    ]
    return "\n".join(["| stream | a cell of | what | tables | asked for by |", "|---|---|---|---|---|", *rows])


def _settings() -> str:
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what for |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    if value in (None, (), ""):
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def first_sentence(command: click.Command) -> str:
    """The first sentence of a command's help."""
    paragraph = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
    return paragraph.split(". ")[0].rstrip(".") + "."


PAGES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    DOCS / "commands.md": {"commands": _commands, "exit codes": _exit_codes},
    DOCS / "settings.md": {"settings": _settings},
    ARCHITECTURE: {"streams": _streams, "imports": lambda: picture(package_imports())},
}
"""Page → name → what makes the Markdown between its `<!-- name -->` and `<!-- /name -->`."""


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path))
