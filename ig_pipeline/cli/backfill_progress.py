"""A live bar for one account's backfill: files, bytes, rate, time left. Shows, decides nothing."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ig_pipeline.cli.console import err
from ig_pipeline.sync.media_files.results import FileResult, Watcher
from ig_pipeline.sync.media_files.wanted import WantedFile


class BackfillBar(Watcher):
    """Counts, and draws what it counts on standard error."""

    def __init__(self, account_key: str, *, dry_run: bool) -> None:
        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            _Bytes(),
            TimeRemainingColumn(),
            console=err(),
            disable=not err().is_terminal,
        )
        verb = "counting" if dry_run else "saving"
        self._bar = self._progress.add_task(f"{verb} {account_key}", total=0, received=0)
        self._files = self._received = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def listed(self, files: list[WantedFile]) -> None:
        """There are more files than known before."""
        super().listed(files)
        self._files += len(files)
        self._progress.update(self._bar, total=self._files)

    def received(self, count: int) -> None:
        """Bytes came."""
        self._received += count
        self._progress.update(self._bar, received=self._received)

    def finished(self, result: FileResult) -> None:
        """A file is settled."""
        super().finished(result)
        self._progress.advance(self._bar)


class _Bytes(ProgressColumn):
    """`123.4 MB  12.3 MB/s`, over the whole backfill."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        received = float(task.fields.get("received", 0))
        elapsed = task.elapsed or 0
        rate = received / elapsed if elapsed > 0 else 0
        return Text(f"{received / 1e6:,.1f} MB  {rate / 1e6:,.1f} MB/s", style="cyan")
