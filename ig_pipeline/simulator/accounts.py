"""An Instagram professional account of the simulated world, and the truth about it: metrics, posts, audience.

Truth is asked for "as of an instant", without the API and its rules. Nothing here knows requests or JSON.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import Any

from ig_pipeline.simulator.days import FINAL_AFTER, day_of, ends, starts
from ig_pipeline.simulator.draws import between, fraction, place_of
from ig_pipeline.simulator.kinds import Kind
from ig_pipeline.simulator.posts import DAY_ZERO, OPENED, Post, number_of_posts, posts_of_day, stories_of_day

# What a total adds up from; the other metrics of a day are a share of its reach.
_INTERACTIONS = ("likes", "comments", "shares", "saves", "replies", "reposts")
_SHARES_OF_REACH = {
    "views": (1.4, 2.6),
    "accounts_engaged": (0.02, 0.08),
    "likes": (0.03, 0.09),
    "comments": (0.002, 0.008),
    "shares": (0.002, 0.012),
    "saves": (0.002, 0.02),
    "replies": (0.0, 0.004),
    "reposts": (0.0, 0.004),
    "profile_views": (0.01, 0.05),
    "website_clicks": (0.0, 0.012),
    "profile_links_taps": (0.0, 0.006),
}
DAILY_METRICS = ("reach", "follower_count", "total_interactions", *_SHARES_OF_REACH, "follows", "unfollows")
"""The names of `Account.metric`: the API's, and the two parts of its follows_and_unfollows."""
# Instagram's week: Monday first.
_WEEKDAY = (0.95, 0.98, 1.0, 1.04, 1.0, 1.12, 1.18)


def _final_value(metric: str, day: date, *, key: str, reach: int, followers: int, posts: int) -> int:
    """The final value of `metric` of `day`.

    `key` names the account, `reach` and `followers` are its typical size, `posts` the number posted on that day.
    Raises KeyError for a metric without a daily truth.
    """
    draw = (key, day, metric)
    if metric == "reach":
        return int(reach * _WEEKDAY[day.weekday()] * between(0.62, 1.28, *draw) * (1 + 0.16 * posts))
    if metric in {"follower_count", "follows"}:
        return int(followers * between(0.0004, 0.0042, key, day, "follows") * (1 + 0.3 * posts))
    if metric == "unfollows":
        return int(followers * between(0.0002, 0.0026, *draw))
    low, high = _SHARES_OF_REACH[metric]
    reached = _final_value("reach", day, key=key, reach=reach, followers=followers, posts=posts)
    return int(reached * between(low, high, *draw))


def _shown_at(final: int, metric: str, day: date, *, key: str, at: datetime) -> int:
    """What the API shows of `final` at the instant `at`: 0, a provisional part below it, or all."""
    if at < ends(day):
        return 0
    if at - ends(day) >= FINAL_AFTER or final == 0:
        return final
    name = "follows" if metric == "follower_count" else metric
    return min(final - 1, int(final * (0.55 + 0.4 * fraction(key, day, name, "settled"))))


def _together(values: list[int]) -> int:
    """People reached on several days: some come back, so it is less than the sum (docs/graph_api.md#unique-reach)."""
    if len(values) < 2:
        return sum(values)
    most = max(values)
    return most + int(0.6 * (sum(values) - most))


# ---- the account ---------------------------------------------------------------------------------------------------

_DAY = timedelta(days=1)
_STORY_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Profile:
    """What an account says about itself. A None is not shown."""

    name: str | None
    biography: str | None = None
    website: str | None = None
    follows_count: int = 0
    has_picture: bool = True


@dataclass(frozen=True)
class Account:
    """One account.

    `archive`: its posts, newest first, when they are given instead of drawn (a world shaped like a recording).
    `given_stories`: likewise its stories. `reported_media`: what `media_count` says, when that is given too.
    `known_people`: how many people a demographic metric describes, by its name, where given.
    `recounted`: day → percent by which Meta has corrected its metrics; changes while a simulator runs.
    `page_id`, `user_id`, `app_user_id`: its Facebook Page, its owner on Facebook, its owner's id for the app on
    Instagram Login. `owned_by_business`: the Page is visible to `/me/accounts` only with the scope
    business_management (docs/graph_api.md#facebook-login).
    """

    seed: int
    position: int
    kind: Kind
    username: str
    profile: Profile
    id: str
    page_id: str
    page_name: str
    user_id: str
    user_name: str
    app_user_id: str
    owned_by_business: bool = False
    archive: tuple[Post, ...] | None = None
    reported_media: int | None = None
    given_stories: tuple[Post, ...] = ()
    known_people: Mapping[str, int] = field(default_factory=dict, compare=False)
    recounted: dict[date, int] = field(default_factory=dict, compare=False)
    _days: dict[date, tuple[Post, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The name its draws start with."""
        return f"{self.seed}/{self.position}"

    # ---- posts -------------------------------------------------------------------------------------------------

    def posts_on(self, day: date, at: datetime | None = None) -> tuple[Post, ...]:
        """The posts of a Pacific day, oldest first; with `at`, those already posted at that instant."""
        if day not in self._days:
            self._days[day] = self._posts_of(day)
        posts = self._days[day]
        return posts if at is None else tuple(post for post in posts if post.at <= at)

    def _posts_of(self, day: date) -> tuple[Post, ...]:
        if self.archive is not None:
            return tuple(post for post in reversed(self.archive) if post.day == day)
        drawn = posts_of_day(seed=self.seed, position=self.position, kind=self.kind, day=day)
        return tuple(sorted(drawn, key=lambda post: post.sort_key))

    def posts_between(self, since: datetime | None, until: datetime) -> Iterator[Post]:
        """Posts made in [since, until], newest first; `since` None: from its first day on."""
        if self.archive is not None:
            yield from (post for post in self.archive if post.at <= until and (since is None or post.at >= since))
            return
        first = max(OPENED, day_of(since)) if since else OPENED
        for ordinal in range(day_of(until).toordinal(), first.toordinal() - 1, -1):
            for post in reversed(self.posts_on(date.fromordinal(ordinal))):
                if post.at <= until and (since is None or post.at >= since):
                    yield post

    def post(self, media_id: str) -> Post | None:
        """The post, or the story, with this id; None when the account never made it."""
        if self.archive is not None:
            return next((post for post in (*self.archive, *self.given_stories) if post.id == media_id), None)
        place = place_of(media_id)
        if place is None or place.account != self.position:
            return None
        day = DAY_ZERO + timedelta(days=place.day)
        return next((post for post in (*self.posts_on(day), *self.stories_on(day)) if post.id == media_id), None)

    def posts_around(self, object_id: str) -> tuple[Post, ...]:
        """Posts of which one has the child or comment with this id, if any has."""
        if self.archive is not None:
            return self.archive
        place = place_of(object_id)
        if place is None or place.account != self.position:
            return ()
        return self.posts_on(DAY_ZERO + timedelta(days=place.day))

    def stories_on(self, day: date) -> tuple[Post, ...]:
        """The stories of a Pacific day, oldest first."""
        if self.archive is not None:
            return tuple(story for story in self.given_stories if story.day == day)
        return stories_of_day(seed=self.seed, position=self.position, kind=self.kind, day=day)

    def live_stories(self, at: datetime) -> list[Post]:
        """Stories visible at the instant `at`, newest first: younger than a day (docs/graph_api.md#stories)."""
        days = (day_of(at), day_of(at) - _DAY)
        stories = [story for day in days for story in self.stories_on(day)]
        return sorted((s for s in stories if s.at <= at < s.at + _STORY_LIFE), key=lambda s: s.sort_key, reverse=True)

    def converted_at(self, at: datetime) -> datetime | None:
        """Its latest conversion to a business account; None when it always was one.

        The Monday two to three weeks before `at`, so that at any clock some recent posts lie before it.
        """
        if not self.kind.reconverts:
            return None
        today = day_of(at)
        return starts(today - timedelta(days=14 + today.weekday()))

    def gives_insights(self, post: Post, at: datetime) -> bool:
        """Whether the post is later than the latest conversion (docs/graph_api.md#posts-from-before-the-conversion)."""
        converted = self.converted_at(at)
        return not post.before_conversion and (converted is None or post.at >= converted)

    # ---- truth -------------------------------------------------------------------------------------------------

    def metric(self, name: str, day: date, at: datetime) -> int:
        """What `name` of a Pacific day shows at the instant `at`.

        Names are those of the API, and `follows` and `unfollows` for the two parts of follows_and_unfollows.
        """
        if name == "total_interactions":
            return sum(self.metric(part, day, at) for part in _INTERACTIONS)
        return _shown_at(self._final(name, day), name, day, key=self.key, at=at)

    def _final(self, name: str, day: date) -> int:
        value = _final_value(
            name,
            day,
            key=self.key,
            reach=self.kind.daily_reach,
            followers=self.kind.followers,
            posts=len(self.posts_on(day)),
        )
        return value * (100 + self.recounted.get(day, 0)) // 100

    def total(self, name: str, days: list[date], at: datetime) -> int:
        """What `total_value` gives for `name` over several days: people are counted once, the rest is a sum."""
        values = [self.metric(name, day, at) for day in days]
        return _together(values) if name in {"reach", "accounts_engaged"} else sum(values)

    def reach(self, day: date, at: datetime) -> int:
        """Reach of a Pacific day as of `at`."""
        return self.metric("reach", day, at)

    def engagement(self, day: date, at: datetime) -> int:
        """Σ over the day's posts of like_count + comments_count + saved, counting what the API gives at `at`.

        A hidden like count and the saves of a post from before the conversion are not given, so they count 0.
        """
        return sum(
            (post.count("likes", at) if post.shows_likes else 0)
            + post.count("comments", at)
            + (post.count("saved", at) if self.gives_insights(post, at) else 0)
            for post in self.posts_on(day, at)
        )

    def followers_count(self) -> int:
        """Its followers. Constant: a daily sum of follows and unfollows would need all of its history."""
        return self.kind.followers

    def media_count(self, at: datetime) -> int:
        """Number of its posts at `at`, stories not counted."""
        if self.reported_media is not None:
            return self.reported_media
        if self.archive is not None:
            return sum(1 for post in self.archive if post.at <= at)
        return _count_until(self, day_of(at)) + len(self.posts_on(day_of(at), at))

    def __hash__(self) -> int:
        return hash((self.seed, self.position, self.id))


@lru_cache(maxsize=4096)
def _count_until(account: Account, day: date) -> int:
    days = (date.fromordinal(n) for n in range(OPENED.toordinal(), day.toordinal()))
    seed, position, kind = account.seed, account.position, account.kind
    return sum(number_of_posts(seed=seed, position=position, kind=kind, day=earlier) for earlier in days)


# ---- its audience --------------------------------------------------------------------------------------------------

# Fewer people than this have no demographics; of more, the API shows the largest groups only
# (docs/graph_api.md#demographics-and-followers-online).
FEWEST = 100
LARGEST_GROUPS = 45

_COUNTRIES = (
    "US", "GB", "DE", "FR", "CZ", "ES", "IT", "BR", "JP", "IN", "CA", "AU", "NL", "SE", "PL", "AT", "CH", "PT", "MX",
    "KR", "IE", "BE", "DK", "NO", "FI", "GR", "HU", "RO", "TR", "AR", "CL", "CO", "ZA", "EG", "MA", "NZ", "SG", "HK",
    "TW", "TH", "ID", "PH", "VN", "UA", "BG", "HR", "SI", "SK", "LT", "LV",
)  # fmt: skip
_CITIES = (
    "Prague, Prague", "London, England", "Berlin, Berlin", "Paris, Île-de-France", "Madrid, Community of Madrid",
    "Rome, Lazio", "New York, New York", "Los Angeles, California", "Tokyo, Tokyo", "Seoul, Seoul",
    "São Paulo, São Paulo (state)", "Toronto, Ontario", "Sydney, New South Wales", "Vienna, Vienna",
    "Brno, South Moravian Region", "Lisbon, Lisbon District",
)  # fmt: skip
_WEIGHTS: dict[str, dict[str, float]] = {
    "country": dict.fromkeys(_COUNTRIES, 1.0),
    "city": dict.fromkeys(_CITIES, 1.0),
    "age": {"13-17": 2, "18-24": 18, "25-34": 38, "35-44": 24, "45-54": 11, "55-64": 5, "65+": 2},
    "gender": {"F": 46, "M": 45, "U": 9},
}
# How many people a metric describes, as a share of the followers.
_PEOPLE = {"follower_demographics": 1.0, "reached_audience_demographics": 0.5, "engaged_audience_demographics": 0.06}


def people_behind(account: Account, metric: str) -> int:
    """How many people a demographic metric describes."""
    known = account.known_people.get(metric)
    return int(account.followers_count() * _PEOPLE[metric]) if known is None else known


def demographics(account: Account, metric: str, breakdowns: tuple[str, ...]) -> list[dict[str, Any]]:
    """`results` of a demographic metric: the largest groups, in no order, as the real ones are."""
    people = people_behind(account, metric)
    cells = list(product(*(_WEIGHTS[name].items() for name in breakdowns)))
    weights = []
    for cell in cells:
        weight = 1.0
        for _, share in cell:
            weight *= share
        weights.append(weight * between(0.02, 1, account.key, metric, *(name for name, _ in cell)) ** 3)
    scale = people / sum(weights)
    counted = [
        {"dimension_values": [name for name, _ in cell], "value": int(weight * scale)}
        for cell, weight in zip(cells, weights, strict=True)
    ]
    largest = sorted(counted, key=lambda result: int(str(result["value"])), reverse=True)[:LARGEST_GROUPS]
    kept = {id(result) for result in largest}
    return [result for result in counted if result["value"] and id(result) in kept]


def online_by_hour(account: Account, day: date) -> dict[str, int]:
    """Followers online in each hour of a Pacific day, keyed "0" to "23"."""
    people = account.followers_count()
    return {
        str(hour): int(people * between(0.05, 0.12, account.key, day, hour) * (1.6 if 7 <= hour <= 21 else 0.6))
        for hour in range(24)
    }
