"""The Graph API: a call by a known caller becomes an answer, or a refusal. Reads objects and edges; writes nothing.

Tokens, limits, counting and faults lie around it in `simulation`.
"""

from dataclasses import dataclass

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.fields import Field, parse_fields
from ig_pipeline.simulator.lists import media_page, story_page
from ig_pipeline.simulator.media_insights import media_insights
from ig_pipeline.simulator.people import (
    NEEDS_COMMENT_SCOPE,
    accounts_page,
    insights_of,
    may_see,
    show_page,
    show_person,
    show_profile,
)
from ig_pipeline.simulator.posts import Child, Comment, Post
from ig_pipeline.simulator.requests import Call, Caller, Json, names_in
from ig_pipeline.simulator.tokens import TokenBook
from ig_pipeline.simulator.views import View, show_child, show_comment, show_post
from ig_pipeline.simulator.world import World

# Edges of other objects: known words, but nothing an Instagram account or post has (recorded: feed).
_OTHERS_EDGES = frozenset(
    [
        "feed",
        "posts",
        "photos",
        "videos",
        "albums",
        "likes",
        "friends",
        "events",
        "groups",
        "published_posts",
        "tagged",
        "ratings",
        "conversations",
        "subscribed_apps",
        "picture",
        "permissions",
        "adaccounts",
        "businesses",
        "accounts",
        "live_videos",
        "video_reels",
        "insights",
        "comments",
        "children",
        "media",
        "stories",
    ]
)


@dataclass(frozen=True)
class Found:
    """An Instagram object behind an id: a post, child or comment of an account, or the account itself."""

    account: Account
    item: Post | Child | Comment | None = None
    post: Post | None = None


def find(world: World, object_id: str) -> Found | None:
    """The Instagram object with this id; None when there is none."""
    if account := world.account_by_id(object_id):
        return Found(account)
    owner = world.owner_of_media(object_id)
    if owner is None:
        return None
    if post := owner.post(object_id):
        return Found(owner, post, post)
    for post in owner.posts_around(object_id):
        for part in post.parts:
            if part.id == object_id:
                return Found(owner, part, post)
    return None


class Graph:
    """Answers reads over a world. `book` gives out the Page tokens of `/me/accounts`."""

    def __init__(self, world: World, book: TokenBook) -> None:
        self.world = world
        self.book = book

    def read(self, call: Call, caller: Caller) -> Json:
        """The JSON of a GET. Raises RefusalError."""
        view = View(call, caller)
        segments = call.segments
        if not segments or "ids" in call.params:
            return self._many(view)
        if segments[0] == "me":
            return self._me(view, segments[1:])
        return self._object(view, segments[0], segments[1:])

    def _many(self, view: View) -> Json:
        """`?ids=a,b`: all or nothing (facts §2.2)."""
        ids = names_in(view.call.params.get("ids"))
        if not ids:
            raise refusals.unsupported_method(view.call.method)
        params = {name: value for name, value in view.call.params.items() if name != "ids"}
        edge = view.call.path
        paths = {object_id: f"{object_id}/{edge}".rstrip("/") for object_id in ids}
        return {object_id: self.read(view.call.at(path, params), view.caller) for object_id, path in paths.items()}

    def _me(self, view: View, rest: list[str]) -> Json:
        caller, params = view.caller, view.call.params
        if caller.login == "instagram":
            assert caller.own_account is not None
            if rest:
                return self._object(view, caller.own_account.id, rest)
            self._see(view, caller.own_account, caller.own_account.id)
            return show_profile(view, caller.own_account, parse_fields(params.get("fields")), as_me=True)
        if caller.grant.page_id:
            return self._object(view, caller.grant.page_id, rest)
        return self._object(view, caller.grant.subject, rest)

    def _object(self, view: View, object_id: str, rest: list[str]) -> Json:
        if len(rest) > 1:
            raise refusals.unknown_path("/" + "/".join(rest[1:]))
        edge = rest[0] if rest else ""
        fields = parse_fields(view.call.params.get("fields"))
        if found := find(self.world, object_id):
            self._see(view, found.account, object_id)
            if found.item is None:
                return self._account(view, found.account, edge, fields)
            assert found.post is not None
            return self._media(view, found, edge, fields)
        if view.caller.login == "facebook":
            return self._facebook(view, object_id, edge, fields)
        raise refusals.no_such_object(object_id)

    def _see(self, view: View, account: Account, object_id: str) -> None:
        if not may_see(view, account, self.world):
            raise refusals.no_such_object(object_id)

    def _account(self, view: View, account: Account, edge: str, fields: tuple[Field, ...]) -> Json:
        params = view.call.params
        match edge:
            case "":
                return show_profile(view, account, fields)
            case "media":
                return media_page(view, account, fields, params)
            case "insights":
                return insights_of(view, account, params)
            case "stories":
                return story_page(view, account, fields, params)
            case name if name in NEEDS_COMMENT_SCOPE:
                if view.caller.may("instagram_manage_comments", "instagram_business_manage_comments"):
                    return {"data": []}
                raise refusals.no_permission()
        raise _no_edge(edge)

    def _media(self, view: View, found: Found, edge: str, fields: tuple[Field, ...]) -> Json:
        account, post, item = found.account, found.post, found.item
        assert post is not None
        if post.at > view.call.now or (
            post.product_type == "STORY" and post not in account.live_stories(view.call.now)
        ):
            raise refusals.no_such_object(post.id)
        if isinstance(item, Child) and not edge:
            return show_child(view, account, post, item, fields)
        if isinstance(item, Comment) and not edge:
            return show_comment(item, fields)
        if not isinstance(item, Post):
            raise _no_edge(edge)
        match edge:
            case "":
                return show_post(view, account, post, fields)
            case "insights":
                return self._media_insights(view, account, post)
            case "children":
                return {"data": [show_child(view, account, post, child, fields) for child in post.children]}
            case "comments":
                seen = [comment for comment in post.comments if comment.at <= view.call.now]
                return {"data": [show_comment(comment, fields) for comment in seen]}
        raise _no_edge(edge)

    def _media_insights(self, view: View, account: Account, post: Post) -> Json:
        if not view.caller.may("instagram_manage_insights", "instagram_business_manage_insights"):
            raise refusals.no_permission()
        params = view.call.params
        return media_insights(
            account,
            post,
            metric=params.get("metric"),
            breakdown=params.get("breakdown"),
            login=view.caller.login,
            now=view.call.now,
        )

    def _facebook(self, view: View, object_id: str, edge: str, fields: tuple[Field, ...]) -> Json:
        """A person or a Page. Somebody else's Page needs the app's proof (facts §3.1)."""
        caller = view.caller
        person = self.world.person(object_id)
        if person is not None and object_id == caller.grant.subject:
            if edge == "permissions":
                granted = sorted(caller.grant.scopes)
                return {"data": [{"permission": scope, "status": "granted"} for scope in granted]}
            if edge == "accounts":
                return accounts_page(view, person, fields, view.call.params, self.book)
            if edge:
                raise _no_edge(edge)
            return show_person(view, person, fields, self.book)
        page = self.world.page(object_id)
        own = self.world.person(caller.grant.subject)
        if page is None or own is None or page.id not in {mine.id for mine in own.pages}:
            raise refusals.no_such_object(object_id) if object_id.isdigit() else _unknown_alias(object_id)
        if edge:
            raise _no_edge(edge)
        return show_page(view, page, fields or (Field("name"), Field("id")), self.book)


def _no_edge(edge: str) -> refusals.RefusalError:
    """A word other objects know is a nonexisting field here; any other is no path at all (recorded)."""
    return refusals.no_such_field(edge) if edge in _OTHERS_EDGES else refusals.unknown_path(f"/{edge}")


def _unknown_alias(name: str) -> refusals.RefusalError:
    return refusals.RefusalError(f"Some of the aliases you requested do not exist: {name}", code=803)
