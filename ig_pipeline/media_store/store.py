"""What the engine may ask of a store of media files, wherever it keeps them.

All calls block; the engine makes them from threads. Which file is worth keeping is decided before `commit`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ig_pipeline.media_store.parts import Part
from ig_pipeline.media_store.sniffing import FileType


class Store(Protocol):
    """Files by key (`instagram_backfill/7/20260102_030405_1789.jpg`). A key that exists is a whole file, always."""

    @property
    def location(self) -> str:
        """Where it is, for people: a path or a URL without credentials."""

    def begin(self, folder: str, stem: str) -> Part:
        """A part to write into, on a local disk; nothing is made before its first write. Raises `UnsafeNameError`."""

    def commit(self, part: Part, key: str, file_type: FileType) -> None:
        """Give the whole, checked `part` its final name; the part is gone afterwards, also on failure.

        Its bytes are on the disk before it has that name; that the name is too, `settle` sees to. An existing file of
        that key is replaced at once. Raises `StoreError`, `StoreFullError`, `UnsafeNameError`.
        """

    def settle(self, keys: Iterable[str]) -> None:
        """Wait until the files of `keys` would be found after a power cut: then rows may speak of them.

        Once for many files: a wait for the disk each was a third of the time of small ones. Raises `StoreError`.
        """

    def size_of(self, key: str) -> int | None:
        """Bytes of a file, None when there is none."""

    def keys(self, folder: str) -> Iterator[str]:
        """Keys below `folder`, in no order; parts are not among them."""

    def read(self, key: str) -> bytes:
        """A whole file in memory: for small ones. Raises `StoreError`."""

    def copy_to(self, key: str, path: Path) -> None:
        """A file onto a local path, streamed. Raises `StoreError`."""

    def delete(self, key: str) -> None:
        """Remove a file; none by that key is fine. Raises `StoreError`."""

    def delete_folder(self, folder: str) -> int:
        """Remove what is below `folder`, parts included, and itself; how many files. Raises `StoreError`."""

    def sweep(self) -> int:
        """Remove parts that died with their process; their number."""
