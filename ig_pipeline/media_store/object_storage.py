"""S3, Google Cloud Storage or Azure as the store, through obstore: parts on a local disk, uploaded when checked.

An upload becomes visible whole or not at all (the services' own promise): a key that exists is a whole file here too.
Credentials are the provider's own environment variables; none passes through our settings.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.naming import check_key
from ig_pipeline.media_store.parts import Part, remove_folder, store_errors, sweep_parts
from ig_pipeline.media_store.sniffing import FileType
from ig_pipeline.redaction import redact
from ig_pipeline.retrying import RetryPolicy

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

_MISSING = (NotFoundError, FileNotFoundError)
# Pieces of an upload held in memory: 4 uploads of 2 pieces of 8 MiB are 64 MiB, whatever the size of the videos.
_PIECE = 8 * 1024 * 1024
_PIECES_AT_ONCE = 2
_UPLOADS_AT_ONCE = 4
# A service that refuses now and then (503 "slow down") is asked again by the client itself, within a minute.
_POLICY = RetryPolicy("object storage", attempts=9, first=0.1, longest=10.0, deadline=60.0)
RETRIES: "RetryConfig" = {
    "max_retries": (_POLICY.attempts or 1) - 1,
    "retry_timeout": timedelta(seconds=_POLICY.deadline or 0),
    "backoff": {
        "init_backoff": timedelta(seconds=_POLICY.first),
        "max_backoff": timedelta(seconds=_POLICY.longest),
        "base": 2,
    },
}


class ObjectStorage:
    """A `Store` in a bucket, or in a prefix of one. `spool`: a local folder for the parts."""

    def __init__(self, store: "ObjectStore", *, location: str, spool: Path) -> None:
        self._store = store
        self._location = location
        self._spool = spool
        self._uploads = BoundedSemaphore(_UPLOADS_AT_ONCE)

    @property
    def location(self) -> str:
        """The bucket's URL."""
        return self._location

    def begin(self, folder: str, stem: str) -> Part:
        """See `Store.begin`."""
        return Part(self._spool / check_key(folder), check_key(stem))

    def commit(self, part: Part, key: str, file_type: FileType) -> None:
        """See `Store.commit`."""
        try:
            attributes = {"Content-Type": file_type.mime_type}
            with self._uploads, _refusals(f"keep {key}"):
                obstore.put(
                    self._store,
                    check_key(key),
                    part.path,
                    attributes=attributes,
                    chunk_size=_PIECE,
                    max_concurrency=_PIECES_AT_ONCE,
                )
        finally:
            part.discard()

    def settle(self, keys: Iterable[str]) -> None:
        """See `Store.settle`: the services answer an upload when it is kept."""

    def size_of(self, key: str) -> int | None:
        """See `Store.size_of`."""
        with _refusals(f"look up {key}"):
            try:
                return int(obstore.head(self._store, check_key(key))["size"])
            except _MISSING:
                return None

    def keys(self, folder: str) -> Iterator[str]:
        """See `Store.keys`."""
        with _refusals(f"list {folder}"):
            for page in obstore.list(self._store, check_key(folder), chunk_size=1000):
                for found in page:
                    yield str(found["path"])

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        with _refusals(f"read {key}"):
            return bytes(obstore.get(self._store, check_key(key)).bytes())

    def copy_to(self, key: str, path: Path) -> None:
        """See `Store.copy_to`."""
        with _refusals(f"read {key}"), store_errors(), path.open("wb") as file:
            for chunk in obstore.get(self._store, check_key(key)):
                file.write(chunk)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        with _refusals(f"delete {key}"), suppress(*_MISSING):
            obstore.delete(self._store, check_key(key))

    def delete_folder(self, folder: str) -> int:
        """See `Store.delete_folder`."""
        keys = list(self.keys(folder))
        for key in keys:
            self.delete(key)
        with store_errors():
            remove_folder(self._spool / check_key(folder))
        return len(keys)

    def sweep(self) -> int:
        """See `Store.sweep`."""
        with store_errors():
            return sweep_parts(self._spool) if self._spool.is_dir() else 0


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Obstore's errors as `StoreError`, in one line."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StoreError(
            f"The object storage does not let us {what}: check the credentials in the provider's environment variables."
        ) from error
    except _MISSING as error:
        raise StoreError(f"The object storage cannot {what}: there is no such bucket or file.") from error
    except (BaseError, OSError) as error:
        reason = redact(str(error)).splitlines()[0][:200]
        raise StoreError(f"The object storage failed to {what}: {reason}") from error
