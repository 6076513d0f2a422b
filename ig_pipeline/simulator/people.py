"""Shows people, Pages and Instagram profiles as JSON, and finds which of them a caller may see (facts §3.1, §3.2)."""

from collections.abc import Callable
from dataclasses import replace

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.account_insights import account_insights
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.fields import Field
from ig_pipeline.simulator.file_links import file_url
from ig_pipeline.simulator.lists import media_page, story_page
from ig_pipeline.simulator.paging import page_of
from ig_pipeline.simulator.requests import Json
from ig_pipeline.simulator.tokens import TokenBook
from ig_pipeline.simulator.views import ABSENT, ID_ONLY, View, show_fields
from ig_pipeline.simulator.world import Page, Person, World

_PAGE_DEFAULT = tuple(Field(name) for name in ("access_token", "category", "category_list", "name", "id", "tasks"))
_TASKS = ["ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"]
_CATEGORY = {"id": "2612", "name": "Creative studio"}
# Edges that exist but need scopes a pipeline does not ask for (recorded: tags).
NEEDS_COMMENT_SCOPE = frozenset({"tags", "mentioned_media", "mentioned_comment"})


def visible_pages(view: View, person: Person) -> list[Page]:
    """The Pages `/me/accounts` lists: those of a business only with business_management (facts §3.1)."""
    scopes = view.caller.grant.scopes
    if "pages_show_list" not in scopes:
        return []
    return [page for page in person.pages if not page.owned_by_business or "business_management" in scopes]


def accounts_page(
    view: View, person: Person, fields: tuple[Field, ...], params: dict[str, str], book: TokenBook
) -> Json:
    """`/me/accounts`: a page of Pages."""
    return page_of(
        visible_pages(view, person),
        call=view.call,
        path=f"{person.id}/accounts",
        params=params,
        key=lambda page: page.id,
        show=lambda page: show_page(view, page, fields or _PAGE_DEFAULT, book),
    )


def show_page(view: View, page: Page, fields: tuple[Field, ...], book: TokenBook) -> Json:
    """A Page; without an Instagram account the field for it is left out (facts §3.1)."""
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
            return show_profile(view, page.account, field.children or ID_ONLY) if page.account else ABSENT
        if field.name in values:
            return values[field.name]()
        raise refusals.no_such_field(field.name)

    shown = show_fields(fields, resolve)
    return shown if "id" in shown else {**shown, "id": page.id}


def show_person(view: View, person: Person, fields: tuple[Field, ...], book: TokenBook) -> Json:
    """A person on Facebook: name and id."""

    def resolve(field: Field) -> object:
        match field.name:
            case "id":
                return person.id
            case "name":
                return person.name
            case "accounts":
                return accounts_page(view, person, field.children, field.modifiers, book)
        raise refusals.no_such_field(field.name)

    shown = show_fields(fields or (Field("name"), Field("id")), resolve)
    return shown if "id" in shown else {**shown, "id": person.id}


def show_profile(view: View, account: Account, fields: tuple[Field, ...], *, as_me: bool = False) -> Json:
    """An Instagram account. `as_me`: read as `/me` of Instagram Login, whose `id` is app-scoped (facts §3.2)."""
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
                return insights_of(view, account, field.modifiers)
            case name if name in NEEDS_COMMENT_SCOPE:
                raise refusals.no_permission()
        if field.name in values:
            return values[field.name]()
        if view.caller.login == "instagram":
            return ABSENT
        raise refusals.no_such_field(field.name)

    shown = show_fields(fields or ID_ONLY, resolve)
    return shown if "id" in shown else {**shown, "id": own_id}


def insights_of(view: View, account: Account, params: dict[str, str]) -> Json:
    """The account's insights, if the token may read any."""
    if not view.caller.may("instagram_manage_insights", "instagram_business_manage_insights"):
        raise refusals.no_permission()
    return account_insights(account, params, view.call, view.caller.login)


def may_see(view: View, account: Account, world: World) -> bool:
    """Whether the token belongs to the account, or to somebody with a role on its Page."""
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
