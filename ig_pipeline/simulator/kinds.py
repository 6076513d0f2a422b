"""The kinds of accounts in the simulated Instagram, and their names.

Numbers that make a kind what it is; how they turn into posts and metrics is in `posts` and `accounts`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What distinguishes an account.

    `daily_reach` is a typical day's; `posts_a_day` an average; `reconverts`: a part of its recent posts was made before
    its latest conversion to a business account; `loses_media_url`: flagged for music, its videos come without a file.
    """

    name: str
    followers: int
    daily_reach: int
    posts_a_day: float
    stories_a_day: float = 0.5
    hides_likes: bool = False
    reconverts: bool = False
    loses_media_url: bool = False
    old_videos: bool = False


BUSY = Kind("busy", followers=48_210, daily_reach=9_400, posts_a_day=1.1, stories_a_day=2.0)
QUIET = Kind("quiet", followers=1_930, daily_reach=310, posts_a_day=0.2)
TINY = Kind("tiny", followers=64, daily_reach=21, posts_a_day=0.25, stories_a_day=0.6)
HIDDEN_LIKES = Kind("hidden_likes", followers=12_480, daily_reach=2_650, posts_a_day=0.6, hides_likes=True)
PRE_CONVERSION = Kind("pre_conversion", followers=5_310, daily_reach=900, posts_a_day=0.7, reconverts=True)
NO_POSTS = Kind("no_posts", followers=820, daily_reach=35, posts_a_day=0.0, stories_a_day=0.0)
LOST_MEDIA_URL = Kind("lost_media_url", followers=7_700, daily_reach=1_800, posts_a_day=0.5, loses_media_url=True)
OLD_VIDEOS = Kind("old_videos", followers=3_240, daily_reach=520, posts_a_day=0.4, old_videos=True)

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (BUSY, QUIET, TINY, HIDDEN_LIKES, PRE_CONVERSION, NO_POSTS, LOST_MEDIA_URL, OLD_VIDEOS)
}

_NAMES = {
    "busy": ("acme.studio", "Acme Studio"),
    "quiet": ("harbor.bakery", "Harbor Bakery"),
    "tiny": ("little.letterpress", "Little Letterpress"),
    "hidden_likes": ("velvet.runway", "Velvet Runway"),
    "pre_conversion": ("second.bloom", "Second Bloom"),
    "no_posts": ("still.waters", "Still Waters"),
    "lost_media_url": ("echo.mixtape", "Echo Mixtape"),
    "old_videos": ("attic.cinema", "Attic Cinema"),
}
_FIRST = (
    "north", "amber", "cedar", "coral", "ember", "fern", "golden", "indigo", "juniper", "lunar", "maple", "nova",
    "olive", "pepper", "quartz", "river",
)  # fmt: skip
_SECOND = (
    "atelier", "books", "cafe", "climbing", "florist", "garage", "goods", "kitchen", "lab", "market", "press",
    "records", "roasters", "tea", "yoga",
)  # fmt: skip


def name_of(position: int, kind: Kind, *, nth: int) -> tuple[str, str]:
    """Username and full name of the account at `position`, the `nth` (from 0) of its kind; unique in a world."""
    if nth == 0:
        return _NAMES[kind.name]
    first = _FIRST[position % len(_FIRST)]
    second = _SECOND[(position // len(_FIRST) + position) % len(_SECOND)]
    lap = position // (len(_FIRST) * len(_SECOND))
    number = str(lap + 1) if lap else ""
    return f"{first}.{second}{number}", f"{first} {second} {number}".strip().title()
