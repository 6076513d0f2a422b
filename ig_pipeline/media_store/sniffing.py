"""The type of a file from its first bytes: what Instagram serves, and nothing else.

Neither the Content-Type of an answer nor the extension of a URL is believed. Decoding stands in `checking`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "video"]

# An `ftyp` box of MP4 names its brand in bytes 8..12; WebP its form in the same place.
SNIFFED_BYTES = 32


@dataclass(frozen=True)
class FileType:
    """A type the library keeps: extension without dot, MIME type, picture or video."""

    extension: str
    mime_type: str
    kind: Kind


JPEG = FileType("jpg", "image/jpeg", "image")
PNG = FileType("png", "image/png", "image")
WEBP = FileType("webp", "image/webp", "image")
GIF = FileType("gif", "image/gif", "image")
MP4 = FileType("mp4", "video/mp4", "video")
MOV = FileType("mov", "video/quicktime", "video")

_STARTS = ((b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"GIF87a", GIF), (b"GIF89a", GIF))
# Brands of ISO files that are pictures (HEIF, AVIF) or sound: same box, not a video.
_NOT_VIDEO = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"M4A ")


def sniff(head: bytes) -> FileType | None:
    """The type whose signature `head` (the first `SNIFFED_BYTES` of a file) bears, or None."""
    for start, file_type in _STARTS:
        if head.startswith(start):
            return file_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp" and head[8:12] not in _NOT_VIDEO:
        return MOV if head[8:12] == b"qt  " else MP4
    return None
