"""A world shaped like a recording's account, for the simulator to answer the recorded questions in."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ig_pipeline.graph_api.catalogue import DEMOGRAPHICS, MEDIA_METRIC_VOCABULARY, MEDIA_METRICS
from ig_pipeline.simulator.accounts import Account, Profile
from ig_pipeline.simulator.kinds import Kind
from ig_pipeline.simulator.posts import Child, Comment, MediaType, Post, ProductType
from ig_pipeline.simulator.world import Page, Person, World
from ig_pipeline_tests.fidelity.gathering import (
    Gathered,
    Seen,
    fields_of,
    gather,
    is_account,
    metrics_of,
    timestamp_of,
    window_of,
)
from ig_pipeline_tests.fidelity.recordings import Exchange, Recording

PERSON = "200000000000001"
_MANY, _FEW = 1_000, 50
_UNSUPPORTED = re.compile(r"does not support the (\w+) metric for this media product type")
_CONVERSION = 2108006
_NOT_ENOUGH = 2874010


@dataclass(frozen=True)
class Shape:
    """A world, and what turns recorded cursors into its own: cursor → id of the item it stands beside."""

    world: World
    account: Account
    cursors: dict[str, str]
    refused_edges: frozenset[str]
    answered_edges: frozenset[str]


def shape(recording: Recording) -> Shape:
    """The world of a recording."""
    found = gather(recording)
    posts = [_post(seen, recording.now) for seen in found.posts.values()]
    posts = _with_reasons_for_refusals(posts, recording)
    account = _account(found, recording, posts)
    pages = _pages(found, account)
    person = Person(PERSON, "Recorded Person", pages)
    world = World(given=[account], people=[person])
    refused = {e.edge for e in recording.exchanges if "(#10) Application" in str(e.error.get("message"))}
    answered = {e.edge for e in recording.exchanges if e.status == 200}
    return Shape(world, account, found.cursors, frozenset(refused), frozenset(answered))


def _account(found: Gathered, recording: Recording, posts: list[Post]) -> Account:
    account_id = found.account_id or "17841400000000001"
    seen = found.profiles.get(account_id, Seen(account_id))
    values = seen.values
    page_id = next(iter(found.pages), "100000000000001")
    stories = [replace(_post(story, recording.now), product_type="STORY") for story in found.stories.values()]
    return Account(
        seed=0,
        position=0,
        kind=Kind("recorded", _followers(seen, recording), daily_reach=40, posts_a_day=0),
        username=str(values.get("username", "recorded")),
        profile=Profile(
            name=None if seen.lacks("name") else str(values.get("name", "Recorded")),
            biography=None if seen.lacks("biography") else str(values.get("biography", "Recorded")),
            website=None if seen.lacks("website") else str(values.get("website", "https://recorded.example/")),
            follows_count=int(values.get("follows_count", 0)),
            has_picture=not seen.lacks("profile_picture_url"),
        ),
        id=account_id,
        page_id=page_id,
        page_name="Recorded Page",
        user_id=PERSON,
        user_name="Recorded Person",
        app_user_id="300000000000001",
        archive=tuple(sorted(posts, key=lambda post: post.sort_key, reverse=True)),
        reported_media=int(values["media_count"]) if "media_count" in values else None,
        given_stories=tuple(stories),
        known_people=_people(recording),
    )


def _pages(found: Gathered, account: Account) -> tuple[Page, ...]:
    """The recorded Pages; where the link to Instagram was not asked for, the first has it."""
    linked = any("instagram_business_account" in seen.asked for seen in found.pages.values())
    pages = []
    for place, (page_id, seen) in enumerate(found.pages.items()):
        has = "instagram_business_account" in seen.values if linked else place == 0
        pages.append(Page(page_id, str(seen.values.get("name", "Page")), account if has else None))
    if not any(page.account for page in pages):
        # The recorded token saw the account all the same.
        pages.append(Page("100000000000002", "Recorded Page", account, owned_by_business=True))
    return tuple(pages)


def _followers(seen: Seen, recording: Recording) -> int:
    if "followers_count" in seen.values:
        return int(seen.values["followers_count"])
    for exchange in recording.exchanges:
        if exchange.edge == "insights" and exchange.status == 200 and isinstance(exchange.answer, dict):
            names = [row.get("name") for row in exchange.answer.get("data", []) if isinstance(row, dict)]
            if "follower_count" in exchange.params.get("metric", "").split(",") and "follower_count" not in names:
                return _FEW
    return _MANY


def _people(recording: Recording) -> dict[str, int]:
    known: dict[str, int] = {}
    for exchange in (part for whole in recording.exchanges for part in whole.parts()):
        for metric in set(exchange.params.get("metric", "").split(",")) & set(DEMOGRAPHICS):
            if exchange.error.get("error_subcode") == _NOT_ENOUGH:
                known[metric] = 0
            elif exchange.status == 200:
                known[metric] = _MANY
    return known


def _post(seen: Seen, now: datetime) -> Post:
    values = seen.values
    guess = "CAROUSEL_ALBUM" if "children" in values else "VIDEO" if "thumbnail_url" in values else "IMAGE"
    media_type: MediaType = values.get("media_type", guess)
    children = _children(seen)
    if media_type == "CAROUSEL_ALBUM" and not children:
        children = tuple(Child(f"{seen.id}{n}", "IMAGE", f"child{n}") for n in (1, 2))
    return Post(
        id=seen.id,
        legacy_id=str(values.get("ig_id", seen.id)),
        shortcode=str(values.get("shortcode", "recorded")),
        at=timestamp_of(seen, now - timedelta(hours=1)),
        media_type=media_type,
        product_type=_product_type(seen),
        caption=None if seen.lacks("caption") else str(values.get("caption", "Recorded")),
        final={"likes": int(values.get("like_count", 1)), "comments": int(values.get("comments_count", 0)), "reach": 9},
        children=children,
        comments=tuple(_comment(row, now) for row in (values.get("comments") or {}).get("data", [])),
        has_file=not seen.lacks("media_url"),
        has_thumbnail=not seen.lacks("thumbnail_url"),
        shows_likes=not seen.lacks("like_count"),
        shared_to_facebook=any(
            MEDIA_METRICS[name].only_if_shared for name in metrics_of(seen) if name in MEDIA_METRICS
        ),
        grows=False,
    )


def _product_type(seen: Seen) -> ProductType:
    known = seen.values.get("media_product_type")
    if known in {"FEED", "REELS", "STORY"}:
        return known  # type: ignore[no-any-return]  # read from JSON and just checked
    if "/reel/" in str(seen.values.get("permalink", "")):
        return "REELS"
    metrics = set(metrics_of(seen))
    for product_type in ("FEED", "REELS", "STORY"):
        if metrics and all(product_type in MEDIA_METRICS[name].product_types for name in metrics & set(MEDIA_METRICS)):
            return product_type
    return "FEED"


def _children(seen: Seen) -> tuple[Child, ...]:
    rows = (seen.values.get("children") or {}).get("data", [])
    return tuple(Child(row["id"], row.get("media_type", "IMAGE"), row.get("shortcode", "child")) for row in rows)


def _comment(row: dict[str, Any], now: datetime) -> Comment:
    text = row.get("timestamp")
    at = datetime.fromisoformat(text).astimezone(UTC) if text else now - timedelta(hours=1)
    return Comment(str(row.get("id", "17900000000000001")), str(row.get("text", "Recorded")), at)


def _with_reasons_for_refusals(posts: list[Post], recording: Recording) -> list[Post]:
    """A page refused for what is in it had something in it: the refusals tell of posts that no answer shows."""
    by_id = {post.id: post for post in posts}
    for exchange in (part for whole in recording.exchanges for part in whole.parts()):
        message = str(exchange.error.get("message", ""))
        about_insights = "insights" in {exchange.edge, *(field.name for field in fields_of(exchange))}
        if not about_insights or not _is_about_posts(exchange, message) or not exchange.segments:
            continue
        for post_id in _refused_posts(exchange, by_id, recording.now):
            post = by_id.get(post_id) or _invented(post_id, exchange, recording.now)
            by_id[post_id] = _refusing(post, exchange, message)
    return list(by_id.values())


def _is_about_posts(exchange: Exchange, message: str) -> bool:
    """Whether a refusal speaks of what was posted: account, Page and advertisement insights refuse in other words."""
    return (
        exchange.error.get("error_subcode") == _CONVERSION
        or bool(_UNSUPPORTED.search(message))
        or "Not enough viewers" in message
        or f"must be one of the following values: {', '.join(MEDIA_METRIC_VOCABULARY[:4])}" in message
    )


def _refused_posts(exchange: Exchange, by_id: dict[str, Post], now: datetime) -> list[str]:
    """The post a refusal is about: the one asked for, or the newest in the window of the page."""
    if exchange.edge not in {"media", ""} or not is_account(exchange):
        return [exchange.segments[0]]
    since, until = window_of(exchange, now)
    inside = [post for post in by_id.values() if post.at <= until and (since is None or post.at >= since)]
    newest = max(inside, key=lambda post: post.sort_key, default=None)
    return [newest.id] if newest else [f"179{exchange.number:014d}"]


def _invented(post_id: str, exchange: Exchange, now: datetime) -> Post:
    _, until = window_of(exchange, now)
    seen = Seen(post_id, latest=until - timedelta(minutes=1))
    return _post(seen, now)


def _refusing(post: Post, exchange: Exchange, message: str) -> Post:
    if exchange.error.get("error_subcode") == _CONVERSION:
        return replace(post, before_conversion=True)
    if match := _UNSUPPORTED.search(message):
        if match[1] == "views":
            return replace(post, gives_views=False)
        others = [t for t in ("FEED", "REELS", "STORY") if t not in MEDIA_METRICS[match[1]].product_types]
        return replace(post, product_type=others[0])  # type: ignore[arg-type]  # one of the three just listed
    if "Not enough viewers" in message:
        return replace(post, product_type="STORY", final={**post.final, "reach": 0})
    return post
