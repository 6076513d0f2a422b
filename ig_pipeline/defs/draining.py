"""An asynchronous stream read by Dagster's synchronous generators.

One thread, one event loop, one task for the whole stream: time-outs and task groups inside it are bound to a task.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The last thing in the queue, with the error the stream ended in."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def drain(stream: AsyncIterator[T]) -> Iterator[T]:
    """Yield what `stream` yields while it goes on working in its thread; raises the error it ends in.

    When the reader stops early (a terminated run), the stream is cancelled and waited for.
    """
    results: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()

    async def pump() -> None:
        async for result in stream:
            results.put(result)

    def work() -> None:
        end = _End()
        try:
            loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            end = _End(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            results.put(end)

    task = loop.create_task(pump())
    thread = threading.Thread(target=work, name="engine", daemon=True)
    thread.start()
    try:
        while not isinstance(item := results.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        if thread.is_alive():
            with suppress(RuntimeError):  # the stream ended between the two lines and its loop is closed
                loop.call_soon_threadsafe(task.cancel)
            thread.join()
