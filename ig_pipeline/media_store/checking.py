"""Whether a file on disk is whole and can be decoded, and its measures.

Pillow reads pictures, PyAV (FFmpeg) videos. Both are handed files from strangers: sizes are bounded before they decode.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.stream import VideoStream
from PIL import Image

from ig_pipeline.media_store.errors import NotMediaError
from ig_pipeline.media_store.sniffing import FileType

# Instagram scales pictures down to 1,440 px of width and videos to 1,920: a declared size above this is a bomb. Decoded
# whole, a pixel takes four bytes.
MAX_PIXELS = 16_000_000
# A plain JPEG is decoded at an eighth of its size, line by line.
_MAX_PIXELS_OF_A_JPEG = 50_000_000
# What Pillow's readers raise on damaged input; OSError covers its own UnidentifiedImageError.
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}


@dataclass(frozen=True)
class Measures:
    """Width and height in pixels; duration in seconds, None for pictures and where the container does not say."""

    width: int
    height: int
    duration: float | None = None


def check_file(path: Path, file_type: FileType, *, media_id: str) -> Measures:
    """Decode `path` as `file_type`: a picture whole, of a video its structure and first picture.

    Raises `NotMediaError` when it is cut, damaged or something else.
    """
    if file_type.kind == "image":
        return _check_picture(path, file_type, media_id)
    return _check_video(path, media_id)


def is_modest(picture: Image.Image) -> bool:
    """Whether decoding an opened picture, scaled down as far as its format can, takes 64 MB at most."""
    width, height = picture.size
    # A progressive one is gathered whole before its first line is known.
    in_lines = picture.format == "JPEG" and not picture.info.get("progressive")
    return width * height <= (_MAX_PIXELS_OF_A_JPEG if in_lines else MAX_PIXELS)


def bound_decoder(stream: VideoStream) -> None:
    """One picture at a time, and none larger than a bound: the container's word for its size is not the decoder's."""
    stream.thread_count = 1  # each decoder thread would hold pictures of its own
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}


def _check_picture(path: Path, file_type: FileType, media_id: str) -> Measures:
    try:
        with Image.open(path, formats=(_FORMATS[file_type.extension],)) as picture:
            width, height = picture.size
            if not is_modest(picture):
                raise NotMediaError(f"The picture claims {width} by {height} pixels: refused.", media_id=media_id)
            # JPEG's own scaling still reads every coded byte, at a third of the time of a full decode.
            picture.draft("L", (max(1, width // 8), max(1, height // 8)))
            picture.load()
    except _UNREADABLE as error:
        raise NotMediaError(f"The picture cannot be decoded ({error}).", media_id=media_id) from error
    return Measures(width, height)


def _check_video(path: Path, media_id: str) -> Measures:
    if not _boxes_fill(path):
        raise NotMediaError("The video is cut or damaged: its parts do not add up to its length.", media_id=media_id)
    try:
        # Only the MP4 reader: playlists and other formats that FFmpeg knows can make it open further addresses.
        with av.open(str(path), format="mp4", options={"protocol_whitelist": "file"}) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise NotMediaError("The video has no picture track.", media_id=media_id)
            bound_decoder(stream)
            if stream.width * stream.height > MAX_PIXELS:
                raise NotMediaError(
                    f"The video claims {stream.width} by {stream.height} pixels: refused.", media_id=media_id
                )
            if next(container.decode(stream), None) is None:
                raise NotMediaError("The video has no picture that can be decoded.", media_id=media_id)
            duration = None if container.duration is None else container.duration / av.time_base
            return Measures(stream.width, stream.height, duration)
    except (av.error.FFmpegError, ValueError) as error:
        raise NotMediaError(f"The video cannot be decoded ({error}).", media_id=media_id) from error


def _boxes_fill(path: Path) -> bool:
    """Whether the top-level boxes of an MP4 end exactly where the file ends.

    FFmpeg reads a cut file up to the cut without a word, so a body without Content-Length would pass as whole.
    """
    length, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset < length:
            file.seek(offset)
            head = file.read(16)
            if len(head) < 8:
                return False
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            elif size == 0:  # "to the end of the file"
                return True
            if size < 8:
                return False
            offset += size
    return offset == length
