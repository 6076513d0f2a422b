"""How the CDN sends a file, rightly or wrongly. Signatures and counting stand in `cdn`."""

import asyncio
from collections.abc import Callable, Iterator

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ig_pipeline.simulator.cdn_files import CdnFile, length_of, pieces

Sent = Callable[[int], None]


class FileAnswer(Response):
    """A file, streamed at the reader's pace; one range from a byte to the end is understood.

    The ways to go wrong: `stop_after` that many bytes and drop the connection, or end as if that were all when the
    length is left out (`unsized`); wait `pause` seconds before each piece; append `surplus` bytes; `ignore_range`.
    """

    def __init__(
        self,
        file: CdnFile,
        range_header: str | None,
        sent: Sent,
        *,
        stop_after: int | None = None,
        unsized: bool = False,
        pause: float = 0.0,
        surplus: int = 0,
        ignore_range: bool = False,
    ) -> None:
        length = length_of(file)
        start = 0 if ignore_range else _first_byte(range_header)
        self.file, self.start, self.sent = file, start, sent
        self.stop_after, self.pause, self.surplus, self.unsized = stop_after, pause, surplus, unsized
        headers = {"content-type": file.mime_type, "accept-ranges": "bytes", "etag": f'"{file.content[:60]}-{length}"'}
        if start:
            headers["content-range"] = f"bytes {start}-{length - 1}/{length}"
        if not unsized:
            headers["content-length"] = str(length - start + surplus)
        super().__init__(status_code=206 if start else 200, headers=headers)
        if unsized:
            del self.headers["content-length"]

    def _pieces(self) -> Iterator[bytes]:
        left = self.stop_after
        for piece in pieces(self.file, self.start):
            if left is not None and len(piece) >= left:
                yield piece[:left]
                return
            left = None if left is None else left - len(piece)
            yield piece
        surplus = self.surplus
        while surplus > 0:
            yield bytes(min(surplus, 65_536))
            surplus -= 65_536

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces():
            if self.pause:
                await asyncio.sleep(self.pause)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self.sent(len(piece))
        if self.stop_after is None or self.unsized:
            await send({"type": "http.response.body", "body": b""})
        # Else: returning without an end makes the server drop the connection, as a CDN's node that dies does.


def misbehave(fault: str, file: CdnFile, range_header: str | None, sent: Sent) -> Response:
    """The answer for a fault by name, a value after a space where it takes one. Raises ValueError for another name.

    expired · status N · cut [bytes] · cut-unsized [bytes] · no-range [bytes] · slow [seconds a piece]
    oversize [bytes] · oversize-unsized [bytes] · html · broken · video · redirect URL
    """
    name, _, value = fault.partition(" ")
    half = int(value) if name in {"cut", "cut-unsized"} and value else length_of(file) // 2
    simple: dict[str, Callable[[], Response]] = {
        "expired": lambda: PlainTextResponse("URL signature expired", 403),
        "status": lambda: PlainTextResponse("refused", int(value)),
        "redirect": lambda: RedirectResponse(value, 302),
        "html": lambda: Response(b"<!doctype html><title>Sorry</title>" * 900, media_type=file.mime_type),
        "broken": lambda: Response(b"\xff\xd8\xff\xe0" + bytes(20_000), media_type=file.mime_type),
        "video": lambda: FileAnswer(CdnFile(file.content, "video", 60_000), None, sent),
        "cut": lambda: FileAnswer(file, range_header, sent, stop_after=half),
        "cut-unsized": lambda: FileAnswer(file, None, sent, stop_after=half, unsized=True),
        "no-range": lambda: FileAnswer(file, range_header, sent, ignore_range=True),
        "slow": lambda: FileAnswer(file, range_header, sent, pause=float(value or 0.2)),
        "oversize": lambda: FileAnswer(file, None, sent, surplus=int(value or 10**9)),
        "oversize-unsized": lambda: FileAnswer(file, None, sent, surplus=int(value or 10**9), unsized=True),
    }
    if name not in simple:
        raise ValueError(f"no such fault: {name}; there are {', '.join(simple)}")
    return simple[name]()


def _first_byte(range_header: str | None) -> int:
    if range_header and range_header.startswith("bytes=") and range_header.endswith("-"):
        return int(range_header[6:-1])
    return 0
