"""Chance without state: every draw is a hash of its name, so a world is the same wherever and whenever it is asked.

No random generator and no clock lives here; callers name what they draw.
"""

import base64
from collections.abc import Sequence
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
