"""The library of media files as a stream: on the grid's cells, in runs of its own that take options.

The library loads decoders and a downloader, so what fills it is named here and imported by those who run it:
`sync.media_files.runs`.
"""

from ig_pipeline.sync.media_files.days import ASSET
from ig_pipeline.sync.registry import Stream

STREAM = Stream(
    name=ASSET,
    description=(
        "The pictures and videos posted on this day, as files in the media library with a row each in `media_items`. "
        "Fetched on demand, never by itself: launch it for the days you want, or switch on `nightly_media_files`. "
        "Stories only while they live: 24 hours. A run whose tag `ig_pipeline/options` holds flags of the command "
        "line as JSON backfills its accounts accordingly."
    ),
    tables=("media_items", "media_backfills"),
    grain="account-day",
    schedule="nightly_media_files",
    requests=ASSET,
    kinds=frozenset({"instagram", "file"}),
)
