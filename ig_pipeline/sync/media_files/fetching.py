"""One file from its URL to the store and into the indexer's hands; a URL that expired or is missing is read once more.

Which files are worth it and in which order is `backfill`'s to decide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ig_pipeline.graph_api.client import Credentials
from ig_pipeline.graph_api.errors import ObjectGoneError
from ig_pipeline.graph_api.media_nodes import MediaNode, read_node
from ig_pipeline.media_store.checking import Measures, check_file
from ig_pipeline.media_store.errors import MediaGoneError, NotMediaError, UrlExpiredError, WithheldError
from ig_pipeline.media_store.naming import file_stem, library_folder
from ig_pipeline.media_store.parts import Part
from ig_pipeline.media_store.sniffing import FileType, sniff
from ig_pipeline.storage.media_items import CATEGORY
from ig_pipeline.storage.waiting import in_thread
from ig_pipeline.sync.media_files.library import Arrival, Claims, Indexer
from ig_pipeline.sync.media_files.results import FileResult
from ig_pipeline.sync.media_files.services import MediaServices
from ig_pipeline.sync.media_files.wanted import WantedFile
from ig_pipeline.sync.session import AccountSession


@dataclass(frozen=True)
class FetchMeans:
    """What fetching works with, the same for all files of a backfill."""

    session: AccountSession
    media: MediaServices
    claims: Claims
    indexer: Indexer
    on_bytes: Callable[[int], None]


@dataclass(frozen=True)
class CheckedFile:
    """What a file turned out to be."""

    file_type: FileType
    measures: Measures
    sha256: str
    size: int


async def fetch_file(means: FetchMeans, file: WantedFile) -> None:
    """Bring one file into the library; its result is reported by the indexer. Raises `BackfillError`, `GraphError`."""
    connection = means.session.connection
    folder = library_folder(connection.u_id, connection.account_id)
    stem = file_stem(file.media_id, file.posted_at)
    part = means.media.store.begin(folder, stem)
    try:
        rest = await _download(means, file, part)
        checked = await in_thread(partial(_finish, part, rest, file), means.media.threads)
        await _keep(means, file, part, checked, f"{folder}/{stem}.{checked.file_type.extension}")
    finally:
        part.discard()


async def _download(means: FetchMeans, file: WantedFile, part: Part) -> list[bytes]:
    url = file.url or await _read_again(means, file)
    try:
        return await means.media.downloader.fetch(url, part, media_id=file.media_id, on_bytes=means.on_bytes)
    except UrlExpiredError:
        fresh = await _read_again(means, file)
    try:
        return await means.media.downloader.fetch(fresh, part, media_id=file.media_id, on_bytes=means.on_bytes)
    except UrlExpiredError as error:
        raise MediaGoneError("The CDN refuses a fresh URL too: the file is gone.", media_id=file.media_id) from error


async def _read_again(means: FetchMeans, file: WantedFile) -> str:
    """A fresh URL of the file: one call, for exactly this post or child.

    Raises `MediaGoneError`, `WithheldError`, `GraphError`.
    """

    async def read(credentials: Credentials) -> MediaNode:
        fields = {"fields": "id,media_type,media_url"}
        return await means.session.client.fetch(
            file.media_id, fields, credentials=credentials, parse=read_node, exists=True
        )

    try:
        node = await means.session.ask(read)
    except ObjectGoneError as error:
        raise MediaGoneError("The post was deleted.", media_id=file.media_id) from error
    if not node.media_url:
        raise WithheldError("Instagram withholds the file.", media_id=file.media_id)
    return node.media_url


def _finish(part: Part, rest: list[bytes], file: WantedFile) -> CheckedFile:
    """Write the last pieces and look at the whole: what it is, whether it can be decoded. In a thread."""
    part.write(rest)
    file_type = sniff(part.head)
    if file_type is None:
        raise NotMediaError("What the CDN sent is neither a picture nor a video.", media_id=file.media_id)
    if file_type.kind != file.kind:
        raise NotMediaError(
            f"The CDN sent {file_type.mime_type} for a post of the type {file.media_type}.", media_id=file.media_id
        )
    measures = check_file(part.path, file_type, media_id=file.media_id)
    return CheckedFile(file_type, measures, part.sha256, part.size)


async def _keep(means: FetchMeans, file: WantedFile, part: Part, checked: CheckedFile, key: str) -> None:
    path = await means.claims.path_of(checked.sha256)
    if path is None:
        stored = None
        try:
            await in_thread(partial(means.media.store.commit, part, key, checked.file_type), means.media.committing)
            stored = key
        finally:
            means.claims.settle(checked.sha256, stored)
    result = FileResult(file, "downloaded" if path is None else "same_bytes", size=checked.size)
    row = library_row(means.session, file, checked, path or key)
    await means.indexer.add(Arrival(row, result, key))


def library_row(session: AccountSession, file: WantedFile, checked: CheckedFile, path: str) -> dict[str, Any]:
    """The row of `media_items` of a file that lies at `path`."""
    return {
        "account_id": session.connection.account_id,
        "instagram_media_id": file.media_id,
        "date": file.day,
        "posted_at": file.posted_at,
        "backfilled_at": session.now(),
        "file_path": path,
        "file_name": path.rpartition("/")[2],
        "file_hash": checked.sha256,
        "file_size_bytes": checked.size,
        "mime_type": checked.file_type.mime_type,
        "category": CATEGORY,
        "source_type": file.source_type,
        "source_identifier": file.post_id,
        "media_type": file.media_type,
        "caption": file.caption,
        "permalink": file.permalink,
        "width": checked.measures.width,
        "height": checked.measures.height,
        "duration_seconds": checked.measures.duration,
    }
