"""`make chaos-media`: what happens to backfills in a year, in five minutes, and the library each time ends in.

One line a trial; exit code 1 when a library is not whole: exactly the world's files by hash, one row each, no `.part`,
no row without its file, no file without its row. `TRIALS="disk full"` picks by name, `SEED=7` repeats the moments.
"""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ig_pipeline_tests.chaos.database_gone import take_away
from ig_pipeline_tests.chaos.disk_full import MEGABYTE, fill_from_outside, fill_with_files
from ig_pipeline_tests.chaos.killed import kill
from ig_pipeline_tests.chaos.refusing_store import refuse
from ig_pipeline_tests.chaos.trial import CannotTryError

KILLS = 20
# 2,600 posts, 200 of them carousels of ten: 4,400 files.
ALL = (*["image"] * 12, "album 10") * 200
HALF, QUARTER, TENTH = (ALL[: len(ALL) // part] for part in (2, 4, 10))
SEED = int(os.environ.get("SEED", time.time()))

Trial = Callable[[Path], str]


def _killed(folder: Path) -> str:
    killed = kill(ALL, folder, kills=KILLS, seed=SEED)
    return f"{killed} backfills ended by SIGKILL, each row with its file every time; then complete (SEED={SEED})"


TRIALS: dict[str, Trial] = {
    "killed": _killed,
    "database gone": lambda folder: take_away(HALF, folder, seconds=30),
    "disk full": lambda folder: fill_with_files(QUARTER, folder, room=20 * MEGABYTE),
    "disk filled by others": lambda folder: fill_from_outside(QUARTER, folder),
    "store refusing": lambda folder: refuse(TENTH, folder),
}


def main() -> int:
    """Every trial, whatever became of the one before."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # disks are unmounted, servers stopped on the way out
    wanted = os.environ.get("TRIALS")
    not_whole = 0
    for name, trial in TRIALS.items():
        if wanted and name not in wanted:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ig_chaos_", ignore_cleanup_errors=True) as folder:
            try:
                verdict, found = "whole", trial(Path(folder))
            except CannotTryError as error:
                verdict, found = "not tried", str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other trials are worth their answer
                not_whole += 1
                verdict, found = "NOT WHOLE", str(error) or type(error).__name__
                traceback.print_exc()
        print(f"{verdict:<10} {name}: {found}; {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if not_whole else 0


if __name__ == "__main__":
    sys.exit(main())
