"""The library in object storage: as whole as in a folder, also where the service refuses one write in five."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from ig_pipeline.media_store.object_storage import ObjectStorage
from ig_pipeline_tests.media_store.conftest import s3_store
from ig_pipeline_tests.sync.media_files.conftest import Make

pytestmark = pytest.mark.anyio


@contextmanager
def refusing_s3() -> Iterator[str]:
    """An S3 server that answers every fifth PUT of a file with 503 and does nothing; its address."""
    s3 = DomainDispatcherApplication(create_backend_app)
    asked = count(1)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") > 1 and next(asked) % 5 == 0:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code></Error>"]
        answer: Iterable[bytes] = s3(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


async def test_a_store_that_refuses_one_write_in_five_ends_with_a_whole_library(library: Make, tmp_path: Path) -> None:
    media = library(*["image", "album 3", "video"] * 5)
    with refusing_s3() as address:
        store = ObjectStorage(s3_store(address, "refusing"), location="s3://refusing", spool=tmp_path / "spool")
        media.store = store
        result = await media.backfill()
        assert (result.status, result.tally.new) == ("complete", 25)
        rows = media.rows()
        assert {row["file_path"] for row in rows} == set(store.keys("instagram_backfill"))
        for row in rows:
            assert hashlib.sha256(store.read(row["file_path"])).hexdigest() == row["file_hash"]
    assert {row["instagram_media_id"]: row["file_hash"] for row in rows} == media.truth()
    assert not list(tmp_path.rglob("*.part"))
