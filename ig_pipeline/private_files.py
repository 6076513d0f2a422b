"""Folders and files for their owner alone, whatever the process's umask: nobody else on the machine reads the data.

What is there already keeps its mode: `doctor` names it, with the command that mends it.
"""

import os
from pathlib import Path
from typing import IO, Any, Literal

FILE = 0o600
FOLDER = 0o700


def make_folder(path: Path) -> None:
    """`path` and the folders above it that are missing. Raises `OSError`."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(mode=FOLDER, exist_ok=True)


def open_file(path: Path, mode: Literal["w", "wb", "x", "a", "a+"]) -> IO[Any]:
    """As `path.open(mode)`, in UTF-8; a file that is new is the owner's. Raises `OSError`."""
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, encoding=encoding, opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, FILE)
