"""What others answer over HTTP, taken in no larger, deeper or odder than an honest answer is.

For every client of ours that reads JSON: Meta's, Telegram's, `doctor`'s, those that ask our own processes. What an
answer means is decided elsewhere. Files from the CDN are not JSON and have bounds of their own.
"""

import json
import math
import re
import zlib
from dataclasses import dataclass, field
from typing import IO

import httpx

# A page of a hundred posts, each with an album of twenty and a caption of 2,200 characters as escapes: 5 MB.
MOST_BYTES = 16 * 1024 * 1024
"""The largest body that is read, decompressed."""

# The same page has 30,000 values; commas in captions count as well. Empty objects, the worst, then take 40 MB.
_MOST_VALUES = 500_000
# Meta nests some ten deep.
_DEEPEST = 64
# Ids have up to 20 digits. An integer beyond that, and what is no finite number, is no value at all.
_MOST_DIGITS = 40
# What is decompressed at once: a kilobyte may unpack to a megabyte.
_PIECE = 64 * 1024

ACCEPT = {"Accept": "application/json", "Accept-Encoding": "gzip"}
"""Headers of a request whose answer `read` takes."""

# Escapes from left to right, so that half a pair of surrogates is told from an escaped backslash.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


class UnusableAnswerError(Exception):
    """An answer that is not read to its end. The message says why, and holds nothing of it."""


@dataclass(frozen=True)
class Received:
    """An answer that came whole: `body` is decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)


async def read(response: httpx.Response) -> Received:
    """The answer of a request that was sent with `stream`. Raises `UnusableAnswerError` and what httpx raises."""
    body = _Body(response)
    if not response.is_stream_consumed:
        async for chunk in response.aiter_raw():
            body.take(chunk)
    return body.received()


def read_json(file: IO[bytes]) -> object:
    """The JSON a file of an open connection brings. Raises `ValueError`, and `OSError` of the connection."""
    return parse_json(file.read(MOST_BYTES + 1))


def parse_json(text: bytes | str) -> object:
    """JSON of bounded size, depth and number of values. Raises `ValueError`, and nothing else.

    Numbers that no one can use (not finite, or of more digits than an id) are None; half a surrogate pair, which
    cannot be written as UTF-8, becomes a question mark.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if len(raw) > MOST_BYTES:
        raise ValueError("too large")
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > _MOST_VALUES:
        raise ValueError("too many values")
    if b"\\ud" in raw or b"\\uD" in raw:
        raw = _ESCAPES.sub(lambda found: b"?" if found["half"] else found[0], raw)
    try:
        parsed: object = json.loads(raw, parse_int=_integer, parse_float=_finite, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("too deep") from None
    _refuse_deep(parsed)
    return parsed


class _Body:
    """Gathers a body within its bounds. A transport may have read it already."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces = [response.content] if response.is_stream_consumed else []
        self._size = 0
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip"} and not self._pieces:
            raise UnusableAnswerError("The answer's compression was not asked for.")
        self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None

    def take(self, chunk: bytes) -> None:
        if self._unzip is None:
            self._keep(chunk)
            return
        while chunk and not self._unzip.eof:
            try:
                self._keep(self._unzip.decompress(chunk, _PIECE))
            except zlib.error:
                raise UnusableAnswerError("The answer's compression is broken.") from None
            chunk = self._unzip.unconsumed_tail

    def received(self) -> Received:
        return Received(self._response.status_code, self._response.headers, b"".join(self._pieces))

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MOST_BYTES:
            raise UnusableAnswerError(f"The answer is larger than {MOST_BYTES // 1024**2} MiB.")
        self._pieces.append(piece)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _refuse_deep(parsed: object) -> None:
    level = [parsed]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError("too deep")
