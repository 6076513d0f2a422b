"""A clock that is set for this process and all it starts: the library of `clock_shift.c`, compiled, and its file."""

import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

SHIFT_FILE = "LD_CLOCK_SHIFT_FILE"
_SOURCE = Path(__file__).with_name("clock_shift.c")
_NANOSECONDS = struct.Struct("q")
_PACKAGES = ("gcc", "libc6-dev")


class NoShiftedClockError(RuntimeError):
    """The library cannot be made here; the message says what is missing."""


@contextmanager
def shifted_clock() -> Iterator[Mapping[str, str]]:
    """Variables for a process that is to see the shifted clock; not shifted yet. Raises `NoShiftedClockError`."""
    if not sys.platform.startswith("linux"):
        raise NoShiftedClockError("The clock can be shifted on Linux alone.")
    with tempfile.TemporaryDirectory(prefix="clock_") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        library, shift = folder / "clock_shift.so", folder / "shift"
        made = subprocess.run(
            [_compiler(), "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NoShiftedClockError(f"{_SOURCE.name} needs glibc 2.30 and its headers (libc6-dev):\n{made.stderr}")
        shift.write_bytes(_NANOSECONDS.pack(0))
        yield {"LD_PRELOAD": str(library), SHIFT_FILE: str(shift)}


def variables() -> dict[str, str]:
    """Those of this process, for one that is given no other of its environment; none when the clock is not shifted."""
    return {name: os.environ[name] for name in ("LD_PRELOAD", SHIFT_FILE) if name in os.environ}


class Clock:
    """The clock of this process, which was started with the variables of `shifted_clock`."""

    def __init__(self) -> None:
        with Path(os.environ[SHIFT_FILE]).open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _NANOSECONDS.size)

    def set(self, at: datetime) -> None:
        """From now on it is `at`, here and in every process that shares the clock."""
        (shift,) = _NANOSECONDS.unpack_from(self._shared)
        wanted = int(at.timestamp() * 1_000_000) * 1_000
        _NANOSECONDS.pack_into(self._shared, 0, wanted - (time.time_ns() - shift))


def _compiler() -> str:
    """A C compiler; installed where that is possible without asking. Raises `NoShiftedClockError`."""
    found = _find_compiler()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {' '.join(_PACKAGES)} …", flush=True)
        subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", *_PACKAGES], check=False)
        found = _find_compiler()
    if found is None:
        raise NoShiftedClockError(f"No C compiler in the PATH. Debian, Ubuntu: apt install {' '.join(_PACKAGES)}")
    return found


def _find_compiler() -> str | None:
    return next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
