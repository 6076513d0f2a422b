"""Seeded draws and ids: the same wherever and whenever they are asked for. No random generator, no clock.

A draw is a hash of its keys; callers name what they draw. A media id can be read back, so that a post is found without
having generated all others: it holds the account's position, the day, the place in the day and the part (post, child,
story, comment).
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def _number(keys: tuple[object, ...]) -> int:
    return int.from_bytes(blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest(), "big")


def fraction(*keys: object) -> float:
    """A number in [0, 1) that belongs to `keys`."""
    return _number(keys) / 2**64


def between(low: float, high: float, *keys: object) -> float:
    """A number in [low, high) that belongs to `keys`."""
    return low + (high - low) * fraction(*keys)


def choose(options: Sequence[T], *keys: object) -> T:
    """One of `options`, always the same for the same `keys`."""
    return options[_number(keys) % len(options)]


def opaque(length: int, *keys: object) -> str:
    """`length` URL-safe characters that look like one of Meta's trace ids or signatures."""
    digest = b"".join(blake2b(f"{block}\x1f{keys}".encode()).digest() for block in range(length // 64 + 1))
    return base64.urlsafe_b64encode(digest).decode()[:length]


# ---- ids -----------------------------------------------------------------------------------------------------------

# 15 free digits behind the leading "18"; the multiplier is coprime to ten, so that it can be undone.
_ROOM = 10**15
_MULTIPLIER = 387_420_489_734_251
_INVERSE = pow(_MULTIPLIER, -1, _ROOM)
_ADDEND = 214_013_531_011_731
_LEADING = 18 * _ROOM
_CHECK = 97

STORY_PART = 50
COMMENT_PART = 60


@dataclass(frozen=True)
class MediaPlace:
    """The place of a media object: account position, day ordinal since 2010, place in the day, part.

    Part 0 is the post, 1-10 its children, `STORY_PART` a story, `COMMENT_PART`+n a comment.
    """

    account: int
    day: int
    place: int
    part: int


def media_id(at: MediaPlace) -> str:
    """The 17-digit id of a place."""
    packed = ((at.account * 100_000 + at.day) * 10 + at.place) * 100 + at.part
    return str(_LEADING + ((packed * 100 + packed % _CHECK) * _MULTIPLIER + _ADDEND) % _ROOM)


def place_of(text: str) -> MediaPlace | None:
    """The place of an id, or None for an id no world gave out."""
    if not (len(text) == 17 and text.isascii() and text.isdigit() and text.startswith("18")):
        return None
    packed, check = divmod((int(text) - _LEADING - _ADDEND) * _INVERSE % _ROOM, 100)
    if packed % _CHECK != check:
        return None
    packed, part = divmod(packed, 100)
    packed, place = divmod(packed, 10)
    account, day = divmod(packed, 100_000)
    return MediaPlace(account, day, place, part)


def account_id(seed: int, position: int) -> str:
    """The id of an Instagram professional account: 17 digits, beyond 2^53."""
    return str(17_841_400_000_000_000 + (position * 40_503_647 + seed * 7_919 + 5_822_304) % 99_999_999_999)


def object_id(leading: int, seed: int, position: int) -> str:
    """The 15-digit id of a Page, a person or an app-scoped user; `leading` tells the families apart."""
    return str(leading * 10**14 + (position * 1_000_003 + seed * 65_537 + 12_345_677) % 10**13)
