"""An object store that refuses one write in five: for a moment, as S3 does under load, or for good."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.media_store.object_storage import ObjectStorage
from ig_pipeline_tests.chaos.trial import complete, end, library_of, start
from ig_pipeline_tests.media_store.conftest import s3_store

# What the service says, and whether its client asks again by itself.
FOR_A_MOMENT = ("503 Slow Down", "SlowDown")
FOR_GOOD = ("400 Bad Request", "InvalidRequest")


@dataclass
class RefusingS3:
    """A running server. `refusal`: what every fifth write of a file gets; None: none is refused."""

    address: str = ""
    refusal: tuple[str, str] | None = FOR_A_MOMENT
    refused: int = 0
    _asked: Iterator[int] = field(default_factory=lambda: count(1))

    def refuses(self, environ: dict[str, Any]) -> bool:
        """Whether this request is the fifth write again."""
        write = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") > 1
        if self.refusal is None or not write or next(self._asked) % 5:
            return False
        self.refused += 1
        return True


class _Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A trial's one line is not to be looked for among thousands."""


@contextmanager
def refusing_s3() -> Iterator[RefusingS3]:
    """An S3 server that refuses every fifth PUT of a file and does nothing then."""
    s3 = DomainDispatcherApplication(create_backend_app)
    running = RefusingS3()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if running.refuses(environ):
            status, code = running.refusal or FOR_A_MOMENT
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code></Error>".encode()]
        answer: Iterable[bytes] = s3(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    running.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def refuse(posts: Sequence[str], folder: Path) -> str:
    """First for good, so that files stay missing until a later backfill; then for a moment, which nobody notices."""
    with refusing_s3() as s3, library_of(posts, folder, media_url="s3://refusing") as library:
        environment = {
            "AWS_ENDPOINT_URL": s3.address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        store = ObjectStorage(s3_store(s3.address, "refusing"), location="s3://refusing", spool=folder / "spool")
        library.store = store
        s3.refusal = FOR_GOOD
        ended = end(start(library, **environment))
        assert ended.code == ExitCode.PARTIAL, ended.said
        library.check_whole(complete=False)
        missing = len(library.truth()) - len(library.rows())
        assert missing, "nothing was refused"
        s3.refusal = FOR_A_MOMENT
        complete(library, **environment)
        return (
            f"{s3.refused:,} writes refused; {missing:,} files missing after the first backfill and named, "
            f"{len(library.rows()):,} rows after the next"
        )
