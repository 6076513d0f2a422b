"""From IG_PIPELINE_MEDIA_URL to the store it names.

Only reads the URL; whether the place can be written to shows at the first file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from ig_pipeline.media_store.errors import StoreUrlError
from ig_pipeline.media_store.local_folder import open_folder
from ig_pipeline.media_store.object_storage import RETRIES, ObjectStorage
from ig_pipeline.media_store.store import Store
from ig_pipeline.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_SERVICES: dict[str, "Callable[..., ObjectStore]"] = {
    "s3": S3Store.from_url,
    "gs": GCSStore.from_url,
    "az": AzureStore.from_url,
}


def open_store(settings: Settings) -> Store:
    """The store of `settings`: a folder in the data folder unless `media_url` says otherwise.

    Raises `StoreUrlError` for a URL of no known kind, `StoreError` for a folder that cannot be one.
    """
    url = settings.media_url
    if url is None:
        return open_folder(settings.home / "media")
    parts = urlsplit(url)
    if parts.scheme in {"", "file"}:
        return open_folder(Path(unquote(parts.path) if parts.scheme else url).expanduser().resolve())
    service = _SERVICES.get(parts.scheme)
    if service is None or not parts.netloc or "@" in parts.netloc:
        raise StoreUrlError(
            "IG_PIPELINE_MEDIA_URL names no store: a folder, s3://bucket/prefix, gs://bucket/prefix or "
            "az://container/prefix (account and credentials come from the provider's own environment variables)."
        )
    try:
        store = service(url, retry_config=RETRIES)
    except (BaseError, ValueError) as error:
        raise StoreUrlError(f"IG_PIPELINE_MEDIA_URL cannot be used: {str(error).splitlines()[0][:200]}") from error
    return ObjectStorage(store, location=url, spool=settings.home / "media_spool")
