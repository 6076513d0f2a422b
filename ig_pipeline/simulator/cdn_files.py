"""The bytes behind the simulator's media URLs: real pictures and videos, a pure function of what they are named after.

Nothing is stored: a picture is rendered again for each request; a video is a short clip and as much padding as its size
asks for, made piece by piece, so that hundreds of megabytes cost no memory. HTTP is in `cdn`.
"""

import hashlib
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import av
from PIL import Image, ImageDraw, ImageOps

_PIECE = 256 * 1024
_SIDES = ((480, 480), (480, 600), (600, 400))
_CLIPS = 8
_FRAMES = 20
# JPEG: a comment holds 65,533 bytes at most. MP4: a `free` box has eight bytes of head.
_LONGEST_COMMENT = 65_533
_BOX_HEAD = 8


@dataclass(frozen=True)
class CdnFile:
    """One file of the CDN. Equal `content`, `kind` and `size` are equal bytes, whatever posts they belong to.

    `size` in bytes: exact for videos and larger pictures; a picture is never smaller than it renders (some 20 KB).
    """

    content: str
    kind: Literal["image", "video"]
    size: int

    @property
    def mime_type(self) -> str:
        """What the CDN says it is."""
        return "image/jpeg" if self.kind == "image" else "video/mp4"


def length_of(file: CdnFile) -> int:
    """Bytes that `pieces` yields."""
    return len(_picture(file)) if file.kind == "image" else max(file.size, len(_start_of_video(file)))


def pieces(file: CdnFile, start: int = 0) -> Iterator[bytes]:
    """The file from byte `start` on, in pieces of at most 256 KiB."""
    if file.kind == "image":
        yield _picture(file)[start:]
        return
    head, length = _start_of_video(file), length_of(file)
    if start < len(head):
        yield head[start:]
        start = len(head)
    noise, turn = _noise(), _number(file.content, "turn") % len(_noise())
    while start < length:
        at = (start + turn) % len(noise)
        piece = noise[at : at + min(_PIECE, length - start)]
        start += len(piece)
        yield piece


def sha256_of(file: CdnFile) -> str:
    """The truth about a download: the hash that a true copy has."""
    digest = hashlib.sha256()
    for piece in pieces(file):
        digest.update(piece)
    return digest.hexdigest()


def _number(*key: object) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:6], "big")


@lru_cache(maxsize=1)
def _noise() -> bytes:
    return random.Random(7).randbytes(1024 * 1024)  # noqa: S311 - padding


@lru_cache(maxsize=4)
def _gradient(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height))


def _colour(*key: object) -> tuple[int, int, int]:
    number = _number(*key)
    return number & 255, number >> 8 & 255, number >> 16 & 255


def _render(content: str, width: int, height: int) -> Image.Image:
    """A gradient with a few discs, colours and places drawn from `content`: a person can tell two apart."""
    picture = ImageOps.colorize(_gradient(width, height), _colour(content, "top"), _colour(content, "bottom"))
    draw = ImageDraw.Draw(picture)
    for n in range(5):
        radius = 20 + _number(content, n, "r") % (width // 4)
        x, y = _number(content, n, "x") % width, _number(content, n, "y") % height
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(content, n))
    return picture


def _picture(file: CdnFile) -> bytes:
    width, height = _SIDES[_number(file.content, "side") % len(_SIDES)]
    buffer = io.BytesIO()
    _render(file.content, width, height).save(buffer, "JPEG", quality=88)
    rendered = buffer.getvalue()
    comments = [_comment(file.content.encode()[:200])]
    missing = file.size - len(rendered) - len(comments[0])
    while missing > 4:
        length = min(missing - 4, _LONGEST_COMMENT)
        comments.append(_comment(_noise()[:length]))
        missing -= length + 4
    # Right after the two bytes that start a JPEG, where any reader skips comments.
    return rendered[:2] + b"".join(comments) + rendered[2:]


def _comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


@lru_cache(maxsize=_CLIPS)
def _clip(style: int) -> bytes:
    """Two seconds of a moving picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        still = _render(f"clip {style}", 480, 320)
        for n in range(_FRAMES):
            frame = av.VideoFrame(320, 320, "rgb24")
            frame.planes[0].update(still.crop((n * 8, 0, n * 8 + 320, 320)).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@lru_cache(maxsize=64)
def _start_of_video(file: CdnFile) -> bytes:
    """The clip and the beginning of the box that fills the file up: its head and whose content it is."""
    clip, name = _clip(_number(file.content) % _CLIPS), hashlib.sha256(file.content.encode()).digest()
    box = max(file.size - len(clip), _BOX_HEAD + len(name))
    return clip + box.to_bytes(4, "big") + b"free" + name
