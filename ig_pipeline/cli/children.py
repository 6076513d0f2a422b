"""Processes started, watched and stopped together, and the ports they listen on.

No process outlives the command that started it. Knows neither Dagster nor Instagram. Every process leads a group of its
own, so that a Ctrl-C in the terminal reaches the parent alone and what a process started is stopped with it.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO


class PortInUseError(Exception):
    """Something else listens there; the message names the port and what to do."""


def require_free(host: str, port: int, *, option: str = "--port") -> None:
    """Raise `PortInUseError` when nothing can be served at `host:port`."""
    if is_free(host, port):
        return
    other = next((p for p in range(port + 1, port + 100) if is_free(host, p)), None)
    advice = f", or choose another: {option} {other}" if other else ""
    raise PortInUseError(
        f"Port {port} on {host} is in use. Stop what listens there (`lsof -i :{port}` names it){advice}."
    )


def is_free(host: str, port: int) -> bool:
    """Whether `host:port` can be bound. A port left by a process that just ended counts as free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def local_address(host: str, port: int) -> str:
    """Where this machine reaches what listens on `host:port`: an address that means all of them is none."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


Sink = Callable[[str, str], None]
"""Takes (name of the child, one line it wrote)."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 10.0
"""How long a group may take to end by itself: Dagster's processes need 1.5 to 2.1 s.

See docs/dagster.md#start-up-and-launch-times.
"""


class ChildDiedError(Exception):
    """A child ended though nobody stopped it; the message carries its last lines."""


class StoppedError(Exception):
    """A signal asked the command to end."""


@dataclass
class Child:
    """One process and the last lines it wrote."""

    name: str
    process: subprocess.Popen[str]
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    @property
    def group(self) -> int:
        """The id of its process group, its own process id."""
        return self.process.pid


class Children:
    """A set of processes; leaving the `with` block stops them, the last started first."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._children: list[Child] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path | None = None,
        niceness: int = 0,
    ) -> Child:
        """Start `command`, in `folder` if given; its output goes line by line to the sink.

        `niceness`: how much it and whatever it starts stand back where the processor is short (0 to 19).
        """
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            list(command),
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one prctl, no locks
        )
        child = Child(name, process)
        if niceness:
            stand_back(process.pid, niceness)
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(child, process.stdout), daemon=True, name=f"{name}-output")
        reader.start()
        self._children.append(child)
        self._readers.append(reader)
        return child

    def check(self) -> None:
        """Raise `ChildDiedError` when a child has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                time.sleep(0.2)  # its last words may still be in the pipe
                raise ChildDiedError(f"{child.name} ended with code {code}.\n" + "\n".join(child.last_lines))

    def wait_until(self, ready: Callable[[], bool], what: str, *, within: float) -> None:
        """Return once `ready`; raise `ChildDiedError` when a child ends, or when it is not after `within` seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.check()
            if ready():
                return
            time.sleep(0.05)
        raise ChildDiedError(f"{what} did not answer within {within:.0f} s.")

    def wait(self) -> None:
        """Return never; raise when a child ends. Signals interrupt it."""
        while True:
            self.check()
            time.sleep(0.5)

    def run_once(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], folder: Path | None = None
    ) -> Callable[[], None]:
        """Start a command that ends by itself; the returned function waits for it and raises if it failed."""
        child = self.start(name, command, env=env, folder=folder)
        self._children.remove(child)

        def join() -> None:
            try:
                code = child.process.wait()
            except BaseException:
                self._children.append(child)
                raise
            if code != 0:
                raise ChildDiedError(f"{name} ended with code {code}.\n" + "\n".join(child.last_lines))

        return join

    def stop(self) -> None:
        """Ask every group to end, the last started first, and kill what is left after the grace time."""
        ignore_stop_signals()
        children, self._children = self._children[::-1], []
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            while _group_lives(child) and time.monotonic() < deadline:
                time.sleep(0.05)
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
        for reader in self._readers:
            reader.join(timeout=1)

    def _read(self, child: Child, output: IO[str]) -> None:
        with output:
            for line in output:
                child.last_lines.append(line.rstrip("\n"))
                # Whoever read what we print may be gone (`up | head`); the child must neither wait nor end for that.
                with suppress(BrokenPipeError):
                    self._sink(child.name, line.rstrip("\n"))


def stand_back(leader: int, niceness: int) -> None:
    """Lower the priority of a session's leader and of all it is going to start; nothing where it has ended.

    Linux may share the processor out between sessions first (sched(7), autogroups): there a process's own niceness
    counts within its session only, and the session has one besides.
    """
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, leader, niceness)
    with suppress(OSError):  # no Linux, no autogroups, or not our file to write: what is above has to do
        Path(f"/proc/{leader}/autogroup").write_text(f"{niceness}\n")


@contextmanager
def stop_signals() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise `StoppedError`, also where the shell left SIGINT ignored (`nohup … &`).

    Besides, children inherit an ignored SIGINT and Dagster copies it to SIGTERM: they could not be stopped.
    """

    def stop(signum: int, _frame: FrameType | None) -> None:
        ignore_stop_signals()
        raise StoppedError(signal.Signals(signum).name)

    before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """From now on a second Ctrl-C does not interrupt the stopping. Nothing happens outside the main thread."""
    if threading.current_thread() is threading.main_thread():
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _end_with_parent() -> None:
    """In the child: SIGTERM when the parent is killed outright and cannot stop anything itself (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.group, number)


def _group_lives(child: Child) -> bool:
    try:
        os.killpg(child.group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
