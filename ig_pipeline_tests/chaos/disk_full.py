"""A small disk that is full in the middle of a backfill, by the files themselves or by somebody else's."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.media_store.parts import RESERVE
from ig_pipeline_tests.chaos.trial import CannotTryError, Ended, complete, end, library_of, served, start, wait_for

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own in memory."""

    path: Path

    def resize(self, size: int) -> None:
        """`size` in bytes."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True, capture_output=True)

    def fill(self) -> Path:
        """Take every byte that is free; what to delete to give them back."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for piece in (MEGABYTE, 4096):
                try:
                    while file.write(bytes(piece)) == piece:
                        pass
                except OSError:
                    continue
        return ballast


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of `size` bytes at `path`. Raises `CannotTryError` where nobody may mount."""
    if os.geteuid() != 0:
        raise CannotTryError("mounting a small disk takes root")
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        raise CannotTryError(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True, capture_output=True)


def fill_with_files(posts: Sequence[str], folder: Path, *, room: int) -> str:
    """Database and files on one disk with `room` bytes for files: it stops in words, whole, and goes on later."""
    with small_disk(folder / "disk", RESERVE + room) as disk, library_of(posts, disk.path) as library:
        ended = end(start(library))
        _check_words(ended)
        library.check_whole(complete=False)
        kept = len(library.rows())
        assert kept, "the disk was full at the first file"
        attempts = served(library)
        disk.resize(2048 * MEGABYTE)
        complete(library)
        return (
            f"full at {kept:,} of {len(library.rows()):,} files, stopped after {attempts - kept:,} more attempts with "
            f"exit code {ended.code}, whole; complete after making room"
        )


def fill_from_outside(posts: Sequence[str], folder: Path) -> str:
    """Somebody else fills the disk under database and files to its last byte, in the middle."""
    with small_disk(folder / "disk", 2048 * MEGABYTE) as disk, library_of(posts, disk.path) as library:
        process = start(library)
        wait_for(process, library, part=3)
        disk.resize(_used(disk.path) + 2 * MEGABYTE)
        ballast = disk.fill()
        ended = end(process)
        _check_words(ended)
        ballast.unlink()
        waiting = library.without_row()
        library.check_whole(complete=False, waiting=waiting)
        disk.resize(2048 * MEGABYTE)
        complete(library)
        return (
            f"filled to the last byte: exit code {ended.code}, no row without its file, "
            f"{len(waiting):,} files waiting for their row; complete after making room"
        )


def _used(path: Path) -> int:
    disk = os.statvfs(path)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def _check_words(ended: Ended) -> None:
    assert ended.code == ExitCode.PARTIAL, ended.said
    assert "Make room" in ended.said, ended.said
    assert "Traceback" not in ended.said, ended.said
