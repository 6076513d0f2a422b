"""Fixtures of the media store: a CDN, both kinds of store, threads."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from obstore.store import S3Store

from ig_pipeline.media_store.local_folder import LocalFolder
from ig_pipeline.media_store.object_storage import RETRIES, ObjectStorage
from ig_pipeline.media_store.store import Store
from ig_pipeline_tests.media_store.serving import RunningCdn, running_cdn, running_s3


@pytest.fixture
def cdn() -> Iterator[RunningCdn]:
    with running_cdn() as running:
        yield running


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of one S3 server for all tests of a worker."""
    with running_s3() as address:
        yield address


def s3_store(address: str, bucket: str, *, make: bool = True, retries: int = 2) -> S3Store:
    """A client of the real kind."""

    if make:
        httpx.put(f"{address}/{bucket}").raise_for_status()
    return S3Store(
        bucket,
        endpoint=address,
        access_key_id="testing",
        secret_access_key="testing",
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={**RETRIES, "max_retries": retries},
    )


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store; every test runs on both kinds."""
    if request.param == "folder":
        return LocalFolder(tmp_path / "media")
    bucket = f"b{uuid.uuid4().hex}"
    client = s3_store(request.getfixturevalue("s3"), bucket)
    return ObjectStorage(client, location=f"s3://{bucket}", spool=tmp_path / "spool")


@pytest.fixture
def parts_left(tmp_path: Path) -> Callable[[], list[Path]]:
    """The parts lying about."""
    return lambda: sorted(tmp_path.rglob("*.part"))
