"""Dagster's home in the data folder: which dagster.yaml it holds and which environment Dagster's processes get.

Files and variables only; the processes are `dagster_stack`'s.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from ig_pipeline.settings import PREFIX, Settings

_PACKAGE = Path(__file__).parent.parent


class AlreadyRunningError(Exception):
    """Another `up` or `demo` holds this data folder."""


def prepare_home(settings: Settings) -> Path:
    """Make the home and put the embedded or the PostgreSQL dagster.yaml into it. Returns its path.

    The copy is replaced at every start: the files in the repository are the ones to change.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    name = "dagster.yaml" if settings.dagster_database_url is None else "deploy/dagster.yaml"
    shutil.copyfile(instance_file(name), home / "dagster.yaml")
    return home


def instance_file(name: str) -> Path:
    """`dagster.yaml` or `deploy/dagster.yaml`: in a clone at its root, in a wheel inside the package."""
    in_clone = _PACKAGE.parent / name
    return in_clone if in_clone.is_file() else _PACKAGE / "instance" / name


def environment(settings: Settings) -> dict[str, str]:
    """The environment of Dagster's processes: this one's and .env's, with absolute paths and a driver in the URL."""
    file = Path(".env")
    from_file = {name: value for name, value in dotenv_values(file).items() if value} if file.is_file() else {}
    env: dict[str, str] = {**from_file, **os.environ}
    env[f"{PREFIX}DATA_DIR"] = str(settings.home)
    env["DAGSTER_HOME"] = str(settings.dagster_home)
    env["PYTHONUNBUFFERED"] = "1"
    if settings.dagster_storage_url is not None:
        env[f"{PREFIX}DAGSTER_DATABASE_URL"] = settings.dagster_storage_url.get_secret_value()
    return env


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold `home` alone: two daemons on one home would each launch every run.

    Raises `AlreadyRunningError`. The lock ends with the process, however it ends.
    """
    path = home / "up.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"Already running for this data folder (process {lock.read().strip() or 'unknown'}). Stop it first, "
                f"or give this one a folder of its own: {PREFIX}DATA_DIR=/another/folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
