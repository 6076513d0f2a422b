"""`ig-pipeline up`: the real thing in one foreground command, Dagster and beside it the web service.

Starts what the settings describe and stops it again. What runs inside is defined in `defs` and `web`.
"""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import click
from pydantic import SecretStr

from ig_pipeline.cli.children import (
    ChildDiedError,
    Children,
    PortInUseError,
    Sink,
    StoppedError,
    free_port,
    is_free,
    local_address,
    require_free,
    stop_signals,
)
from ig_pipeline.cli.console import shown_in_colour
from ig_pipeline.cli.dagster_stack import (
    AlreadyRunningError,
    environment,
    only_one,
    prepare_home,
    start_dagster,
    workspace_file,
)
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.defs.held_open import files_of_home, held_open
from ig_pipeline.private_files import make_folder
from ig_pipeline.settings import PREFIX, Settings, load_settings
from ig_pipeline.storage.database import DatabaseError, DatabaseUrlError, check_reachable, migrate, open_engine
from ig_pipeline.web.access import AddressRefusedError, check_exposure, check_ui_exposure

_STARTS_WITHIN = 60.0


def with_free_port(settings: Settings) -> Settings:
    """The settings with a port that can be used: the default one may move, one that was chosen may not.

    Raises `PortInUseError` for a chosen one, which is part of an address registered with Meta.
    """
    default = Settings.model_fields["web_port"].default
    if is_free(settings.web_host, settings.web_port):
        return settings
    if settings.web_port == default and settings.public_url is None:
        return settings.model_copy(update={"web_port": free_port(settings.web_host)})
    require_free(settings.web_host, settings.web_port, option="IG_PIPELINE_WEB_PORT")
    return settings


def start_web(children: Children, settings: Settings) -> str:
    """Start `ig-pipeline web` and return its address once it answers. Raises `ChildDiedError`."""
    command = [sys.executable, "-m", "ig_pipeline.cli", "web"]
    children.start("web", command, env=environment(settings, "web"), folder=settings.home)
    local = local_address(settings.web_host, settings.web_port)
    children.wait_until(lambda: _answers(f"{local}/healthz"), "The web service", within=_STARTS_WITHIN)
    return settings.effective_public_url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class StartError(Exception):
    """Something a person can mend kept it from starting; one clear line."""


@dataclass(frozen=True)
class Running:
    """What `running_stack` has started."""

    address: str
    """Of Dagster's UI."""
    children: Children
    """Others may be added: they are stopped with the rest."""


@click.command("up")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the UI listens on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of the UI.")
@click.option("--web/--no-web", "with_web", default=True, help="Run the web service too (IG_PIPELINE_WEB_PORT).")
@click.option("--quiet", is_flag=True, help="Print warnings and errors only, not every line Dagster logs.")
def up(host: str, port: int, with_web: bool, quiet: bool) -> None:
    """Run Dagster's UI, daemon, code location and the web service until Ctrl-C.

    \b
    The data folder holds everything embedded; with IG_PIPELINE_DATABASE_URL and
    IG_PIPELINE_DAGSTER_DATABASE_URL set, the same runs on PostgreSQL.

    \b
    With IG_PIPELINE_ADMIN_TOKEN set, the UI asks for it; without, it is for this machine
    alone and --host takes loopback addresses only.

    \b
    Examples:
      ig-pipeline up
      ig-pipeline up --port 3100 --quiet
      IG_PIPELINE_ADMIN_TOKEN=… IG_PIPELINE_UI_URL=https://dagster.example.com ig-pipeline up --host 0.0.0.0
    """

    def sink(name: str, line: str) -> None:
        if not quiet or "INFO" not in line:
            click.echo(f"{name:>9} | {shown_in_colour(line)}")

    began = time.monotonic()
    settings = load_settings()
    try:
        check_ui_exposure(settings, host)
        if with_web:
            check_exposure(settings)
        with stop_signals(), running_stack(settings, host=host, port=port, sink=sink, say=click.echo) as running:
            click.echo(f"Dagster's UI: {running.address}  (up after {time.monotonic() - began:.1f} s; Ctrl-C stops it)")
            if with_web:
                click.echo(f"Web service:  {open_front_door(running, settings)}")
            running.children.wait()
    except StoppedError:
        click.echo("Stopped.")
    except AddressRefusedError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    except (StartError, ChildDiedError) as error:
        raise CommandError(str(error)) from None


@contextmanager
def running_stack(
    settings: Settings, *, host: str, port: int, sink: Sink, say: Callable[[str], None]
) -> Iterator[Running]:
    """The migrated database and Dagster on it; stopped at the end of the block.

    Raises `StartError`, with one clear line, for everything a person can mend.
    """
    with ExitStack() as stack:
        try:
            require_free(host, port)
            prepare_databases(settings)
            say("Database ready, starting Dagster …")
            stack.enter_context(only_one(prepare_home(settings)))
            socket, workspace = stack.enter_context(workspace_file())
            children = stack.enter_context(Children(sink))
            address = start_dagster(children, settings, socket=socket, workspace=workspace, host=host, port=port)
            stack.enter_context(held_open(*files_of_home(settings.dagster_home)))
        except (PortInUseError, AlreadyRunningError, ChildDiedError, DatabaseError, OSError) as error:
            raise StartError(str(error)) from error
        yield Running(address, children)


def open_front_door(running: Running, settings: Settings) -> str:
    """Start the web service beside Dagster; its address. Raises `StartError`, `ChildDiedError`."""
    try:
        return start_web(running.children, with_free_port(settings))
    except PortInUseError as error:
        raise StartError(str(error)) from None


def prepare_databases(settings: Settings) -> None:
    """Migrate the pipeline's database and reach Dagster's, if it has one of its own. Raises `DatabaseError`."""
    make_folder(settings.home)
    engine = open_engine(settings.effective_database_url)
    try:
        migrate(engine)
    finally:
        engine.dispose()
    if settings.dagster_storage_url is not None:
        _reach(settings.dagster_storage_url)


def _reach(url: SecretStr) -> None:
    """Connect once. Raises `DatabaseError`, naming the right setting and never the password."""
    mine = f"{PREFIX}DAGSTER_DATABASE_URL"
    try:
        engine = open_engine(url)
        if engine.dialect.name != "postgresql":
            raise DatabaseUrlError(f"{mine} must name a PostgreSQL; leave it empty for SQLite in the data folder.")
        try:
            check_reachable(engine)
        finally:
            engine.dispose()
    except DatabaseError as error:
        raise type(error)(str(error).replace(f"{PREFIX}DATABASE_URL", mine)) from None
