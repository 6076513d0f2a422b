"""The simulator's CDN: signed URLs that expire, and every way a download can go wrong, on request.

Which posts exist and what their files are called is the world's business; the bytes are made in `cdn_files`.
"""

import hashlib
import hmac
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ig_pipeline.simulator.cdn_answers import FileAnswer, misbehave
from ig_pipeline.simulator.cdn_files import CdnFile

# Recorded lifetimes of images are 104 to 108 hours (facts §2.1).
LIFETIME = timedelta(hours=104)
PATH = "/_cdn/v/t51.2885-15"


@dataclass
class Cdn:
    """One CDN. `clock` tells when URLs expire; `files` names what a media id holds where the default will not do.

    `requests` counts GETs by media id, `faults` holds what the next answers for a media id do wrong, in order
    (see `cdn_answers`); the media id `*` stands for all.
    """

    clock: Callable[[], datetime]
    files: Mapping[str, CdnFile] = field(default_factory=dict)
    key: bytes = b"simulated-cdn"
    lifetime: timedelta = LIFETIME
    requests: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    faults: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _reads: Iterator[int] = field(default_factory=itertools.count)

    def file_of(self, media_id: str, media_type: str) -> CdnFile:
        """The file of a post or child: from `files`, else drawn from its id, 20 to 90 KB or 0.2 to 1.5 MB."""
        if known := self.files.get(media_id):
            return known
        draw = int.from_bytes(hashlib.sha256(media_id.encode()).digest()[:4], "big")
        if media_type == "VIDEO":
            return CdnFile(media_id, "video", 200_000 + draw % 1_300_000)
        return CdnFile(media_id, "image", 20_000 + draw % 70_000)

    def url(self, base: str, media_id: str, file: CdnFile) -> str:
        """A fresh signed URL below `base`: another one at each read, as the real ones are."""
        expires = int((self.clock() + self.lifetime).timestamp())
        name = f"{PATH}/{media_id}_n.{'jpg' if file.kind == 'image' else 'mp4'}"
        query = {"_nc_cat": "1", "_nc_gid": f"{next(self._reads):x}", "c": file.content, "n": str(file.size)}
        return f"{base}{name}?{urlencode({**query, 'oh': self._sign(name, query, expires), 'oe': f'{expires:X}'})}"

    def routes(self) -> list[Route]:
        """The files, and the control endpoints for another process."""
        return [
            Route(f"{PATH}/{{name}}", self._get, methods=["GET"]),
            Route("/_simulator/cdn/faults", self._set_faults, methods=["POST"]),
            Route("/_simulator/cdn", self._status, methods=["GET"]),
        ]

    def _sign(self, name: str, query: Mapping[str, str], expires: int) -> str:
        text = "\n".join((name, *(f"{key}={value}" for key, value in sorted(query.items())), f"{expires:X}"))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:32]

    async def _get(self, request: Request) -> Response:
        query = dict(request.query_params)
        signature, expires = query.pop("oh", ""), query.pop("oe", "")
        media_id = request.path_params["name"].removesuffix(".jpg").removesuffix(".mp4").removesuffix("_n")
        self.requests[media_id] += 1
        try:
            valid = hmac.compare_digest(signature, self._sign(request.url.path, query, int(expires, 16)))
        except ValueError:
            valid = False
        if not valid:
            return PlainTextResponse("URL signature mismatch", 403)
        if int(expires, 16) < self.clock().timestamp():
            return PlainTextResponse("URL signature expired", 403)
        kind = "image" if request.url.path.endswith(".jpg") else "video"
        file = CdnFile(query["c"], "image" if kind == "image" else "video", int(query["n"]))
        if fault := self._next_fault(media_id):
            return misbehave(fault, file, request.headers.get("range"), self._sent)
        return FileAnswer(file, request.headers.get("range"), self._sent)

    def _sent(self, count: int) -> None:
        self.bytes_sent += count

    def _next_fault(self, media_id: str) -> str | None:
        for waiting in (self.faults.get(media_id), self.faults.get("*")):
            if waiting:
                return waiting.popleft()
        return None

    async def _set_faults(self, request: Request) -> Response:
        """`{"media_id": ["cut", "redirect http://…"]}` adds to what is waiting; `{}` forgets everything."""
        body = await request.json()
        if not body:
            self.faults.clear()
        for media_id, faults in body.items():
            self.faults[media_id].extend(faults)
        return JSONResponse({"waiting": {media_id: list(faults) for media_id, faults in self.faults.items()}})

    async def _status(self, request: Request) -> Response:
        return JSONResponse({"requests": self.requests, "bytes_sent": self.bytes_sent})
