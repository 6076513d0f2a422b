"""Dagster's home in the data folder: which dagster.yaml it holds and which environment Dagster's processes get.

Files and variables only; the processes are `dagster_stack`'s.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import yaml
from pydantic import SecretStr

from ig_pipeline.private_files import make_folder, open_file
from ig_pipeline.settings import PREFIX, Settings, secret_settings

_PACKAGE = Path(__file__).parent.parent


class AlreadyRunningError(Exception):
    """Another `up` or `demo` holds this data folder."""


def prepare_home(settings: Settings) -> Path:
    """Make the home and put the embedded or the PostgreSQL dagster.yaml into it. Returns its path.

    The copy is replaced at every start: the files in the repository are the ones to change. The embedded one gets the
    event log of `dagster_storage`, which has to be told its folder: `dagster dev` in a clone has another one.
    """
    home = settings.dagster_home
    make_folder(home)
    name = "dagster.yaml" if settings.dagster_database_url is None else "deploy/dagster.yaml"
    with open_file(home / "dagster.yaml", "w") as file:
        file.write(instance_file(name).read_text(encoding="utf-8"))
        if settings.dagster_database_url is None:
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


Process = Literal["simulator", "instance", "code", "webserver", "daemon", "web"]

SECRETS_OF: Mapping[Process, tuple[str, ...]] = {
    "simulator": (),
    "instance": ("dagster_database_url",),
    # Its runs, too: they are its children.
    "code": ("database_url", "dagster_database_url", "app_secret", "encryption_keys"),
    # Sessions of operators are in our database, sealed by a key of its own.
    "webserver": ("dagster_database_url", "database_url", "admin_token"),
    "daemon": ("dagster_database_url",),
    "web": ("database_url", "app_secret", "encryption_keys", "api_token", "admin_token", "start_link_key"),
}
"""Process -> the settings it gets of those that are secret; it gets all others."""

# Of what is no setting of ours: how a process finds its programs, its language, certificates and libraries.
_FOR_ALL = (
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|TMPDIR|TEMP|TMP|LANG|LANGUAGE|LC_\w+|COLUMNS|NO_COLOR|FORCE_COLOR|"
    r"PYTHON\w+|VIRTUAL_ENV|LD_\w+|DYLD_\w+|SSL_CERT_FILE|SSL_CERT_DIR|\w+_CA_BUNDLE|XDG_\w+|GRPC_\w+|"
    r"\w+_NUM_THREADS|MALLOC_\w+|DAGSTER_(?!CLOUD)\w+"
)
# PostgreSQL's client; the media store's credentials and the way out to Meta, with the password of a proxy.
_DATABASE = r"PG\w+"
_OUTSIDE = r"AWS_\w+|GOOGLE_\w+|AZURE_\w+|(?i:https?|all|no)_(?i:proxy)"
_ALSO: Mapping[Process, tuple[str, ...]] = {
    "simulator": (),
    "instance": (_DATABASE,),
    "code": (_DATABASE, _OUTSIDE),
    "webserver": (_DATABASE,),
    "daemon": (_DATABASE,),
    "web": (_DATABASE, _OUTSIDE),
}


def environment(settings: Settings, process: Process) -> dict[str, str]:
    """The environment of a process that `up` or `demo` starts: what it needs of this one's, and its settings.

    All settings are written out, the empty ones too, with absolute paths and the driver in the URL: nothing of a `.env`
    is left to be read where a command chose otherwise, or where the process is not to have it.
    """
    inherited = re.compile("|".join((_FOR_ALL, *_ALSO[process])))
    env = {name: value for name, value in os.environ.items() if inherited.fullmatch(name)}
    values = {name: _text(getattr(settings, name)) for name in Settings.model_fields}
    values["data_dir"] = str(settings.home)
    values["database_url"] = _absolute(values["database_url"], r"(sqlite[^:]*:///)([^/?].*)")
    values["media_url"] = _absolute(values["media_url"], r"()((?!\w+:).+)")
    values["dagster_database_url"] = _text(settings.dagster_storage_url)
    values |= dict.fromkeys(secret_settings() - set(SECRETS_OF[process]), "")
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
    with open_file(path, "a+") as lock:
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
