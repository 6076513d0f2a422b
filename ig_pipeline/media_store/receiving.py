"""The receiving side of one download, across its attempts: what came, what is to come, and writing it in pieces.

Knows answers, not connections: when to try again is decided in `downloading`.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor

import aiohttp

from ig_pipeline.media_store.errors import NotMediaError, TooLargeError
from ig_pipeline.media_store.parts import Part
from ig_pipeline.media_store.sniffing import SNIFFED_BYTES, sniff

# Bytes gathered before a trip to a thread. One gathered, one being written and one on its way from the kernel, in
# sixteen downloads, are 48 MiB; 80 were measured (`make bench-media`).
_GATHERED = 1024 * 1024


class Receiver:
    """One file on its way into `part`. `received` counts its bytes, across attempts."""

    def __init__(
        self, part: Part, *, media_id: str, max_bytes: int, threads: Executor, on_bytes: Callable[[int], None]
    ) -> None:
        self.media_id = media_id
        self.received = 0
        self._part, self._max_bytes, self._threads, self._on_bytes = part, max_bytes, threads, on_bytes
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self._total: int | None = None
        self._etag: str | None = None
        self._sniffed = False

    @property
    def missing(self) -> bool:
        """Whether fewer or more bytes came than were announced."""
        return self._total is not None and self.received != self._total

    def resume_headers(self) -> dict[str, str]:
        """Headers that ask for the rest, if something came before from a file that can be recognised."""
        if not self.received or self._etag is None:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self._etag}

    def expect(self, answer: aiohttp.ClientResponse) -> None:
        """Note what is announced. Raises `TooLargeError`."""
        if answer.content_length is not None:
            self._total = self.received + answer.content_length
            self._refuse_too_large(self._total)
        etag = answer.headers.get("ETag")
        self._etag = etag if etag and not etag.startswith("W/") else None

    async def take(self, chunk: bytes) -> None:
        """Keep a piece. Raises `TooLargeError`, `NotMediaError` as soon as the first bytes tell, `StoreError`."""
        self.received += len(chunk)
        self._on_bytes(len(chunk))
        self._refuse_too_large(self.received)
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if not self._sniffed and self.received >= SNIFFED_BYTES:
            self._sniffed = True
            if self.received == self._gathered_bytes and sniff(b"".join(self._gathered)[:SNIFFED_BYTES]) is None:
                raise NotMediaError("What the CDN sent is neither a picture nor a video.", media_id=self.media_id)
        if self._gathered_bytes >= _GATHERED:
            await self._flush()

    async def restart(self) -> None:
        """Forget what came: the CDN begins anew."""
        await self.settle()
        self._gathered, self._gathered_bytes, self._total, self._etag = [], 0, None, None
        if self._part.size:
            self._part.restart()
        if self.received:
            self._on_bytes(-self.received)
        self.received, self._sniffed = 0, False

    def rest(self) -> list[bytes]:
        """The pieces that are not with the part yet; to be called after `settle`, or when nothing is being written."""
        rest, self._gathered = self._gathered, []
        return rest

    async def settle(self) -> None:
        """Wait for the write under way, also after a cancellation: no file is closed under a thread's feet."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            writing, self._writing = self._writing, None
            writing.result()

    async def _flush(self) -> None:
        """Hand what was gathered to a thread, after the write before it: the next piece arrives meanwhile."""
        await self.settle()
        pieces, self._gathered, self._gathered_bytes = self._gathered, [], 0
        self._writing = asyncio.get_running_loop().run_in_executor(self._threads, self._part.write, pieces)

    def _refuse_too_large(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLargeError(
                f"The file has {size:,} bytes or more, above IG_PIPELINE_MAX_MEDIA_BYTES ({self._max_bytes:,}).",
                media_id=self.media_id,
            )


def first_byte(answer: aiohttp.ClientResponse) -> int | None:
    """Where a partial answer begins, None when it does not say."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None
