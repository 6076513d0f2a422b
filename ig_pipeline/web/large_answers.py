"""Answers of any size: made and sent in pieces, so that none is held whole and no one else waits for it.

What an answer says is the routes'. A whole one would be turned into bytes in one step, during which nothing else in the
process runs: 400,000 rows stopped it for four seconds.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_PIECE = 64 * 1024
# Whoever takes no piece for so long, in seconds, has gone or wants to be waited for.
_TAKES_WITHIN = 60.0


def in_pieces(texts: Iterable[str], *, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer out of `texts`, which are asked for in threads, as the caller takes them.

    To be called in a thread: the first pieces are made at once, and what fails meanwhile is refused as anywhere. An
    answer that has no more than those goes out as one with its length.
    """
    pieces = _gathered(texts)
    first = next(pieces, b"")
    second = next(pieces, None)
    if second is None:
        return Response(first, media_type=media_type, headers=headers)
    return _Streamed(chain((first, second), pieces), media_type=media_type, headers=headers)


def with_items(empty: BaseModel, items: Iterable[BaseModel]) -> Iterator[str]:
    """The JSON of `empty`, whose last field is a list without items, with `items` in it."""
    head = empty.model_dump_json()
    assert head.endswith("[]}"), "the last field is to be an empty list"
    yield head[:-2]
    between = ""
    for item in items:
        yield between + item.model_dump_json()
        between = ","
    yield "]}"


class _Streamed(StreamingResponse):
    """Given up when the caller stops reading: it would keep its connection for ever."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(_TAKES_WITHIN):
                    await send(message)
            except TimeoutError:
                raise _StoppedReadingError from None

        try:
            await super().__call__(scope, receive, in_time)
        except _StoppedReadingError:
            log.info("A caller stopped reading a large answer: the connection is closed.")


class _StoppedReadingError(Exception):
    """Never leaves this module. No `OSError`, which the framework takes for a caller that has gone."""


def _gathered(texts: Iterable[str]) -> Iterator[bytes]:
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
