"""Posts, stories, children and comments as JSON with exactly the fields asked for, alone or page by page.

A field an object lacks is left out, as in reality: no caption, hidden likes, a withheld file
(docs/graph_api.md#what-is-left-out). The last page of a list still carries cursors but no `next`; an empty one carries
no paging at all.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.catalogue import MAX_MEDIA
from ig_pipeline.simulator.cdn import file_url
from ig_pipeline.simulator.days import stamp
from ig_pipeline.simulator.insights import media_insights
from ig_pipeline.simulator.posts import Child, Comment, Post
from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Call, Caller, Field, Json, instant_in, number_in

T = TypeVar("T")

DEFAULT_LIMIT = 25
HIGHEST_LIMIT = 100
DETOUR = "~"
"""At the end of a cursor: the same place again, by way of an empty page."""


def cursor_of(key: str) -> str:
    """An opaque cursor that means "beside the item with this key"."""
    return "QVFI" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _key_of(cursor: str) -> str:
    """The item key a cursor stands for. Raises RefusalError for a cursor of another origin."""
    try:
        body = cursor.removeprefix("QVFI")
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    except ValueError:
        raise RefusalError("Invalid parameter", code=100) from None


def page_of(
    items: Iterable[T],
    *,
    call: Call,
    path: str,
    params: dict[str, str],
    key: Callable[[T], str],
    show: Callable[[T], Any],
) -> Json:
    """One page of `items` (already in order) as `{"data": […], "paging": {…}}`.

    `params`: limit, after and before are read from it, the rest is repeated in the links.
    """
    limit = number_in(params, "limit", default=DEFAULT_LIMIT, highest=HIGHEST_LIMIT)
    chosen, more_after, more_before = _window(iter(items), key, params, limit)
    if not chosen:
        return {"data": []}
    data = [show(item) for item in chosen]
    before, after = cursor_of(key(chosen[0])), cursor_of(key(chosen[-1]))
    kept = {name: value for name, value in params.items() if name not in {"after", "before"}}
    kept.setdefault("limit", str(limit))
    paging: Json = {"cursors": {"before": before, "after": after}}
    if more_after:
        paging["next"] = call.link(path, {**kept, "after": after})
    if more_before:
        paging["previous"] = call.link(path, {**kept, "before": before})
    return {"data": data, "paging": paging}


def _window(
    items: Iterator[T], key: Callable[[T], str], params: dict[str, str], limit: int
) -> tuple[list[T], bool, bool]:
    """The items of a page, and whether there are more after and before it. Takes no more of `items` than it must.

    Raises RefusalError for a cursor beside no item.
    """
    if before := params.get("before"):
        mark = _key_of(before)
        earlier: list[T] = []
        for item in items:
            if key(item) == mark:
                return earlier[-limit:], True, len(earlier) > limit
            earlier.append(item)
        raise RefusalError("Invalid parameter", code=100)
    after = params.get("after", "").removesuffix(DETOUR)
    if after:
        mark = _key_of(after)
        if not any(key(item) == mark for item in items):
            raise RefusalError("Invalid parameter", code=100)
    chosen = list(islice(items, limit))
    return chosen, next(items, None) is not None, bool(after)


# ---- objects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Who looks, when and through which call."""

    call: Call
    caller: Caller


class _Absent:
    """Marks a field that exists but is not there for this object."""


ABSENT = _Absent()
ID_ONLY = (Field("id"),)
# Fields only Facebook Login knows (docs/graph_api.md#fields).
_FACEBOOK_COUNTS = {
    "total_like_count": "likes",
    "total_comments_count": "comments",
    "total_views_count": "views",
    "saved_count": "saved",
    "shares_count": "shares",
    "reposts_count": "reposts",
}
_COMMENT_FIELDS = (Field("timestamp"), Field("text"), Field("id"))


def show_fields(fields: tuple[Field, ...], resolve: Callable[[Field], object], *, object_id: str) -> Json:
    """An object of the fields in the order asked for, its `id` added as Meta does when it was not."""
    shown: Json = {}
    for field in fields:
        value = resolve(field)
        if value is not ABSENT:
            shown[field.shown_as] = value
    return shown if "id" in shown else {**shown, "id": object_id}


def show_post(view: View, account: Account, post: Post, fields: tuple[Field, ...]) -> Json:
    """A post or story; without fields its id alone. Raises RefusalError for a field or insight it cannot have."""
    return show_fields(fields or ID_ONLY, lambda field: _post_field(view, account, post, field), object_id=post.id)


def _post_field(view: View, account: Account, post: Post, field: Field) -> object:
    nested: dict[str, Callable[[], object]] = {
        "insights": lambda: post_insights(view, account, post, field.modifiers),
        "children": lambda: _children(view, account, post, field),
        "comments": lambda: _comments(view, post, field),
    }
    values = {**_post_values(view, account, post), **nested}
    if field.name in values:
        return values[field.name]()
    if view.caller.login == "facebook" and field.name in _FACEBOOK_COUNTS:
        return post.count(_FACEBOOK_COUNTS[field.name], view.call.now)
    if view.caller.login == "facebook" and field.name == "view_count":
        raise refusals.RefusalError("The view_count field is not available for this media", code=36104)
    return ABSENT  # an unknown name is left out of a post (recorded: from_id, from_full_name)


def _post_values(view: View, account: Account, post: Post) -> dict[str, Callable[[], object]]:
    now, video = view.call.now, post.media_type == "VIDEO"
    # A carousel's own file is that of its first child.
    first = post.children[0] if post.children else None
    file_id, file_is_video = (first.id, first.media_type == "VIDEO") if first else (post.id, video)
    base = view.call.base_url
    return {
        "id": lambda: post.id,
        "ig_id": lambda: post.legacy_id,
        "caption": lambda: ABSENT if post.caption is None else post.caption,
        "media_type": lambda: post.media_type,
        "media_product_type": lambda: post.product_type,
        "media_url": lambda: file_url(base, file_id, video=file_is_video, now=now) if post.has_file else ABSENT,
        "thumbnail_url": lambda: (
            file_url(base, post.id, video=True, now=now, thumbnail=True) if video and _thumbnail(view, post) else ABSENT
        ),
        "permalink": lambda: _permalink(account, post),
        "shortcode": lambda: post.shortcode,
        "timestamp": lambda: stamp(post.at),
        "username": lambda: account.username,
        "owner": lambda: {"id": account.id},
        "like_count": lambda: post.count("likes", now) if post.shows_likes else ABSENT,
        "comments_count": lambda: post.count("comments", now),
        "is_comment_enabled": lambda: True,
        "is_shared_to_feed": lambda: True if post.product_type == "REELS" else ABSENT,
        "alt_text": lambda: ABSENT,
        "media_audio_type": lambda: "ORIGINAL_SOUND" if post.product_type == "REELS" else ABSENT,
    }


def _thumbnail(view: View, post: Post) -> bool:
    """Some reels lack their thumbnail in the list and have it when read themselves."""
    return post.has_thumbnail or view.call.path.split("/")[-1] == post.id


def _permalink(account: Account, post: Post) -> str:
    """The address of a post for people."""
    if post.product_type == "STORY":
        return f"https://www.instagram.com/stories/{account.username}/{post.legacy_id}"
    kind = "reel" if post.product_type == "REELS" else "p"
    return f"https://www.instagram.com/{kind}/{post.shortcode}/"


def post_insights(view: View, account: Account, post: Post, params: dict[str, str]) -> Json:
    """The insights that `metric` and `breakdown` of `params` ask for. Raises RefusalError."""
    if not view.caller.may("instagram_manage_insights", "instagram_business_manage_insights"):
        raise refusals.no_permission()
    return media_insights(
        account,
        post,
        metric=params.get("metric"),
        breakdown=params.get("breakdown"),
        login=view.caller.login,
        now=view.call.now,
    )


def _children(view: View, account: Account, post: Post, field: Field) -> object:
    if post.media_type != "CAROUSEL_ALBUM":
        return ABSENT
    return {"data": [show_child(view, account, post, child, field.children) for child in post.children]}


def show_child(view: View, account: Account, post: Post, child: Child, fields: tuple[Field, ...]) -> Json:
    """A child of a carousel: no caption, counts, product type or insights of its own."""
    video, base, now = child.media_type == "VIDEO", view.call.base_url, view.call.now
    values: dict[str, Callable[[], object]] = {
        "id": lambda: child.id,
        "media_type": lambda: child.media_type,
        "media_url": lambda: file_url(base, child.id, video=video, now=now) if post.has_file else ABSENT,
        "thumbnail_url": lambda: file_url(base, child.id, video=True, now=now, thumbnail=True) if video else ABSENT,
        "permalink": lambda: f"https://www.instagram.com/p/{child.shortcode}/",
        "shortcode": lambda: child.shortcode,
        "timestamp": lambda: stamp(post.at),
        "username": lambda: account.username,
        "owner": lambda: {"id": account.id},
    }

    def resolve(field: Field) -> object:
        return values[field.name]() if field.name in values else ABSENT

    return show_fields(fields or ID_ONLY, resolve, object_id=child.id)


def _comments(view: View, post: Post, field: Field) -> object:
    """The comments one sees, in an object of their own; no key at all when there are none (recorded)."""
    limit = number_in(field.modifiers, "limit", default=50, highest=HIGHEST_LIMIT)
    seen = [comment for comment in post.comments if comment.at <= view.call.now][:limit]
    if not seen:
        return ABSENT
    return {"data": [show_comment(comment, field.children) for comment in seen]}


def show_comment(comment: Comment, fields: tuple[Field, ...]) -> Json:
    """A comment; by default its time, text and id (recorded)."""
    values = {"timestamp": stamp(comment.at), "text": comment.text, "id": comment.id, "like_count": 0, "hidden": False}

    def resolve(field: Field) -> object:
        return values.get(field.name, ABSENT)

    return show_fields(fields or _COMMENT_FIELDS, resolve, object_id=comment.id)


# ---- lists of an account -------------------------------------------------------------------------------------------


def media_page(view: View, account: Account, fields: tuple[Field, ...], params: dict[str, str]) -> Json:
    """A page of posts made in [since, until]; at most the newest 10 000 are listed at all."""
    now = view.call.now
    since, until = instant_in(params, "since", now), instant_in(params, "until", now)
    posts = account.posts_between(since, min(until, now) if until else now)
    return page_of(
        islice(posts, MAX_MEDIA),
        call=view.call,
        path=f"{account.id}/media",
        params=params,
        key=lambda post: post.id,
        show=lambda post: show_post(view, account, post, fields),
    )


def story_page(view: View, account: Account, fields: tuple[Field, ...], params: dict[str, str]) -> Json:
    """A page of the stories one can see now."""
    return page_of(
        account.live_stories(view.call.now),
        call=view.call,
        path=f"{account.id}/stories",
        params=params,
        key=lambda post: post.id,
        show=lambda post: show_post(view, account, post, fields),
    )
