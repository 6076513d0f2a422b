"""Worlds made for the media library: accounts whose posts, files and sizes a test chooses, and what is true of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.cdn import Cdn
from ig_pipeline.simulator.cdn_files import sha256_of
from ig_pipeline.simulator.draws import MediaPlace, media_id
from ig_pipeline.simulator.posts import DAY_ZERO, Child, MediaType, Post
from ig_pipeline.simulator.world import World

NEWEST = datetime(2026, 11, 19, 20, 0, tzinfo=UTC)
# Ten places a day (an id holds one digit); nine are used, two hours apart, within one Pacific day.
A_DAY = 9

_sha256_of = lru_cache(maxsize=10_000)(sha256_of)


def archive_account(shapes: Sequence[str], *, username: str = "acme.library", position: int = 0) -> Account:
    """An account whose posts are `shapes`, newest first: `image`, `video`, `gone` (no file) or `album N`."""
    account = World(accounts=position + 1).accounts[position]
    posts = tuple(_post(shape, position, n) for n, shape in enumerate(shapes))
    return replace(account, username=username, archive=posts)


def _post(shape: str, position: int, n: int) -> Post:
    kind, _, count = shape.partition(" ")
    at = NEWEST - timedelta(days=n // A_DAY, hours=n % A_DAY)
    place = MediaPlace(position, (at.date() - DAY_ZERO).days, n % A_DAY, 0)
    types: dict[str, MediaType] = {"image": "IMAGE", "gone": "IMAGE", "video": "VIDEO", "album": "CAROUSEL_ALBUM"}
    children = tuple(
        Child(media_id(replace(place, part=part)), "VIDEO" if part == 3 else "IMAGE", f"child{n}{part}")
        for part in range(1, int(count or 0) + 1)
    )
    return Post(
        id=media_id(place),
        legacy_id=str(n),
        shortcode=f"post{n}",
        at=at,
        media_type=types[kind],
        product_type="REELS" if kind == "video" else "FEED",
        caption=f"Post number {n}",
        final={"likes": n, "comments": 0, "saved": 0, "reach": 10},
        children=children,
        has_file=kind != "gone",
    )


def files_of_posts(posts: Sequence[Post]) -> dict[str, bool]:
    """Media id → whether it is a video, of all files that the posts have."""
    files: dict[str, bool] = {}
    for post in posts:
        if post.children:
            files.update((child.id, child.media_type == "VIDEO") for child in post.children)
        elif post.has_file and post.media_type != "CAROUSEL_ALBUM":
            files[post.id] = post.media_type == "VIDEO"
    return files


def true_hashes(cdn: Cdn, posts: Sequence[Post]) -> Mapping[str, str]:
    """Media id → SHA-256 of the bytes that the world has for it, not through HTTP."""
    return {
        media_id: _sha256_of(cdn.file_of(media_id, video=video)) for media_id, video in files_of_posts(posts).items()
    }
