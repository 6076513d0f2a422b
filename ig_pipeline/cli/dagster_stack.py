"""Dagster as three processes: code location, webserver, daemon. Started in the order that answers soonest.

`dagster dev` does the same in 5.5 s; this takes about 4.5, has no warning and stops what it started.
"""

import json
import shutil
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from ig_pipeline.bounded_answers import read_json
from ig_pipeline.cli.children import Children
from ig_pipeline.cli.dagster_home import Process, environment, prepare_home
from ig_pipeline.cli.ports import local_address, require_free
from ig_pipeline.settings import Settings

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
