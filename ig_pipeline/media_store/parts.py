"""A file while it is being written: `.part` by name, hashed as it grows, locked so that nobody sweeps it away.

Its final name, and whether it deserves one, are for the store to decide.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ig_pipeline.media_store.errors import StoreError, StoreFullError
from ig_pipeline.media_store.sniffing import SNIFFED_BYTES
from ig_pipeline.private_files import FILE, make_folder

SUFFIX = ".part"
# Bytes after which a file's writing to the disk begins; left to `sync`, 800 MB of sixteen videos came due at once.
_WRITEBACK = 8 * 1024 * 1024

# Pieces of one `writev`: Linux and macOS take 1,024.
_PIECES = 1024

# Bytes of a disk that media files leave free. The embedded database lies on the same one: filled to its last byte it
# could not take the rows of the files that just came. Sixteen downloads write at most 16 MiB between two looks.
RESERVE = 64 * 1024 * 1024


class Part:
    """A growing file, made at the first write. Not safe to write from two threads at once; no limit of its own."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.size = 0
        self.head = b""
        self._folder, self._stem = folder, stem
        self.path = self._new_path()
        self._descriptor: int | None = None
        self._handed_over = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hash of all that was written, hexadecimal."""
        return self._hash.hexdigest()

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append. Raises `StoreFullError`, `StoreError`."""
        with store_errors():
            if self._descriptor is None:
                self._descriptor = self._open()
            _check_room(self._descriptor)
            for chunk in chunks:
                if len(self.head) < SNIFFED_BYTES:
                    self.head += chunk[: SNIFFED_BYTES - len(self.head)]
                self._hash.update(chunk)
                self.size += len(chunk)
            _append(self._descriptor, chunks)
            self._start_writeback(self._descriptor)

    def restart(self) -> None:
        """Forget what was written: the source begins anew."""
        if self._descriptor is None:
            return
        with store_errors():
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size, self._handed_over, self.head, self._hash = 0, 0, b"", hashlib.sha256()

    def _start_writeback(self, descriptor: int) -> None:
        """Have the kernel begin with what came since the last time, so that `sync` waits for the rest only."""
        if self.size - self._handed_over >= _WRITEBACK and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, self._handed_over, self.size - self._handed_over, os.POSIX_FADV_DONTNEED)
            self._handed_over = self.size

    def _new_path(self) -> Path:
        return self._folder / f"{self._stem}.{secrets.token_hex(4)}{SUFFIX}"

    def _open(self) -> int:
        """An empty file, locked for as long as this process lives."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            try:
                descriptor = os.open(self.path, flags, FILE)
            except FileNotFoundError:
                make_folder(self._folder)
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return descriptor
            except BlockingIOError:
                pass
            # A sweeper came between its creation and its lock and is about to remove it, or has.
            os.close(descriptor)
            self.path = self._new_path()

    def sync(self) -> None:
        """Wait until every byte is on the disk: a name must not outlive its content through a power cut."""
        assert self._descriptor is not None
        with store_errors():
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file and its lock, leaving it where it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Remove the file, if it still bears this name. Safe to call twice."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
        self.close()


def _append(descriptor: int, chunks: Sequence[bytes]) -> None:
    """Write all of `chunks`, in as few calls as the system takes: threads queue for Python after each."""
    for start in range(0, len(chunks), _PIECES):
        views = [memoryview(chunk) for chunk in chunks[start : start + _PIECES]]
        while views:
            written = os.writev(descriptor, views)
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]


def _check_room(descriptor: int) -> None:
    disk = os.fstatvfs(descriptor)
    # Some network file systems tell nothing of their size.
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < RESERVE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sweep_parts(folder: Path) -> int:
    """Remove the parts under `folder` that no living process writes; their number."""
    swept = 0
    for path in folder.rglob(f"*{SUFFIX}"):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            swept += 1
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
    return swept


def remove_folder(folder: Path) -> None:
    """Remove a folder with what is in it; none is fine."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextmanager
def store_errors() -> Iterator[None]:
    """Operating system errors as `StoreError`, a full disk as `StoreFullError`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFullError(
                f"No space is left for media files ({RESERVE // 1024**2} MB stay free for the database beside them). "
                "Make room, then run the backfill again: it goes on from here."
            ) from error
        raise StoreError(
            f"The media folder cannot be written to: {error.strerror or error}. Check IG_PIPELINE_MEDIA_URL."
        ) from error
