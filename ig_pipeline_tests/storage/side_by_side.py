"""Runs work on threads that start together, and lets none of their failures pass."""

import threading
from collections.abc import Callable


def at_once(*works: Callable[[], object]) -> None:
    """Run all `works` side by side; raise the first failure."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the asserting thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
