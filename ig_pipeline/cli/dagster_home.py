"""Dagster's home in the data folder: which dagster.yaml it holds and which environment Dagster's processes get.

Files and variables only; the processes are `dagster_stack`'s.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import SecretStr

from ig_pipeline.settings import PREFIX, Settings

_PACKAGE = Path(__file__).parent.parent


class AlreadyRunningError(Exception):
    """Another `up` or `demo` holds this data folder."""


def prepare_home(settings: Settings) -> Path:
    """Make the home and put the embedded or the PostgreSQL dagster.yaml into it. Returns its path.

    The copy is replaced at every start: the files in the repository are the ones to change. The embedded one gets the
    event log of `dagster_storage`, which has to be told its folder: `dagster dev` in a clone has another one.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    name = "dagster.yaml" if settings.dagster_database_url is None else "deploy/dagster.yaml"
    copy = home / "dagster.yaml"
    shutil.copyfile(instance_file(name), copy)
    if settings.dagster_database_url is None:
        with copy.open("a") as file:
            yaml.safe_dump({"event_log_storage": _event_log(home)}, file)
    return home


def _event_log(home: Path) -> dict[str, object]:
    """The event log of an embedded instance, in the folder that Dagster's own would have."""
    return {
        "module": "ig_pipeline.dagster_storage.sqlite",
        "class": "BatchingSqliteEventLogStorage",
        "config": {"base_dir": str(home.resolve() / "history" / "runs")},
    }


def instance_file(name: str) -> Path:
    """`dagster.yaml` or `deploy/dagster.yaml`: in a clone at its root, in a wheel inside the package."""
    in_clone = _PACKAGE.parent / name
    return in_clone if in_clone.is_file() else _PACKAGE / "instance" / name


def environment(settings: Settings) -> dict[str, str]:
    """The environment of Dagster's processes: this one's, with every setting as it is now.

    All are written out, the empty ones too, with absolute paths and the driver in the URL: nothing of a `.env` is left
    to be read where a command chose otherwise.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    values = {name: _text(getattr(settings, name)) for name in Settings.model_fields}
    values["data_dir"] = str(settings.home)
    values["database_url"] = _absolute(values["database_url"], r"(sqlite[^:]*:///)([^/?].*)")
    values["media_url"] = _absolute(values["media_url"], r"()((?!\w+:).+)")
    values["dagster_database_url"] = _text(settings.dagster_storage_url)
    env |= {f"{PREFIX}{name.upper()}": value for name, value in values.items()}
    dagster = {
        "DAGSTER_HOME": str(settings.dagster_home),
        # A run's process starts in a second or two. On two cores with thirty others waiting for them it took over a
        # minute: a launch given up after Dagster's 60 s fails a run whose process starts all the same.
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "180",
    }
    return {**env, **dagster, "PYTHONUNBUFFERED": "1"}


def _text(value: object) -> str:
    """A setting as `load_settings` reads it; empty for "not set"."""
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(_text, value))
    return str(value)


def _absolute(url: str, relative: str) -> str:
    """`url`, the path in its second group made absolute: the processes do not work in the folder it is relative to."""
    found = re.fullmatch(relative, url)
    return found[1] + str(Path(found[2]).expanduser().resolve()) if found else url


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
