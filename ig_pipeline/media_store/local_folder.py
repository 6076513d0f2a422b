"""A folder on a local disk as the store: parts beside their final names, synced, then renamed.

Knows nothing of what the files mean.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.naming import check_key
from ig_pipeline.media_store.parts import SUFFIX, Part, remove_folder, store_errors, sweep_parts
from ig_pipeline.media_store.sniffing import FileType


class LocalFolder:
    """A `Store` in the folder `root`, made on the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self._root)

    def path_of(self, key: str) -> Path:
        """Where a key lies. Raises `UnsafeNameError`."""
        return self._root / check_key(key)

    def begin(self, folder: str, stem: str) -> Part:
        """See `Store.begin`."""
        return Part(self.path_of(folder), check_key(stem))

    def commit(self, part: Part, key: str, file_type: FileType) -> None:
        """See `Store.commit`."""
        try:
            final = self.path_of(key)
            part.sync()
            with store_errors():
                part.path.replace(final)
        except BaseException:
            part.discard()
            raise
        part.close()

    def settle(self, keys: Iterable[str]) -> None:
        """See `Store.settle`."""
        with store_errors():
            for folder in {self.path_of(key).parent for key in keys}:
                _sync_folder(folder)

    def size_of(self, key: str) -> int | None:
        """See `Store.size_of`."""
        try:
            return self.path_of(key).stat().st_size
        except FileNotFoundError:
            return None

    def keys(self, folder: str) -> Iterator[str]:
        """See `Store.keys`."""
        for path in self.path_of(folder).rglob("*"):
            if path.is_file() and path.suffix != SUFFIX:
                yield path.relative_to(self._root).as_posix()

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        with store_errors():
            return self.path_of(key).read_bytes()

    def copy_to(self, key: str, path: Path) -> None:
        """See `Store.copy_to`."""
        with store_errors():
            shutil.copyfile(self.path_of(key), path)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with store_errors():
            self.path_of(key).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> int:
        """See `Store.delete_folder`."""
        files = sum(1 for _ in self.keys(folder))
        with store_errors():
            remove_folder(self.path_of(folder))
        return files

    def sweep(self) -> int:
        """See `Store.sweep`."""
        with store_errors():
            return sweep_parts(self._root) if self._root.is_dir() else 0


def open_folder(root: Path) -> LocalFolder:
    """The folder as a store. Raises `StoreError` when it is something else than a folder one may write to."""
    if root.exists() and not (root.is_dir() and os.access(root, os.W_OK | os.X_OK)):
        raise StoreError(f"{root} is not a folder that can be written to. Set IG_PIPELINE_MEDIA_URL to one that is.")
    return LocalFolder(root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
