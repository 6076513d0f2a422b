"""The CDN of the simulator: signed addresses of media files, and their answers, right or wrong on request.

An address differs at each read and expires after hours: docs/graph_api.md#media-urls-and-their-expiry. Which posts
exist is decided in `world`; the bytes are made in `cdn_files`.
"""

import asyncio
import hashlib
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ig_pipeline.simulator.cdn_files import CdnFile, length_of, pieces
from ig_pipeline.simulator.draws import between, fraction, opaque

_PATH_PREFIX = "/_cdn"
# Recorded lifetimes (docs/graph_api.md#media-urls-and-their-expiry): pictures 104-108 h, videos 32-108 h.
_PICTURE_HOURS = (104.0, 108.0)
_VIDEO_HOURS = (32.0, 108.0)


def file_url(base_url: str, object_id: str, *, video: bool, now: datetime, thumbnail: bool = False) -> str:
    """An address of the file of a post, child or story, good for hours after `now` (to the minute).

    The path holds the object's id and what is asked for: `…/{id}_v.mp4`, `…/{id}_n.jpg`, `…/{id}_t.jpg`.
    """
    minute = now.replace(second=0, microsecond=0)
    hours = between(*(_VIDEO_HOURS if video and not thumbnail else _PICTURE_HOURS), object_id, "life")
    path, kind = ("/o1/v/t16/f2/m84", "v.mp4") if video and not thumbnail else ("/v/t51.82787-15", "n.jpg")
    expires = int((minute + timedelta(hours=hours)).timestamp())
    query = {
        "_nc_cat": str(100 + int(11 * fraction(object_id, "cat"))),
        "ccb": "7-5",
        "_nc_ohc": opaque(24, object_id, minute, "ohc"),
        "oh": _signature(object_id, expires),
        "oe": f"{expires:X}",
    }
    name = f"{object_id}_{'t.jpg' if thumbnail else kind}"
    return f"{base_url}{_PATH_PREFIX}{path}/{name}?{urlencode(query)}"


def _signature(object_id: str, expires: int) -> str:
    """What `oh` must be for an object and an expiry (Unix seconds)."""
    return "00_" + opaque(40, object_id, expires, "signature")


def _is_alive(object_id: str, query: dict[str, str], now: datetime) -> bool:
    """Whether the address with this query is signed by us and not yet expired; else it answers 403."""
    try:
        expires = int(query.get("oe", ""), 16)
    except ValueError:
        return False
    return query.get("oh") == _signature(object_id, expires) and now < datetime.fromtimestamp(expires, UTC)


_Sent = Callable[[int], None]


# ---- answers -------------------------------------------------------------------------------------------------------


class _FileAnswer(Response):
    """A file, streamed at the reader's pace; one range from a byte to the end is understood.

    The ways to go wrong: `stop_after` that many bytes and drop the connection, or end as if that were all when the
    length is left out (`unsized`); wait `pause` seconds before each piece; append `surplus` bytes; `ignore_range`.
    """

    def __init__(
        self,
        file: CdnFile,
        range_header: str | None,
        sent: _Sent,
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


def _faulty_answer(fault: str, file: CdnFile, range_header: str | None, sent: _Sent) -> Response:
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
        "video": lambda: _FileAnswer(CdnFile(file.content, "video", 60_000), None, sent),
        "cut": lambda: _FileAnswer(file, range_header, sent, stop_after=half),
        "cut-unsized": lambda: _FileAnswer(file, None, sent, stop_after=half, unsized=True),
        "no-range": lambda: _FileAnswer(file, range_header, sent, ignore_range=True),
        "slow": lambda: _FileAnswer(file, range_header, sent, pause=float(value or 0.2)),
        "oversize": lambda: _FileAnswer(file, None, sent, surplus=int(value or 10**9)),
        "oversize-unsized": lambda: _FileAnswer(file, None, sent, surplus=int(value or 10**9), unsized=True),
    }
    if name not in simple:
        raise ValueError(f"no such fault: {name}; there are {', '.join(simple)}")
    return simple[name]()


def _first_byte(range_header: str | None) -> int:
    if range_header and range_header.startswith("bytes=") and range_header.endswith("-"):
        return int(range_header[6:-1])
    return 0


# ---- the server's side ---------------------------------------------------------------------------------------------

# `{id}_n.jpg`, `{id}_t.jpg` (of a video) and `{id}_v.mp4`, as `file_url` names them.
_NAME = re.compile(r"(?P<id>\d+(?:_\d+)?)_(?P<what>n\.jpg|t\.jpg|v\.mp4)")
_ANY = "*"


@dataclass
class Cdn:
    """One CDN. `clock` tells when URLs expire; `files` names what an id holds where the default will not do.

    `requests` counts GETs by id. `faults` holds what the next answers for an id do wrong, in order, by the names of
    `_faulty_answer`; the id `*` stands for all, and what is under it applies to all requests from then on.
    """

    clock: Callable[[], datetime]
    files: dict[str, CdnFile] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    faults: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    def file_of(self, object_id: str, *, video: bool) -> CdnFile:
        """The file of a post or child: from `files`, else drawn from its id: 20 to 90 KB, videos 0.2 to 1.5 MB."""
        if known := self.files.get(object_id):
            return known
        draw = int.from_bytes(hashlib.sha256(object_id.encode()).digest()[:4], "big")
        if video:
            return CdnFile(object_id, "video", 200_000 + draw % 1_300_000)
        return CdnFile(object_id, "image", 20_000 + draw % 70_000)

    def routes(self) -> list[Route]:
        """The files, and the control endpoints for other processes."""
        return [
            Route(f"{_PATH_PREFIX}/{{path:path}}", self._get, methods=["GET"]),
            Route("/_simulator/cdn", self._control, methods=["GET", "POST"]),
        ]

    def answer(self, name: str, query: dict[str, str], range_header: str | None) -> Response:
        """The answer for a file by name, right, refused or wrong."""
        found = _NAME.fullmatch(name)
        if found is None:
            return PlainTextResponse("Not Found", 404)
        object_id, what = found["id"], found["what"]
        self.requests[object_id] += 1
        if not _is_alive(object_id, query, self.clock()):
            return PlainTextResponse("URL signature expired", 403)
        file = CdnFile(object_id, "image", 0) if what == "t.jpg" else self.file_of(object_id, video=what == "v.mp4")
        if fault := self._next_fault(object_id):
            return _faulty_answer(fault, file, range_header, self._sent)
        return _FileAnswer(file, range_header, self._sent)

    def _next_fault(self, object_id: str) -> str | None:
        if waiting := self.faults.get(object_id):
            return waiting.popleft()
        always = self.faults.get(_ANY)
        return always[0] if always else None

    def _sent(self, count: int) -> None:
        self.bytes_sent += count

    async def _get(self, request: Request) -> Response:
        name = request.path_params["path"].rpartition("/")[2]
        return self.answer(name, dict(request.query_params), request.headers.get("range"))

    async def _control(self, request: Request) -> Response:
        """GET: what was asked for. POST `{"id": ["cut", "redirect http://…"]}`: faults to come; `{}` clears them."""
        if request.method == "POST":
            wanted = await request.json()
            if not wanted:
                self.faults.clear()
            for object_id, faults in wanted.items():
                self.faults[object_id].extend(faults)
        return JSONResponse({"requests": self.requests, "bytes_sent": self.bytes_sent})
