"""A world: its accounts, their owners and Pages, and the app that asks. Pure, seeded, without a clock.

What changes while a simulator runs (tokens, limits, faults, counts) is not here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ig_pipeline.simulator.accounts import Account, Profile
from ig_pipeline.simulator.draws import account_id, fraction, object_id, place_of
from ig_pipeline.simulator.kinds import KINDS, Kind, name_of

DEFAULT_SEED = 7
DEFAULT_APP_ID = "990000000000001"
DEFAULT_APP_SECRET = "simulated-app-secret"  # noqa: S105 - opens nothing but the simulator

# Families of ids, so that a person is never taken for a Page.
_PAGE, _PERSON, _APP_USER = 1, 2, 3
_OWNERS = (
    "Ada Moreau",
    "Ben Okafor",
    "Chiara Lindt",
    "Dario Novak",
    "Elif Kaya",
    "Freya Holm",
    "Gil Santos",
    "Hana Mori",
)


@dataclass(frozen=True)
class Page:
    """A Facebook Page; `account` is None for a Page without an Instagram account."""

    id: str
    name: str
    account: Account | None
    owned_by_business: bool = False


@dataclass(frozen=True)
class Person:
    """A person on Facebook who gives consent, and the Pages they have a role on."""

    id: str
    name: str
    pages: tuple[Page, ...]


class World:
    """`accounts` of the given `kinds`, in order and repeated as needed, or exactly those `given`, owned by `people`.

    Besides each account's owner there is one agency, a person with a role on every Page, to page through.
    """

    def __init__(
        self,
        seed: int = DEFAULT_SEED,
        accounts: int = 3,
        *,
        kinds: Sequence[str] = tuple(KINDS),
        given: Sequence[Account] | None = None,
        people: Sequence[Person] = (),
        app_id: str = DEFAULT_APP_ID,
        app_secret: str = DEFAULT_APP_SECRET,
    ) -> None:
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"unknown kinds of account {sorted(unknown)}; there are {', '.join(KINDS)}")
        self.seed = seed
        self._people = {person.id: person for person in people}
        self.app_id = app_id
        self.app_secret = app_secret
        drawn = [_draw(seed, n, KINDS[kinds[n % len(kinds)]], nth=n // len(kinds)) for n in range(accounts)]
        self.accounts: tuple[Account, ...] = tuple(drawn if given is None else given)

    def account(self, username: str) -> Account:
        """The account with this username. Raises KeyError."""
        return self._by_username[username]

    def account_by_id(self, account_id: str) -> Account | None:
        """The account with this Instagram id, or None."""
        return self._by_id.get(account_id)

    def owner_of_media(self, media_id: str) -> Account | None:
        """The account that made this post, story, child or comment; None for an id of no world."""
        if account := self._archived.get(media_id):
            return account
        place = place_of(media_id)
        return self.accounts[place.account] if place and place.account < len(self.accounts) else None

    def person(self, user_id: str) -> Person | None:
        """The person with this Facebook id, or None."""
        if user_id in self._people:
            return self._people[user_id]
        if user_id == self.agency.id:
            return self.agency
        account = self._by_user.get(user_id)
        return self.owner_of(account) if account else None

    def account_of_subject(self, subject: str) -> Account | None:
        """The account whose owner, or which itself, a token's subject is."""
        return self._by_id.get(subject) or self._by_user.get(subject)

    def page(self, page_id: str) -> Page | None:
        """The Page with this id, or None."""
        return self._pages.get(page_id)

    def owner_of(self, account: Account) -> Person:
        """The person on Facebook behind an account: its Page, and every other one has one without Instagram."""
        if account.user_id in self._people:
            return self._people[account.user_id]
        pages = [self._page_of(account)]
        if account.position % 2 == 0 and not account.owned_by_business:
            notes = object_id(_PAGE, self.seed, 50_000 + account.position)
            pages.append(Page(notes, f"{account.user_name}'s notes", None))
        return Person(account.user_id, account.user_name, tuple(pages))

    @cached_property
    def agency(self) -> Person:
        """A person with a role on every Page of the world."""
        pages = tuple(self._page_of(account) for account in self.accounts)
        return Person(object_id(_PERSON, self.seed, 99_999), "Meridian Agency", pages)

    def _page_of(self, account: Account) -> Page:
        return Page(account.page_id, account.page_name, account, account.owned_by_business)

    @cached_property
    def _by_username(self) -> dict[str, Account]:
        return {account.username: account for account in self.accounts}

    @cached_property
    def _by_id(self) -> dict[str, Account]:
        return {account.id: account for account in self.accounts}

    @cached_property
    def _by_user(self) -> dict[str, Account]:
        return {id_: account for account in self.accounts for id_ in (account.user_id, account.app_user_id)}

    @cached_property
    def _archived(self) -> dict[str, Account]:
        """Every id of given posts, stories, children and comments."""
        return {
            item.id: account
            for account in self.accounts
            for post in (*(account.archive or ()), *account.given_stories)
            for item in post.parts
        }

    @cached_property
    def _pages(self) -> dict[str, Page]:
        return {page.id: page for account in self.accounts for page in self.owner_of(account).pages}


def _draw(seed: int, position: int, kind: Kind, *, nth: int) -> Account:
    username, full_name = name_of(position, kind, nth=nth)
    return Account(
        seed=seed,
        position=position,
        kind=kind,
        username=username,
        profile=Profile(
            name=full_name,
            biography=f"{full_name}. Notes from the workbench." if fraction(seed, position, "bio") < 0.9 else None,
            website=f"https://{username.replace('.', '-')}.example/" if fraction(seed, position, "web") < 0.8 else None,
            follows_count=int(40 + 600 * fraction(seed, position, "follows")),
        ),
        id=account_id(seed, position),
        page_id=object_id(_PAGE, seed, position),
        page_name=full_name,
        user_id=object_id(_PERSON, seed, position),
        user_name=_OWNERS[(seed + position) % len(_OWNERS)],
        app_user_id=object_id(_APP_USER, seed, position),
        owned_by_business=position % 3 == 2,
    )
