"""From posts as the API lists them to the files they have: one for a picture or video, one for each child of an album.

Pure: what a post has, or why it has nothing. Whether the library has it already is `library`'s to say.
"""

from dataclasses import dataclass
from datetime import date, datetime

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.media_nodes import Media, MediaChild
from ig_pipeline.media_store.sniffing import Kind

KINDS: dict[str, Kind] = {"IMAGE": "image", "VIDEO": "video"}
ALBUM = "CAROUSEL_ALBUM"


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
    def kind(self) -> Kind:
        """Picture or video, as announced."""
        return KINDS[self.media_type]


def files_of(post: Media, *, story: bool = False) -> list[WantedFile]:
    """The files of a post, in its order; a post without any is one entry with the reason."""
    if post.media_type != ALBUM:
        return [_file(post, post, "instagram_story" if story else _source(post))]
    if not post.children:
        return [_file(post, post, "instagram_carousel", reason=("empty_album", "The album lists no pictures."))]
    return [_file(post, child, "instagram_carousel") for child in post.children]


def _source(post: Media) -> str:
    return "instagram_reel" if post.media_product_type == "REELS" else "instagram_post"


def _file(post: Media, item: MediaChild, source_type: str, *, reason: tuple[str, str] | None = None) -> WantedFile:
    media_type = item.media_type or "unknown"
    if reason is None and media_type not in KINDS:
        reason = ("unsupported_type", f"Media of the type {media_type[:40]!r} is not supported.")
    elif reason is None and not item.media_url:
        reason = ("withheld", "Instagram withholds the file: flagged or copyrighted media, music for example.")
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
