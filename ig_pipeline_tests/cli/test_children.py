"""Nothing outlives the command that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from ig_pipeline.cli.children import ChildDiedError, Children, StoppedError, stop_signals

T = TypeVar("T")

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
WITH_GRANDCHILD = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(p.pid, flush=True); p.wait()"
)


class Lines:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.seen.append((name, line))

    def first(self) -> str:
        return wait_until(lambda: self.seen)[0][1]


def wait_until(condition: Callable[[], T], seconds: float = 20.0) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("did not happen in time")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_child_that_stands_back_starts_stands_back_too() -> None:
    lines = Lines()
    with Children(lines) as children:
        children.start("parent", python(WITH_GRANDCHILD), env=os.environ, niceness=7)
        grandchild = int(lines.first())
        assert os.getpriority(os.PRIO_PROCESS, grandchild) == 7
        assert os.getpriority(os.PRIO_PROCESS, 0) < 7
        autogroup = Path(f"/proc/{grandchild}/autogroup")
        if os.access(autogroup, os.W_OK) and (said := autogroup.read_text()):  # Linux, and its /proc can be written to
            assert said.endswith("nice 7\n")


def test_a_child_goes_on_when_nobody_reads_what_is_printed_any_more() -> None:
    def gone(name: str, line: str) -> None:
        raise BrokenPipeError

    with Children(gone) as children:
        # More than a pipe holds (64 KiB): it would wait for a reader.
        wait = children.run_once("talker", python("for _ in range(10_000): print('x' * 80)"), env=os.environ)
        wait()


def test_leaving_the_block_stops_children_and_what_they_started() -> None:
    lines = Lines()
    with Children(lines) as children:
        child = children.start("parent", python(WITH_GRANDCHILD), env=os.environ)
        grandchild = int(lines.first())
        assert psutil.pid_exists(grandchild)
    assert is_gone(child.process.pid)
    wait_until(lambda: is_gone(grandchild))


def test_a_child_that_ignores_the_request_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ig_pipeline.cli.children._GRACE_SECONDS", 0.3)
    lines = Lines()
    with Children(lines) as children:
        child = children.start("stubborn", python(STUBBORN), env=os.environ)
        lines.first()
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_dies_is_reported_with_its_last_words() -> None:
    with Children(Lines()) as children:
        child = children.start("fragile", python("print('no such table'); raise SystemExit(3)"), env=os.environ)
        child.process.wait()
        with pytest.raises(ChildDiedError, match=r"fragile ended with code 3\.\nno such table"):
            children.wait()


def test_a_command_run_once_is_waited_for_and_its_failure_raised() -> None:
    with Children(Lines()) as children:
        children.run_once("good", python("print('done')"), env=os.environ)()
        children.check()
        with pytest.raises(ChildDiedError, match="bad ended with code 1"):
            children.run_once("bad", python("raise SystemExit(1)"), env=os.environ)()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_stop_signal_raises_and_the_handlers_come_back_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(StoppedError, match=number.name), stop_signals():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert signal.getsignal(number) is before


SUPERVISOR = f"""
import os, sys
from ig_pipeline.cli.children import Children, StoppedError, stop_signals
try:
    with stop_signals(), Children(lambda name, line: None) as children:
        child = children.start("child", [sys.executable, "-c", {SLEEP!r}], env=os.environ)
        print(child.process.pid, flush=True)
        children.wait()
except StoppedError as stopped:
    print(stopped, flush=True)
"""


@contextmanager
def supervisor(**options: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(python(SUPERVISOR), stdout=subprocess.PIPE, text=True, **options) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def test_an_interrupt_is_heard_even_where_the_shell_left_it_ignored() -> None:
    """`nohup … &` starts a command with SIGINT ignored, and Dagster's children would inherit it."""
    with supervisor(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as (process, child):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert is_gone(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_end_when_their_parent_is_killed_outright() -> None:
    with supervisor() as (process, child):
        process.kill()
        process.wait()
        wait_until(lambda: is_gone(child))
