"""From posts as the API lists them to the files they have: one for a picture or video, one for each child of an album.

Pure: what a post has, or why it has nothing. Whether the library has it already is `library`'s to say.
"""

from dataclasses import dataclass
from datetime import date, datetime

from ig_pipeline.graph_api.days import day_start, days_between, instagram_day
from ig_pipeline.graph_api.media import UnreadablePost
from ig_pipeline.graph_api.media_nodes import Media, MediaChild
from ig_pipeline.media_store.sniffing import Kind

KINDS: dict[str, Kind] = {"IMAGE": "image", "VIDEO": "video"}
ALBUM = "CAROUSEL_ALBUM"
_UNREADABLE = "unreadable"
_WITHHELD = "withheld"
WITHHELD = "Instagram withholds the file: flagged or copyrighted media, music for example."


@dataclass(frozen=True)
class WantedFile:
    """One file of a post. `url` is None when there is nothing to fetch; `reason` then says why, for people.

    `reason_code` is the same as one word. `post_id`: the post it belongs to; its own id unless it is an album's child.
    `day`: Pacific, the post's.
    """

    media_id: str
    post_id: str
    media_type: str
    source_type: str
    posted_at: datetime
    day: date
    caption: str | None
    permalink: str | None
    url: str | None
    reason: str | None = None
    reason_code: str | None = None

    @property
    def is_unreadable(self) -> bool:
        """Whether the answer was odd, so that a later one may tell what there is to fetch."""
        return self.reason_code == _UNREADABLE

    @property
    def is_withheld(self) -> bool:
        """Whether the listing names no address for it."""
        return self.reason_code == _WITHHELD

    @property
    def kind(self) -> Kind:
        """Picture or video, as announced."""
        return KINDS[self.media_type]


def files_of(post: Media, *, story: bool = False) -> list[WantedFile]:
    """The files of a post, in its order; a post without any is one entry with the reason."""
    if post.media_type != ALBUM:
        return [_file(post, post, "instagram_story" if story else _source(post))]
    odd = post.absences.get("children")
    files = [_file(post, child, "instagram_carousel") for child in post.children]
    if odd is not None:
        return [*files, _file(post, post, "instagram_carousel", reason=(_UNREADABLE, odd.detail))]
    if not post.children:
        return [_file(post, post, "instagram_carousel", reason=("empty_album", "The album lists no pictures."))]
    return files


def unreadable_files(post: UnreadablePost) -> list[WantedFile]:
    """A row of the listing that no post could be made of, once for each day it may be of; none when nothing tells."""
    newest, oldest = post.newest or post.oldest, post.oldest or post.newest
    if newest is None or oldest is None:
        return []
    media_id = post.media_id or "unknown"
    return [
        WantedFile(
            media_id=f"{media_id} of {day}",
            post_id=media_id,
            media_type="unknown",
            source_type="instagram_post",
            posted_at=day_start(day),
            day=day,
            caption=None,
            permalink=None,
            url=None,
            reason=post.why,
            reason_code=_UNREADABLE,
        )
        for day in reversed(days_between(oldest, newest))
    ]


def _source(post: Media) -> str:
    return "instagram_reel" if post.media_product_type == "REELS" else "instagram_post"


def _file(post: Media, item: MediaChild, source_type: str, *, reason: tuple[str, str] | None = None) -> WantedFile:
    media_type = item.media_type or "unknown"
    if reason is None and media_type not in KINDS:
        reason = ("unsupported_type", f"Media of the type {media_type[:40]!r} is not supported.")
    elif reason is None and not item.media_url:
        reason = (_WITHHELD, WITHHELD)
    return WantedFile(
        media_id=item.id,
        post_id=post.id,
        media_type=media_type,
        source_type=source_type,
        posted_at=post.timestamp,
        day=instagram_day(post.timestamp),
        caption=post.caption,
        permalink=item.permalink or post.permalink,
        url=None if reason else item.media_url,
        reason=reason[1] if reason else None,
        reason_code=reason[0] if reason else None,
    )
