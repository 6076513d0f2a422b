"""The simulator's CDN: serves what `file_links` signed, and goes wrong in every way a download can, on request.

Which posts exist is the world's business; the bytes are made in `cdn_files`, right and wrong answers in `cdn_answers`.
"""

import hashlib
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ig_pipeline.simulator.cdn_answers import FileAnswer, misbehave
from ig_pipeline.simulator.cdn_files import CdnFile
from ig_pipeline.simulator.file_links import CDN_PREFIX, is_alive

# `{id}_n.jpg`, `{id}_t.jpg` (of a video) and `{id}_v.mp4`, as `file_links` names them.
_NAME = re.compile(r"(?P<id>\d+(?:_\d+)?)_(?P<what>n\.jpg|t\.jpg|v\.mp4)")
ANY = "*"


@dataclass
class Cdn:
    """One CDN. `clock` tells when URLs expire; `files` names what an id holds where the default will not do.

    `requests` counts GETs by id. `faults` holds what the next answers for an id do wrong, in order, by the names of
    `cdn_answers.misbehave`; the id `*` stands for all, and what is under it stays for all that come.
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
        """The files, and the control endpoints for another process."""
        return [
            Route(f"{CDN_PREFIX}/{{path:path}}", self._get, methods=["GET"]),
            Route("/_simulator/cdn", self._control, methods=["GET", "POST"]),
        ]

    def answer(self, name: str, query: dict[str, str], range_header: str | None) -> Response:
        """The answer for a file by name, right, refused or wrong."""
        found = _NAME.fullmatch(name)
        if found is None:
            return PlainTextResponse("Not Found", 404)
        object_id, what = found["id"], found["what"]
        self.requests[object_id] += 1
        if not is_alive(object_id, query, self.clock()):
            return PlainTextResponse("URL signature expired", 403)
        file = CdnFile(object_id, "image", 0) if what == "t.jpg" else self.file_of(object_id, video=what == "v.mp4")
        if fault := self._next_fault(object_id):
            return misbehave(fault, file, range_header, self._sent)
        return FileAnswer(file, range_header, self._sent)

    def _next_fault(self, object_id: str) -> str | None:
        if waiting := self.faults.get(object_id):
            return waiting.popleft()
        always = self.faults.get(ANY)
        return always[0] if always else None

    def _sent(self, count: int) -> None:
        self.bytes_sent += count

    async def _get(self, request: Request) -> Response:
        name = request.path_params["path"].rpartition("/")[2]
        return self.answer(name, dict(request.query_params), request.headers.get("range"))

    async def _control(self, request: Request) -> Response:
        """GET: what was asked for. POST `{"id": ["cut", "redirect http://…"]}`: faults to come; `{}` forgets them."""
        if request.method == "POST":
            wanted = await request.json()
            if not wanted:
                self.faults.clear()
            for object_id, faults in wanted.items():
                self.faults[object_id].extend(faults)
        return JSONResponse({"requests": self.requests, "bytes_sent": self.bytes_sent})
