"""Pictures of files of the library: small ones for a page, tiny ones that travel inside a line of text.

WebP, because at this size JPEG's tables alone would fill the line. Where they are shown is not decided here.
"""

import base64
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import BoundedSemaphore

import av
from PIL import Image

from ig_pipeline.media_store.checking import bound_decoder, is_modest
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.store import Store

# Longest side and quality, tried from the best on until all pictures fit. Quality goes first: at this size a person
# tells posts apart by their colours and shapes.
_TINY = 128
# However many pages are open: a decoded picture takes up to 64 MB.
_DECODING = BoundedSemaphore(2)
_TRIES = ((128, 60), (96, 50), (96, 20), (80, 15), (64, 15), (56, 12), (48, 12), (40, 12), (32, 10), (24, 5))


def thumbnails(store: Store, keys: Sequence[str], *, at_most: int) -> list[str]:
    """`data:` URIs of the files at `keys`, together at most `at_most` characters; fewer when they do not fit.

    A file that cannot be read or shown is left out: previews never cost a day.
    """
    pictures = [picture for key in keys if (picture := _open(store, key, _TINY)) is not None]
    while pictures:
        for side, quality in _TRIES:
            made = [_uri(picture, side, quality) for picture in pictures]
            if sum(map(len, made)) <= at_most:
                return made
        pictures.pop()
    return []


def picture(store: Store, key: str, *, side: int) -> bytes | None:
    """The file at `key` as WebP, at most `side` pixels wide and high; a video's first frame. None: cannot be shown."""
    opened = _open(store, key, side)
    if opened is None:
        return None
    buffer = io.BytesIO()
    opened.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _open(store: Store, key: str, side: int) -> Image.Image | None:
    with tempfile.TemporaryDirectory(prefix="ig_pipeline_") as folder:
        path = Path(folder) / "file"
        try:
            store.copy_to(key, path)
            with _DECODING:
                return _first_frame(path, side) if key.endswith((".mp4", ".mov")) else _picture(path, side)
        except (StoreError, OSError, ValueError, IndexError, av.error.FFmpegError, Image.DecompressionBombError):
            return None


def _picture(path: Path, side: int) -> Image.Image | None:
    with Image.open(path) as picture:
        if not is_modest(picture):
            return None  # of a library from before such files were refused
        picture.draft("RGB", (side, side))
        shrunk = picture.convert("RGB")
    shrunk.thumbnail((side, side))
    return shrunk


def _first_frame(path: Path, side: int) -> Image.Image | None:
    with av.open(str(path), format="mp4", options={"protocol_whitelist": "file"}) as container:
        bound_decoder(container.streams.video[0])
        frame = next(container.decode(video=0), None)
        if frame is None:
            return None
        width = min(side, frame.width)
        small = frame.reformat(width=width, height=max(1, width * frame.height // frame.width), format="rgb24")
        return Image.fromarray(small.to_ndarray())


def _uri(picture: Image.Image, side: int, quality: int) -> str:
    small, buffer = picture.copy(), io.BytesIO()
    small.thumbnail((side, side))
    small.save(buffer, "WEBP", quality=quality, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
