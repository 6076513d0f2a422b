"""The tree of what can go wrong with one media file, or with the store behind all of them.

Each error carries the media id it speaks of. Deciding what to do about one (re-read, skip, stop) belongs to the engine.
"""

from ig_pipeline.retrying import Retryable


class BackfillError(Retryable, Exception):
    """A media file could not be had. `media_id` is Instagram's, or None when the error concerns all of them."""

    def __init__(self, message: str, *, media_id: str | None = None) -> None:
        super().__init__(message)
        self.media_id = media_id


class UrlExpiredError(BackfillError):
    """The CDN refused a signed URL (403, 404 or 410): reading the post again gives a fresh one.

    See docs/graph_api.md#media-urls-and-their-expiry.
    """


class MediaGoneError(BackfillError):
    """The post was deleted, or its fresh URL is refused too: there is nothing left to fetch."""


class WithheldError(BackfillError):
    """Instagram names no address for the file, also when the post is asked for alone: flagged or copyrighted."""


class DownloadError(BackfillError):
    """The CDN did not deliver the whole file after all attempts; a later run tries again."""

    retry = "later"


class TooLargeError(BackfillError):
    """The file is larger than IG_PIPELINE_MAX_MEDIA_BYTES."""


class NotMediaError(BackfillError):
    """What came is not a picture or video that can be decoded, or not the one of both that was asked for."""


class ForbiddenAddressError(BackfillError):
    """A URL, or a redirect, leads to a host or an address that downloads must not touch."""


class UnsafeNameError(BackfillError):
    """An id from the API cannot be part of a file name."""


class StoreError(BackfillError):
    """The store refused to keep a file; nothing of it bears a final name."""


class StoreFullError(StoreError):
    """No space is left: going on is pointless until somebody makes room."""


class StoreUrlError(StoreError):
    """IG_PIPELINE_MEDIA_URL does not name a place this program can write to."""
