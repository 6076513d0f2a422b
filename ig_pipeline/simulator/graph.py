"""The Graph API: a call by a known caller becomes an answer, or a refusal. Reads objects and edges; writes nothing.

People, Pages and Instagram profiles are shown to those who may see them (docs/graph_api.md#facebook-login,
docs/graph_api.md#instagram-login). Tokens, limits, counting and faults are added in `simulation`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.cdn import file_url
from ig_pipeline.simulator.insights import account_insights
from ig_pipeline.simulator.posts import Child, Comment, Post
from ig_pipeline.simulator.requests import Call, Caller, Field, Json, names_in, parse_fields
from ig_pipeline.simulator.tokens import TokenBook
from ig_pipeline.simulator.views import (
    ABSENT,
    ID_ONLY,
    View,
    media_page,
    page_of,
    post_insights,
    show_child,
    show_comment,
    show_fields,
    show_post,
    story_page,
)
from ig_pipeline.simulator.world import Page, Person, World

_PAGE_DEFAULT = tuple(Field(name) for name in ("access_token", "category", "category_list", "name", "id", "tasks"))
_TASKS = ["ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"]
_CATEGORY = {"id": "2612", "name": "Creative studio"}
# Edges that exist but need scopes a pipeline does not ask for (recorded: tags).
_NEEDS_COMMENT_SCOPE = frozenset({"tags", "mentioned_media", "mentioned_comment"})


def _visible_pages(view: View, person: Person) -> list[Page]:
    """The Pages `/me/accounts` lists: those of a business only with the scope business_management."""
    scopes = view.caller.grant.scopes
    if "pages_show_list" not in scopes:
        return []
    return [page for page in person.pages if not page.owned_by_business or "business_management" in scopes]


def _accounts_page(
    view: View, person: Person, fields: tuple[Field, ...], params: dict[str, str], book: TokenBook
) -> Json:
    """`/me/accounts`: a page of Pages."""
    return page_of(
        _visible_pages(view, person),
        call=view.call,
        path=f"{person.id}/accounts",
        params=params,
        key=lambda page: page.id,
        show=lambda page: _show_page(view, page, fields or _PAGE_DEFAULT, book),
    )


def _show_page(view: View, page: Page, fields: tuple[Field, ...], book: TokenBook) -> Json:
    """A Page; without an Instagram account the field for it is left out (docs/graph_api.md#facebook-login)."""
    grant = view.caller.grant
    page_token = replace(grant, kind="page", page_id=page.id, expires_at=None if grant.long_lived else grant.expires_at)
    values: dict[str, Callable[[], object]] = {
        "id": lambda: page.id,
        "name": lambda: page.name,
        "access_token": lambda: book.issue(page_token),
        "category": lambda: _CATEGORY["name"],
        "category_list": lambda: [_CATEGORY],
        "tasks": lambda: _TASKS,
        "link": lambda: f"https://www.facebook.com/{page.id}",
        "username": lambda: ABSENT,
    }

    def resolve(field: Field) -> object:
        if field.name in {"instagram_business_account", "connected_instagram_account"}:
            return _show_profile(view, page.account, field.children or ID_ONLY) if page.account else ABSENT
        if field.name in values:
            return values[field.name]()
        raise refusals.no_such_field(field.name)

    return show_fields(fields, resolve, object_id=page.id)


def _show_person(view: View, person: Person, fields: tuple[Field, ...], book: TokenBook) -> Json:
    """A person on Facebook: name and id."""

    def resolve(field: Field) -> object:
        match field.name:
            case "id":
                return person.id
            case "name":
                return person.name
            case "accounts":
                return _accounts_page(view, person, field.children, field.modifiers, book)
        raise refusals.no_such_field(field.name)

    return show_fields(fields or (Field("name"), Field("id")), resolve, object_id=person.id)


def _show_profile(view: View, account: Account, fields: tuple[Field, ...], *, as_me: bool = False) -> Json:
    """An Instagram account. `as_me`: read as `/me` of Instagram Login, whose `id` is app-scoped."""
    now, profile = view.call.now, account.profile
    own_id = account.app_user_id if as_me else account.id

    def or_absent(value: str | None) -> object:
        return ABSENT if value is None else value

    values: dict[str, Callable[[], object]] = {
        "id": lambda: own_id,
        "ig_id": lambda: int(account.id[5:]),
        "username": lambda: account.username,
        "name": lambda: or_absent(profile.name),
        "biography": lambda: or_absent(profile.biography),
        "website": lambda: or_absent(profile.website),
        "followers_count": account.followers_count,
        "follows_count": lambda: profile.follows_count,
        "media_count": lambda: account.media_count(now),
        "profile_picture_url": lambda: (
            file_url(view.call.base_url, account.id, video=False, now=now) if profile.has_picture else ABSENT
        ),
    }
    if view.caller.login == "instagram":
        values |= {"user_id": lambda: account.id, "account_type": lambda: "BUSINESS"}

    def resolve(field: Field) -> object:
        match field.name:
            case "media":
                return media_page(view, account, field.children, field.modifiers)
            case "stories":
                return story_page(view, account, field.children, field.modifiers)
            case "insights":
                return _insights_of(view, account, field.modifiers)
            case name if name in _NEEDS_COMMENT_SCOPE:
                raise refusals.no_permission()
        if field.name in values:
            return values[field.name]()
        if view.caller.login == "instagram":
            return ABSENT
        raise refusals.no_such_field(field.name)

    return show_fields(fields or ID_ONLY, resolve, object_id=own_id)


def _insights_of(view: View, account: Account, params: dict[str, str]) -> Json:
    """The account's insights, if the token may read any."""
    if not view.caller.may("instagram_manage_insights", "instagram_business_manage_insights"):
        raise refusals.no_permission()
    return account_insights(account, params, view.call, view.caller.login)


def _may_see(view: View, account: Account, world: World) -> bool:
    """Whether the token belongs to the account, or to a person with a role on its Page."""
    caller = view.caller
    if caller.login == "instagram":
        return caller.own_account == account and caller.may("instagram_business_basic")
    person = world.person(caller.grant.subject)
    if person is None or not caller.may("instagram_basic"):
        return False
    pages = person.pages
    if caller.grant.page_id:
        pages = tuple(page for page in pages if page.id == caller.grant.page_id)
    return any(page.account == account for page in pages)


# ---- reading -------------------------------------------------------------------------------------------------------

# Edges of other objects: known words, but nothing an Instagram account or post has (recorded: feed).
_OTHERS_EDGES = frozenset((
    "feed", "posts", "photos", "videos", "albums", "likes", "friends", "events", "groups", "published_posts", "tagged",
    "ratings", "conversations", "subscribed_apps", "picture", "permissions", "adaccounts", "businesses", "accounts",
    "live_videos", "video_reels", "insights", "comments", "children", "media", "stories",
))  # fmt: skip


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
        """`?ids=a,b`: all or nothing (docs/graph_api.md#one-refusal-loses-the-call)."""
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
            return _show_profile(view, caller.own_account, parse_fields(params.get("fields")), as_me=True)
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
        if not _may_see(view, account, self.world):
            raise refusals.no_such_object(object_id)

    def _account(self, view: View, account: Account, edge: str, fields: tuple[Field, ...]) -> Json:
        params = view.call.params
        match edge:
            case "":
                return _show_profile(view, account, fields)
            case "media":
                return media_page(view, account, fields, params)
            case "insights":
                return _insights_of(view, account, params)
            case "stories":
                return story_page(view, account, fields, params)
            case name if name in _NEEDS_COMMENT_SCOPE:
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
                return post_insights(view, account, post, view.call.params)
            case "children":
                return {"data": [show_child(view, account, post, child, fields) for child in post.children]}
            case "comments":
                seen = [comment for comment in post.comments if comment.at <= view.call.now]
                return {"data": [show_comment(comment, fields) for comment in seen]}
        raise _no_edge(edge)

    def _facebook(self, view: View, object_id: str, edge: str, fields: tuple[Field, ...]) -> Json:
        """A person or a Page. Another person's Page needs the app's proof (docs/graph_api.md#facebook-login)."""
        caller = view.caller
        person = self.world.person(object_id)
        if person is not None and object_id == caller.grant.subject:
            if edge == "permissions":
                granted = sorted(caller.grant.scopes)
                return {"data": [{"permission": scope, "status": "granted"} for scope in granted]}
            if edge == "accounts":
                return _accounts_page(view, person, fields, view.call.params, self.book)
            if edge:
                raise _no_edge(edge)
            return _show_person(view, person, fields, self.book)
        page = self.world.page(object_id)
        own = self.world.person(caller.grant.subject)
        if page is None or own is None or page.id not in {mine.id for mine in own.pages}:
            raise refusals.no_such_object(object_id) if object_id.isdigit() else _unknown_alias(object_id)
        if edge:
            raise _no_edge(edge)
        return _show_page(view, page, fields or (Field("name"), Field("id")), self.book)


def _no_edge(edge: str) -> refusals.RefusalError:
    """A word other objects know is a nonexisting field here; any other is no path at all (recorded)."""
    return refusals.no_such_field(edge) if edge in _OTHERS_EDGES else refusals.unknown_path(f"/{edge}")


def _unknown_alias(name: str) -> refusals.RefusalError:
    return refusals.RefusalError(f"Some of the aliases you requested do not exist: {name}", code=803)
