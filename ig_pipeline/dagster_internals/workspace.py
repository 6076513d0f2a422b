"""A workspace file opened for the web server, whose app takes nothing else and has no public way to one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg


@contextmanager
def open_workspace(instance: dg.DagsterInstance, file: Path, *, version: str) -> Iterator[Any]:
    """What `dagster_webserver.app` makes its app of. `version`: the web server's own."""
    from dagster._core.workspace.context import WorkspaceProcessContext  # noqa: PLC0415
    from dagster._core.workspace.load_target import WorkspaceFileTarget  # noqa: PLC0415

    with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(file)]), version=version) as context:
        yield context


def configure_loggers() -> None:
    """Dagster's own form for what its processes print, as `dagster-webserver` sets it up."""
    from dagster._utils.log import configure_loggers as configure  # noqa: PLC0415

    configure(formatter="colored", log_level="INFO")
