"""Dagster as three processes, code location, webserver, daemon, and their home in the data folder.

Started in the order that answers soonest: `dagster dev` does the same in 5.5 s; this takes about 4.5, has no warning
and stops what it started.
"""

import fcntl
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import SecretStr

from ig_pipeline.bounded_answers import read_json
from ig_pipeline.cli.children import Children, local_address, require_free
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


LOCATION = "ig_pipeline"
"""Name of the code location: the same in workspace.yaml and pyproject.toml, or the UI would show two."""

NICENESS_OF_RUNS = 10
"""Runs, which the code location starts, stand back behind the web service that shares their machine.

On two cores, beside the night of 1,000 accounts, one request in a hundred waited 0.9 s without it and waits 0.04 s with
it (`make bench-web`).
"""

_START_SECONDS = 90.0
"""A cold first start took 8 s on two cores; a busy machine gets ten times that before we give up."""

_UNFINISHED = (
    "{runsOrError(filter:{statuses:[QUEUED,NOT_STARTED,MANAGED,STARTING,STARTED]},limit:1){... on Runs{count}}}"
)
_LOADED = "{workspaceOrError{... on Workspace{locationEntries{loadStatus locationOrLoadError{__typename}}}}}"


@contextmanager
def workspace_file() -> Iterator[tuple[Path, Path]]:
    """A socket for the code server and the workspace file that names it, in a folder of their own.

    A socket needs no port and is open to nobody else; in the data folder its path could pass the 108 bytes allowed.
    """
    folder = Path(tempfile.mkdtemp(prefix="igp-"))
    try:
        socket = folder / "code.sock"
        workspace = folder / "workspace.yaml"
        server = {"socket": str(socket), "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        yield socket, workspace
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_dagster(
    children: Children, settings: Settings, *, socket: Path, workspace: Path, host: str, port: int
) -> str:
    """Start everything and return the UI's address once it answers with the code location loaded.

    Raises `PortInUseError` and `ChildDiedError`.
    """
    require_free(host, port)
    # Dagster lets a .env of its working folder win over the environment; in its own home there is none.
    home, python = prepare_home(settings), sys.executable

    def env(process: Process) -> dict[str, str]:
        return environment(settings, process)

    # Two processes that make the tables of a new instance at once leave two heads in its alembic_version, and nothing
    # starts on it any more. So a new one is prepared alone, which costs 1.5 s once.
    is_new = not (home / "schedules").is_dir()
    prepared = children.run_once(
        "instance", [python, "-m", "ig_pipeline.defs.instance"], env=env("instance"), folder=home
    )
    if is_new:
        prepared()
    code = [python, "-m", "dagster", "api", "grpc", "--socket", str(socket), "--location-name", LOCATION]
    code += ["-m", "ig_pipeline.definitions"]
    children.start("code", code, env=env("code"), folder=home, niceness=NICENESS_OF_RUNS)
    if not is_new:
        prepared()
    children.wait_until(socket.exists, "the code location", within=_START_SECONDS)
    located = ["-w", str(workspace)]
    # Behind a gate of ours: Dagster's own server takes orders from any web page that is open beside it.
    web = [python, "-m", "ig_pipeline.dagster_ui", "--host", host, "--port", str(port), *located]
    children.start("webserver", web, env=env("webserver"), folder=home)
    daemon = str(Path(sysconfig.get_path("scripts")) / "dagster-daemon")
    children.start("daemon", [daemon, "run", *located], env=env("daemon"), folder=home)
    address = local_address(host, port)
    children.wait_until(lambda: _is_loaded(address, settings.admin_token), "Dagster's UI", within=_START_SECONDS)
    return address


def unfinished_runs(address: str, token: SecretStr | None) -> int:
    """How many runs are queued or under way at the Dagster that answers at `address`; `token`: what it asks for."""
    return int(_query(address, _UNFINISHED, token)["runsOrError"]["count"])


def _is_loaded(address: str, token: SecretStr | None) -> bool:
    """Whether the webserver answers and its code location has loaded."""
    try:
        entries = _query(address, _LOADED, token)["workspaceOrError"].get("locationEntries", [])
    except OSError:
        return False
    return any(
        entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        for entry in entries
    )


def _query(address: str, query: str, token: SecretStr | None) -> dict[str, Any]:
    """The data of a GraphQL answer. Raises `OSError` when there is none."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{address}/graphql", data=json.dumps({"query": query}).encode(), headers=headers
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
        try:
            answered = read_json(answer)
        except ValueError:
            answered = None
    data = answered.get("data") if isinstance(answered, dict) else None
    if not isinstance(data, dict):
        raise OSError("Dagster's UI answered without data.")
    return data
